"""Values that a probe's fit takes: rows by role, and how probes are fitted and chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from src.config.schema import ProbeConfig
from src.data.dataset import Dataset
from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.solvers.linear import Array, Matrix


@dataclass(frozen=True)
class Rows:
    """Rows of one split: features (rows, width), dense or CSR, and labels (rows,).

    Labels are class ids int64, or targets float64.
    """

    x: Matrix
    y: Array


@dataclass(frozen=True)
class ProbeSettings:
    """How probes are fitted and how one is chosen.

    Attributes
    ----------
    grid : dict
        One parameter of the estimator, and the values to try.
    name : str
        Name of the probe, for error messages.
    features : str
        Scaling of the features: ``standardise``, ``none`` or ``l2`` (rows of length 1); for
        read-outs by similarity see `src.probes.similarity`.
    carve : float
        Share of the training rows that is held out for the choice where the selection is ``carve``.
    selection : str
        Rows that the grid's value is chosen on: ``carve`` (a part of train), ``development`` (that
        split), ``folds`` (cross-validation on train) or ``nested`` (cross-validation within
        cross-validation: training rows are predicted, in the role ``test``, and there are no test
        rows).
    folds : int
    shuffled_labels : bool
        Whether the labels of the training rows are permuted first, as a control.
    seed : int
    draws : int
        1 fits on train as it is. k repeats the fit on k stratified resamples of train, at the value
        chosen once.
    extend_grid : bool
        Whether the grid of the suite's own estimators goes on in half-decade steps until its best
        value is inside; see `src.probes.grid`.
    metric : str, or None
        Headline metric, for which two classes may get a threshold. None: they get none.
    similarity : str
        Of the two texts of a row, for a protocol that fits nothing.
    """

    grid: Mapping[str, list[float]]
    name: str = "logistic"
    features: str = "standardise"
    carve: float = 0.2
    selection: str = "carve"
    folds: int = 10
    shuffled_labels: bool = False
    seed: int = 0
    draws: int = 1
    similarity: str = "cosine"
    extend_grid: bool = False
    metric: str | None = None

    @classmethod
    def from_config(
        cls,
        config: ProbeConfig,
        *,
        selection: str = "carve",
        folds: int = 10,
        seed: int = 0,
        draws: int = 1,
        metric: str | None = None,
    ) -> ProbeSettings:
        """Return the settings of a configured probe for a dataset's selection, folds and headline metric."""
        return cls(
            config.grid, config.name, config.features, config.carve, selection, folds,
            shuffled_labels=config.shuffled_labels, seed=seed, draws=draws, similarity=config.similarity,
            extend_grid=config.extend_grid, metric=metric,
        )  # fmt: skip


@dataclass(frozen=True)
class ProbeData:
    """Rows that a probe is fitted to, chosen on and scored on.

    Attributes
    ----------
    train : Rows
        Without rows for a protocol that fits nothing.
    tests : dict of str to Rows
        By role; empty where the training rows themselves are predicted in folds.
    classes : int
        0 for regression.
    development : Rows, optional
        Rows to choose on.
    groups : array of (rows of train,), optional
        Rows with equal entries fall on one side of every split.
    groups_span_classes : bool
        Whether a group may hold rows of several classes; see `RowSplitter`.
    order : array of (rows of train,) int64, optional
        Training rows in the order in which a protocol divides them. None: their own order.
    """

    train: Rows
    tests: Mapping[str, Rows]
    classes: int
    development: Rows | None = field(default=None, kw_only=True)
    groups: Array | None = field(default=None, kw_only=True)
    groups_span_classes: bool = field(default=False, kw_only=True)
    order: Array | None = field(default=None, kw_only=True)

    @classmethod
    def from_dataset(cls, dataset: Dataset, features: Mapping[str, Matrix], *, order: Array | None = None) -> ProbeData:
        """Return a dataset's rows with features (rows, width) by role; other roles are ignored."""
        rows = {role: Rows(matrix, dataset.splits[dataset.roles[role]].label) for role, matrix in features.items()}
        fitted = "train" in rows
        return cls(
            rows["train"] if fitted else Rows(rows["test"].x[:0], rows["test"].y[:0]),
            {role: each for role, each in rows.items() if role not in ("train", "development")},
            len(dataset.classes),
            development=rows.get("development"),
            groups=dataset.groups if fitted else None,
            groups_span_classes=dataset.groups_span_classes,
            order=order,
        )

    def check(self) -> None:
        """Check that every class has a training row.

        Raises
        ------
        UserError
            Fewer than two classes have training rows, or one has none.
        """
        if not self.classes:
            return
        found = np.unique(self.train.y)
        if len(found) < 2:
            raise UserError(
                f"the training split holds {len(found)} class; a classifier needs two. Add rows of another class."
            )
        if len(missing := np.setdiff1d(np.arange(self.classes), found)):
            raise UserError(
                f"class {int(missing[0])} has no training row. Remove it from dataset.classes, or add rows."
            )

    def with_shuffled_labels(self, seed: int) -> ProbeData:
        """Return the data with the labels of train and of development permuted, each by itself."""
        generator = np.random.default_rng([seed, 4])
        train, development = replace(self.train, y=generator.permutation(self.train.y)), self.development
        if development is not None:
            development = replace(development, y=generator.permutation(development.y))
        return replace(self, train=train, development=development)

    def splitter(self, settings: ProbeSettings) -> RowSplitter:
        """Return the suite's rule that divides the training rows."""
        return RowSplitter(
            self.train.y,
            settings.seed,
            fraction=settings.carve,
            folds=settings.folds,
            groups=self.groups,
            groups_span_classes=self.groups_span_classes,
            regression=self.classes == 0,
        )

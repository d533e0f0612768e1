"""SentEval's rules for frozen sentence features (Conneau and Kiela, 2018, SentEval, LREC).

Read from facebookresearch/SentEval at 5d6dc117d1ac30357ddaeb7347fb5684e9b87015; each rule below
names its file there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from src.config.limits import MAX_FOLDS, check_grid
from src.config.schema import DatasetConfig, ProbeConfig
from src.data.dataset import Dataset, Split
from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.decisions import predict_from_scores
from src.probes.fitter import ProbeFitter
from src.probes.grid import Criterion
from src.probes.grid_fit import GridFit
from src.probes.outcome import ProbeOutcome
from src.probes.progress import Progress
from src.probes.protocols.base import Evaluate, Protocol, protocol
from src.probes.protocols.scores import metric_value
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.linear import Array
from src.probes.suite import suite_protocol


@protocol("senteval")
@dataclass(frozen=True)
class SentEval(Protocol):
    """SentEval's folds, grid and choice.

    Of its two classifiers this is scikit-learn's, `usepytorch=False` in
    senteval/tools/validation.py: the same rows give the same numbers. The other is Adam stopped
    early, which depends on a GPU's order of sums. The features are not standardised (nowhere in
    senteval/). Where scikit-learn's default of 100 iterations does not suffice, the fit is used as
    it is, and recorded so.

    A task's splits decide its rule (head of senteval/tools/validation.py). Rows that are scored in
    folds of themselves get InnerKFoldClassifier; train, development and test get SplitClassifier;
    train and test get KFoldClassifier.

    Attributes
    ----------
    seed : int
        Of the folds and of the classifier (1111 in senteval/tools/validation.py and
        senteval/engine.py).
    folds : int
        `kfold`, 10 in its README's configuration "comparable to the literature".
    folds_grid : dict, or None
        Grid of KFoldClassifier, which differs from that of the other two. None: the probe's own.
    """

    MAXIMA: ClassVar[Mapping[str, int]] = {"folds": MAX_FOLDS}

    seed: int = 1111
    folds: int = 10
    folds_grid: dict[str, list[float]] | None = None

    def pairing(self, requested: str | None, has_pairs: bool) -> str | None:
        """Return ``separate`` for pairs of texts (senteval/mrpc.py, senteval/sick.py)."""
        return "separate" if has_pairs else requested

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check the number of folds and the grid of KFoldClassifier; raise a UserError."""
        if self.folds < 2:
            raise UserError(f"probe.protocol.folds={self.folds}: at least 2 is needed.")
        if self.folds_grid is not None:
            check_grid("probe.protocol.folds_grid", self.folds_grid)

    def check_config(self, probe: ProbeConfig, dataset: DatasetConfig, draws: int) -> None:
        """Check that train is not resampled; raise a UserError."""
        super().check_config(probe, dataset, draws)
        if draws > 1:
            raise UserError(f"draws={draws}: SentEval fits on train as it stands. Set draws=1, or leave probe out.")

    def check(self, settings: ProbeSettings, dataset: Dataset) -> None:
        super().check(settings, dataset)
        counts = np.bincount(dataset.train.label)
        if settings.selection != "development" and counts.min() < self.folds:
            raise UserError(
                f"{dataset.name}: class '{dataset.classes[int(counts.argmin())]}' has {counts.min()} training rows, "
                f"fewer than SentEval's {self.folds} folds. Set probe.protocol.folds lower, or leave probe out."
            )

    def pair_features(self, sides: list[Array]) -> Array:
        """Return ``[|u - v|; u * v]`` (senteval/mrpc.py, senteval/sick.py): (rows, 2 width)."""
        if len(sides) == 1:
            return sides[0]
        u, v = sides
        return np.concatenate([np.abs(u - v), u * v], axis=1)

    def order(self, split: Split) -> Array:
        """Return the rows sorted by number of words, then by label, as they are dealt to the folds.

        The `sorted` of senteval/binary.py, mrpc.py and trec.py.
        """
        sides = [split.text] if split.text_pair is None else [split.text, split.text_pair]
        words = [np.array([len(text.split()) for text in side.to_pylist()]) for side in sides]
        return np.lexsort((split.label, *reversed(words)))

    def fit_by_rules(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None
    ) -> ProbeOutcome:
        settings = replace(settings, metric=None)  # no threshold
        if settings.selection not in ("nested", "development"):
            settings = replace(settings, selection="folds", grid=self.folds_grid or settings.grid)
        order = np.arange(len(data.train.y)) if data.order is None else data.order
        train = Rows(data.train.x[order], data.train.y[order])
        outcome = suite_protocol(
            estimator, settings, replace(data, train=train), progress,
            splitter=StratifiedSplitter(train.y, self.seed, folds=self.folds), criterion=Accuracy(),
        )  # fmt: skip
        if settings.selection != "nested":
            return outcome
        place = np.argsort(order)  # predictions of sorted rows go back to the order of their file
        predictions = {"test": outcome.predictions["test"].take(place)}
        return replace(outcome, predictions=predictions, draws=[predictions], fold_ids=outcome.fold_ids[place])

    def score(
        self, name: str, labels: Array, draws: Sequence[Array], fold: Array | None, evaluate: Evaluate
    ) -> dict[str, Any]:
        """Return a metric's value and interval.

        In folds the value is the mean of the folds' own (senteval/tools/validation.py), and the
        interval that of all rows together.
        """
        found = super().score(name, labels, draws, fold, evaluate)
        if fold is None:
            return found
        values = [metric_value(name, labels[fold == number], draws[0][fold == number]) for number in np.unique(fold)]
        value = float(np.mean(values))
        ends = {} if found["low"] is None else {"low": min(value, found["low"]), "high": max(value, found["high"])}
        return {**found, **ends, "value": value, "method": f"mean of the folds; {found['method']}"}


@dataclass(frozen=True)
class StratifiedSplitter(RowSplitter):
    """Folds as scikit-learn's StratifiedKFold shuffles them.

    Outer folds, inner folds and those on train have one seed (senteval/tools/validation.py). Equal
    texts may fall on both sides, as they do there.
    """

    def fold_ids(self) -> Array:
        from sklearn.model_selection import StratifiedKFold

        fold = np.empty(len(self.y), dtype=np.int64)
        folds = StratifiedKFold(self.folds, shuffle=True, random_state=self.seed)
        for number, (_, rows) in enumerate(folds.split(np.empty((len(self.y), 0)), self.y)):
            fold[rows] = number
        return fold


class Accuracy(Criterion):
    """Mean accuracy of the folds in percent with two decimals; the first of equals is chosen.

    As in senteval/tools/validation.py. As a loss, it is the share of held-out rows that are wrong.
    """

    def losses(self, fitter: ProbeFitter, fits: Sequence[GridFit], rows: Array | Rows) -> list[Array]:
        if isinstance(rows, Rows):
            return [fitter.fitted_probe(fit, "").predict(rows.x).values != rows.y for fit in fits]
        return [predict_from_scores(scores, fitter.classes) != fitter.y[rows] for scores in fitter.scores(fits, rows)]

    def mean(self, folds: Sequence[Array]) -> float:
        return 1 - float(np.round(100 * np.mean([1 - losses.mean() for losses in folds]), 2)) / 100

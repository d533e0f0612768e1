"""The steps that a protocol can change, with the suite's own rules as defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from src.config.schema import SCALINGS, DatasetConfig, ProbeConfig
from src.data.checks import check_probe
from src.data.dataset import Dataset, Split
from src.errors import UserError, shortened
from src.evaluation.estimates import Estimate
from src.features.vectors import pair_features
from src.probes.checks import check_classes
from src.probes.outcome import ProbeOutcome
from src.probes.progress import Progress
from src.probes.protocols.scores import over_draws
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.solvers.linear import Array
from src.probes.suite import suite_protocol
from src.registry import Registry, unknown
from src.runtime.parallel import parallel_map

MAX_SEED = 2**32 - 1  # of scikit-learn's generators

Evaluate = Callable[[Array], Estimate]
T = TypeVar("T", bound="Protocol")

protocols: Registry[type[Protocol]] = Registry("protocol")


def protocol(name: str) -> Callable[[type[T]], type[T]]:
    """Register a protocol's class under a name."""

    def add(kind: type[T]) -> type[T]:
        protocols.add(name, kind)
        return kind

    return add


def require_test_split(option: str, settings: ProbeSettings, dataset: Dataset, remedy: str) -> None:
    """Raise a UserError if rows are scored in folds of train, which an option excludes."""
    if settings.selection == "nested":
        raise UserError(
            f"{option} needs a test split of its own, and {dataset.name} is scored in folds of train. {remedy}"
        )


@protocol("suite")
@dataclass(frozen=True)
class Protocol:
    """The suite's rules, of which other protocols override some.

    `MAXIMA` bounds the settings that are whole numbers. `FITTED` says whether an estimator is fitted
    to training rows. `SCALINGS` are the allowed values of ``probe.features``.
    """

    MAXIMA: ClassVar[Mapping[str, int]] = {}
    FITTED: ClassVar[bool] = True
    SCALINGS: ClassVar[tuple[str, ...]] = SCALINGS

    def pairing(self, requested: str | None, has_pairs: bool) -> str | None:
        """Return the pairing of texts: `requested`, unless the rules fix one. None stands for joint."""
        return requested

    def check_config(self, probe: ProbeConfig, dataset: DatasetConfig, draws: int) -> None:
        """Check settings that do not go with the protocol, before any file is read; raise a UserError."""
        if not probe.estimator:
            raise UserError(
                f"probe.estimator is not set, and probe={probe.name} fits one. Name its class by "
                "probe.estimator._target_=, or leave probe out."
            )
        if probe.similarity != ProbeConfig.similarity:
            raise UserError(
                f"probe.similarity={probe.similarity} is for probe=cosine, and this is probe={probe.name}. "
                "Add probe=cosine, or leave probe.similarity out."
            )

    def scored_by(self, dataset: DatasetConfig) -> DatasetConfig:
        """Return the task with the metrics that the protocol scores by: its own, unless the rules fix them."""
        return dataset

    def select_splits(self, dataset: DatasetConfig) -> DatasetConfig:
        """Return the task with the splits that a scored run reads: all of them, if a probe is fitted."""
        return dataset

    def select_roles(self, dataset: Dataset) -> Dataset:
        """Return the task with the roles that the protocol reads: all of them, if it fits a probe."""
        return dataset

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check the protocol's settings, and the probe's grid against them; raise a UserError."""

    def check(self, settings: ProbeSettings, dataset: Dataset) -> None:
        """Check that the rules can be followed on a dataset, before anything is encoded.

        Raises
        ------
        UserError
            Too many classes, too few rows, or a setting that the selection excludes.
        """
        check_classes(dataset)
        if settings.draws > 1:
            require_test_split(f"draws={settings.draws}", settings, dataset, "Set draws=1.")
        check_probe(dataset, fraction=settings.carve, seed=settings.seed)

    def pair_features(self, sides: list[Array]) -> Array:
        """Return features (rows, width) of texts encoded apart; those of one text unchanged."""
        return pair_features(sides)

    def vector_width(self, columns: int) -> int:
        """Return the width that records count, of features with so many columns."""
        return columns

    def order(self, split: Split) -> Array | None:
        """Return the order (rows,) in which training rows are divided; None for their own."""
        return None

    def fit(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None = None
    ) -> ProbeOutcome:
        """Choose from the grid, fit and predict.

        Parameters
        ----------
        estimator : estimator of `src.probes.solvers.estimators` or of scikit-learn
            It has the grid's parameter.
        settings : ProbeSettings
        data : ProbeData
        progress : callable, optional
            Called with stage, number of fits that are done, and total number.

        Raises
        ------
        UserError
            A class without training rows, fewer rows than folds, or an unusable grid.
        """
        data.check()
        if settings.shuffled_labels:
            data = data.with_shuffled_labels(settings.seed)
        with parallel_map():
            return self.fit_by_rules(estimator, settings, data, progress)

    def fit_by_rules(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None
    ) -> ProbeOutcome:
        """Fit checked data; a protocol with other rules overrides this. Parameters as in `fit`."""
        return suite_protocol(estimator, settings, data, progress)

    def score(
        self, name: str, labels: Array, draws: Sequence[Array], fold: Array | None, evaluate: Evaluate
    ) -> dict[str, Any]:
        """Return a metric's value and interval.

        Parameters
        ----------
        name : str
            The metric.
        labels : array of (rows,)
        draws : sequence of arrays of (rows,)
            Predictions of each probe that is scored.
        fold : array of (rows,), or None
            Fold in which each row was predicted; None without folds.
        evaluate : callable
            Returns value and interval, for new rows, of predictions (rows,), or of the mean over
            predictions (draws, rows).
        """
        estimates = [evaluate(predictions) for predictions in draws]
        return asdict(estimates[0]) if len(estimates) == 1 else over_draws(name, estimates)


def get_protocol(config: ProbeConfig) -> Protocol:
    """Return the protocol that a probe names, with its settings.

    Raises
    ------
    UserError
        No protocol has this name, or it has no such setting, or a whole number is out of its range.
    """
    settings = dict(config.protocol)
    kind = protocols[str(settings.pop("name", "suite"))]
    defaults = {each.name: each.default for each in fields(kind)}
    for key, value in settings.items():
        if key not in defaults:
            raise unknown("key", key, ["name", *defaults], where="probe.protocol: ")
        if isinstance(defaults[key], int) and not (type(value) is int and 0 <= value <= kind.MAXIMA.get(key, MAX_SEED)):
            most = f" of at most {kind.MAXIMA[key]:,}" if key in kind.MAXIMA else ""
            raise UserError(
                f"probe.protocol.{key}={shortened(value)}: a whole number of zero or more{most} is needed, such as "
                f"{defaults[key]}."
            )
    return kind(**settings)

"""What a protocol decides, with this suite's own rules as the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from scipy.special import stdtrit

from src.config.schema import Config, ProbeConfig
from src.data.checks import check_probe
from src.data.dataset import Dataset, Split
from src.errors import UserError, shortened
from src.evaluation.estimates import Estimate
from src.evaluation.metrics import metrics
from src.evaluation.samples import metric_sample
from src.features.vectors import pair_features
from src.probes.probe import Outcome, Setup, own
from src.probes.solvers.linear import Array
from src.registry import Registry, unknown

FEW = 20  # classes: with more, labels of which most occur once are texts or numbers that were taken for classes
MOST_CLASSES = 1000  # a fit turns (classes, classes) matrices for each step
MOST_CELLS = 1 << 28  # classes x rows: 2 GiB of decision values in float64
MOST_SEED = 2**32 - 1  # which scikit-learn's generators take

T = TypeVar("T", bound="Protocol")

protocols: Registry[type[Protocol]] = Registry("protocol")


def protocol(name: str) -> Callable[[type[T]], type[T]]:
    """Register a protocol's class."""

    def add(kind: type[T]) -> type[T]:
        protocols.add(name, kind)
        return kind

    return add


@protocol("suite")
@dataclass(frozen=True)
class Protocol:
    """This suite's own rules, each of which another protocol may replace. `MOST` bounds its settings that are whole numbers."""

    MOST: ClassVar[Mapping[str, int]] = {}

    def pairing(self, asked: str, has_pairs: bool) -> str:
        """Return the pairing that the protocol reads pairs of texts with: `asked`, unless its rules fix one."""
        return asked

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check the protocol's settings, and the probe's grid against them; raise a UserError."""

    def check(self, config: Config, read: Dataset) -> None:
        """Refuse data that the rules cannot be followed on, before anything is encoded."""
        check_classes(read)
        if config.draws > 1 and read.selection == "nested":
            raise UserError(
                f"draws={config.draws} needs a test split of its own, and {read.name} is scored in folds of train. Set draws=1."
            )
        check_probe(read, fraction=config.probe.carve, seed=config.seed)

    def pair_features(self, sides: list[Array]) -> Array:
        """Features (rows, width) of rows whose texts were encoded apart; one side alone as it stands."""
        return pair_features(sides)

    def order(self, split: Split) -> Array | None:
        """The training rows (rows,) in the order in which they are divided; None: as they come."""
        return None

    def fit(self, estimator: Any, config: ProbeConfig, train: Any, tests: dict[str, Any], setup: Setup) -> Outcome:
        """Choose, fit and predict; see `src.probes.probe.run`."""
        return own(estimator, config, train, tests, setup)

    def score(
        self,
        name: str,
        labels: Array,
        draws: Sequence[Array],
        fold: Array | None,
        evaluate: Callable[[Array], Estimate],
    ) -> dict[str, Any]:
        """A metric's value and interval.

        Parameters
        ----------
        labels : (rows,)
        draws : predictions (rows,) of each probe that is scored
        fold : (rows,), the fold in which each row was predicted; None without folds
        evaluate : value and interval of predictions (rows,), or of the mean over predictions (draws, rows), for new rows
        """
        estimates = [evaluate(predictions) for predictions in draws]
        return asdict(estimates[0]) if len(estimates) == 1 else over_draws(name, estimates)


def check_classes(read: Dataset) -> None:
    """Refuse more classes than a probe can be fitted to in memory, and labels that are no classes; UserError."""
    classes, rows = len(read.classes), len(read.train)
    label = "Name another column in dataset.label, or set dataset.task=regression if the labels are numbers."
    if classes > FEW and 2 * classes > rows:
        raise UserError(
            f"{read.name}: its labels hardly repeat: {classes:,} different ones, with {rows:,} training rows. {label}"
        )
    if classes > MOST_CLASSES:
        raise UserError(
            f"{read.name}: {classes:,} different labels, and at most {MOST_CLASSES:,} classes are allowed. Merge rare ones.\n{label}"
        )
    if classes * rows > MOST_CELLS:
        most = MOST_CELLS // classes
        raise UserError(
            f"{read.name}: {classes:,} classes x {rows:,} training rows do not fit into memory. Merge classes, or give {most:,} rows."
        )


def point(name: str, labels: Array, predictions: Array) -> float:
    """A classification metric's value on rows (rows,)."""
    classes = max(2, int(labels.max()) + 1, int(predictions.max()) + 1)
    return metric_sample(name, labels, predictions[None], classes).point()


def over_draws(name: str, estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Mean of a metric over training draws, and an interval for new rows and a new draw: both spreads, added in quadrature.

    That of a new draw is Student's prediction interval, whose spread is estimated from these few draws, as is their mean.
    """
    values = [estimate.value for estimate in estimates]
    defined = [
        (each.value, each.low, each.high)
        for each in estimates
        if each.value is not None and each.low is not None and each.high is not None
    ]
    if len(defined) < len(estimates):
        reason = next((each.reason for each in estimates if each.value is None), "some have no interval")
        reason = f"{reason} (in {len(estimates) - len(defined)} of {len(estimates)} training draws)"
        return {"value": None, "low": None, "high": None, "reason": reason, "method": "draws", "draws": values}
    value, low, high = np.array(defined).T
    spread = float(stdtrit(len(value) - 1, 0.975) * value.std(ddof=1) * np.sqrt(1 + 1 / len(value)))
    mean = float(value.mean())
    methods = " or ".join(dict.fromkeys(each.method for each in estimates))
    return {
        "value": mean,
        "low": max(metrics[name].low, mean - float(np.hypot((value - low).mean(), spread))),
        "high": min(metrics[name].high, mean + float(np.hypot((high - value).mean(), spread))),
        "reason": None,
        "method": f"mean of {len(values)} training draws; {methods}, and Student's t for a new draw, in quadrature",
        "draws": values,
    }


def rules(config: ProbeConfig) -> Protocol:
    """The protocol that the config names, with its settings."""
    settings = dict(config.protocol)
    kind = protocols[str(settings.pop("name", "suite"))]
    defaults = {each.name: each.default for each in fields(kind)}
    for key, value in settings.items():
        if key not in defaults:
            raise unknown("key", key, ["name", *defaults], where="probe.protocol: ")
        if isinstance(defaults[key], int) and not (type(value) is int and 0 <= value <= kind.MOST.get(key, MOST_SEED)):
            most = f" of at most {kind.MOST[key]:,}" if key in kind.MOST else ""
            raise UserError(
                f"probe.protocol.{key}={shortened(value)}: a whole number of zero or more{most} is needed, such as {defaults[key]}."
            )
    return kind(**settings)

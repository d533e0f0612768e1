"""Each metric with its range, direction and confidence interval.

A metric is one decorated function. For classification it maps confusion counts (..., classes, classes), indexed [label, prediction], to
values (...); for regression it maps labels (rows,), predictions (rows,) and weights (..., rows) to values (...). Both forms are
vectorised over resamples, and the point value is the case of one sample. NaN inside means undefined; it leaves as None with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from src.errors import UserError
from src.registry import Registry

Array = NDArray[Any]
CHUNK = 100_000  # weights held at once: they stay in the cache
LARGEST = 1 << 25  # entries of confusion matrices held at once: 256 MiB
THIN = 5  # fewer rows of a class, or predictions of one, and resamples may miss what a new test set would show


@dataclass(frozen=True)
class Metric:
    """A metric's function with its task, its range and its direction."""

    name: str
    function: Callable[..., Array]
    task: str
    low: float
    high: float
    higher_is_better: bool
    most_classes: int | None = None


metrics: Registry[Metric] = Registry("metric")


def metric(
    *,
    task: str = "classification",
    low: float = -1.0,
    high: float = 1.0,
    higher_is_better: bool = True,
    most_classes: int | None = None,
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Register a metric under its function's name."""

    def add(function: Callable[..., Array]) -> Callable[..., Array]:
        metrics.add(
            function.__name__, Metric(function.__name__, function, task, low, high, higher_is_better, most_classes)
        )
        return function

    return add


def _ratio(part: Array, whole: Array, otherwise: float = 0.0) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), otherwise)


@metric(low=0.0)
def accuracy(counts: Array) -> Array:
    """Share of rows predicted right."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


@metric(low=0.0, most_classes=2)
def f1(counts: Array) -> Array:
    """F1 of class 1; 0 where class 1 neither occurs nor is predicted."""
    return _ratio(2 * counts[..., 1, 1], counts[..., 1, :].sum(axis=-1) + counts[..., :, 1].sum(axis=-1))


@metric(low=0.0)
def macro_f1(counts: Array) -> Array:
    """Mean F1 of the classes that occur or are predicted."""
    own = np.diagonal(counts, axis1=-2, axis2=-1)
    whole = counts.sum(axis=-1) + counts.sum(axis=-2)
    return _ratio(2 * own, whole).sum(axis=-1) / (whole > 0).sum(axis=-1)


@metric(low=0.0)
def balanced_accuracy(counts: Array) -> Array:
    """Mean recall of the classes that occur."""
    rows = counts.sum(axis=-1)
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), rows).sum(axis=-1) / (rows > 0).sum(axis=-1)


@metric()
def mcc(counts: Array) -> Array:
    """Matthews correlation; 0 where only one class occurs or is predicted.

    References
    ----------
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.
    """
    labels, predicted, rows = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    right = np.trace(counts, axis1=-2, axis2=-1)
    covariance = right * rows - (labels * predicted).sum(axis=-1)
    spread = (rows**2 - (labels**2).sum(axis=-1)) * (rows**2 - (predicted**2).sum(axis=-1))
    return _ratio(covariance, np.sqrt(np.maximum(spread, 0)))


@metric(task="regression")
def pearson(labels: Array, predictions: Array, weights: Array) -> Array:
    """Pearson correlation; undefined where either side is constant."""
    x, y = labels - labels.mean(), predictions - predictions.mean()
    x, y = x / (np.abs(x).max() or 1.0), y / (np.abs(y).max() or 1.0)
    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        return np.full(weights.shape[:-1], np.nan)
    sums = weights @ np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    mass, sum_x, sum_y, square_x, square_y, cross = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = square_x - sum_x**2 / mass, square_y - sum_y**2 / mass
    flat = (spread_x <= 1e-14 * square_x) | (spread_y <= 1e-14 * square_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, np.nan, np.clip((cross - sum_x * sum_y / mass) / np.sqrt(spread_x * spread_y), -1, 1))


def _ranks(values: Array, weights: Array) -> tuple[Array, Array]:
    """Mid-ranks (..., rows) of weighted rows, less their mean, and their sum of squares (...).

    Counts cumulated in sorted order, so that no resample is sorted again.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    tied = np.add.reduceat(np.take(weights, order, axis=-1), first, axis=-1)
    middle = np.cumsum(tied, axis=-1)
    half = middle[..., -1:] / 2
    middle -= tied / 2
    middle -= half
    return np.take(middle, place, axis=-1), np.einsum("...r,...r,...r->...", tied, middle, middle)


@metric(task="regression")
def spearman(labels: Array, predictions: Array, weights: Array) -> Array:
    """Spearman correlation: Pearson's of the mid-ranks, ranked anew within each resample; undefined where either side is constant."""
    (x, square_x), (y, square_y) = _ranks(labels, weights), _ranks(predictions, weights)
    x *= weights
    spread = square_x * square_y
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, np.clip(np.einsum("...r,...r->...", x, y) / np.sqrt(spread), -1, 1), np.nan)


@metric(task="regression", low=0.0, high=float("inf"), higher_is_better=False)
def rmse(labels: Array, predictions: Array, weights: Array) -> Array:
    """Root of the mean squared error, in the label's unit."""
    return np.sqrt(weights @ (labels - predictions) ** 2 / weights.sum(axis=-1))


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval. `value` None: undefined; `low` and `high` None: no interval to be trusted. `reason` says why."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None
    method: str


@dataclass(frozen=True)
class Sample:
    """Test rows as the bootstrap sees them: distinct units with their multiplicity, and a statistic of any reweighting of the units.

    Rows of a classification task are pooled into cells (label, prediction, ...); `unseen` are the weights of one row in each cell that is
    possible.
    """

    times: Array
    statistic: Callable[[Array], Array]
    unseen: Array | None = None
    size: int = field(default=1, kw_only=True)  # numbers that the statistic holds at once for each reweighting

    @property
    def rows(self) -> int:
        return int(self.times.sum())

    def point(self) -> float:
        return float(self.statistic(self.times[None].astype(np.float64))[0])

    def _chunks(self, count: int) -> Iterator[int]:
        size = max(1, min(count, CHUNK // len(self.times), LARGEST // self.size))
        return (min(size, count - start) for start in range(0, count, size))

    def bootstrap(self, seed: int, resamples: int) -> Array:
        """The statistic of `resamples` resamples of the rows, (resamples,)."""
        generator = np.random.default_rng([seed, 3])
        units, values = len(self.times), []
        for count in self._chunks(resamples):
            if self.rows == units:
                drawn = generator.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
                weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
            else:
                weights = generator.multinomial(self.rows, self.times / self.rows, size=count).astype(np.float64)
            values.append(self.statistic(weights))
        return np.concatenate(values)

    def jackknife(self) -> Array:
        """The statistic without one row of each unit, (units,)."""
        values, start = [], 0
        for count in self._chunks(len(self.times)):
            weights = np.repeat(self.times[None].astype(np.float64), count, axis=0)
            weights[np.arange(count), start + np.arange(count)] -= 1
            values.append(self.statistic(weights))
            start += count
        return np.concatenate(values)


def quantiles(ordered: Array, places: Array) -> Array:
    """``numpy.quantile`` of sorted values, to the last bit, without its copy: a p-value by bisection asks a hundred times."""
    at = places * (len(ordered) - 1)
    below = np.minimum(np.floor(at).astype(np.int64), len(ordered) - 1)
    low, high, share = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)], at - below
    return np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))


@dataclass(frozen=True)
class Bootstrap:
    """A bias-corrected and accelerated bootstrap: intervals at any level, and the p-value that agrees with them."""

    values: Array  # sorted, finite
    bias: float
    acceleration: float
    undefined: int  # resamples in which the statistic does not exist, left out

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Quantiles of the resamples at the corrected places (Efron 1987)."""
        ends = self.bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
        places = ndtr(self.bias + ends / np.maximum(1 - self.acceleration * ends, 1e-6))
        low, high = quantiles(self.values, places)
        return float(low), float(high)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided: one less the level of the widest interval that leaves `null` out."""
        count = len(self.values)
        below = np.searchsorted(self.values, null, "left") + np.searchsorted(self.values, null, "right")
        place = ndtri(np.clip(below / 2, 0.5, count - 0.5) / count) - self.bias
        tail = (
            float(ndtr(place / (1 + self.acceleration * place) - self.bias))
            if 1 + self.acceleration * place > 0
            else float(place > 0)
        )
        return float(np.clip(2 * min(tail, 1 - tail), 1 / count, 1))


def influences(times: Array, left_out: Array) -> tuple[Array, Array]:
    """How far a row of each unit moves a statistic, from its values without one row of each: how often it does (units,), how far (units,).

    A unit without which the statistic does not exist counts no time.
    """
    times = np.where(np.isfinite(left_out), times, 0)
    left_out = np.where(times > 0, left_out, 0)
    return times, (times @ left_out) / max(times.sum(), 1) - left_out


def bca(sample: Sample, seed: int, resamples: int) -> Bootstrap | None:
    """Resample the rows; None where the statistic does not vary or hardly ever exists, so that no interval can be read off."""
    values = sample.bootstrap(seed, resamples)
    finite = np.sort(values[np.isfinite(values)])
    point = sample.point()
    if len(finite) < 0.5 * resamples or finite[-1] - finite[0] <= 1e-12 * max(1.0, abs(point)):
        return None
    slack = 1e-12 * max(
        1.0, abs(point)
    )  # values equal to the point but for rounding count as ties, half below and half above
    below = (np.searchsorted(finite, point - slack, "left") + np.searchsorted(finite, point + slack, "right")) / 2
    bias = float(ndtri(np.clip(below, 0.5, len(finite) - 0.5) / len(finite)))
    times, influence = influences(sample.times, sample.jackknife())
    spread = float(times @ influence**2)
    acceleration = float(times @ influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    return Bootstrap(finite, bias, acceleration, len(values) - len(finite))


def unseen_bound(sample: Sample, level: float = 0.95) -> tuple[float, float] | None:
    """An interval where the resamples do not vary, or miss a kind of row, from what the rows that were not seen could do.

    How far the statistic moves if some cell that no test row fell into holds as much of the population as a Clopper-Pearson bound allows.
    Covers at least at `level`; None for rows that are not pooled into cells.
    """
    if sample.unseen is None:
        return None
    share = 1 - ((1 - level) / 2) ** (1 / sample.rows)
    seen = np.zeros(sample.unseen.shape[1])
    seen[: len(sample.times)] = sample.times / sample.rows
    moved = sample.statistic((1 - share) * seen + share * sample.unseen)
    moved = moved[np.isfinite(moved)]
    point = sample.point()
    return float(min(point, moved.min())), float(max(point, moved.max()))


def wilson(right: float, rows: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion.

    >>> [round(end, 4) for end in wilson(71, 71)]
    [0.9487, 1.0]
    """
    z = float(ndtri((1 + level) / 2))
    share = right / rows
    centre, half = share + z**2 / (2 * rows), z * float(np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)))
    low, high = (centre - half) / (1 + z**2 / rows), (centre + half) / (1 + z**2 / rows)
    return max(0.0, min(share, low)), min(1.0, max(share, high))  # rounding must not shut the share itself out


def confusion(labels: Array, predictions: Array, classes: int) -> Array:
    """Counts (classes, classes), indexed [label, prediction]."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def sample_of(name: str, labels: Array, predictions: Array, classes: int, signs: Array | None = None) -> Sample:
    """Rows as a `Sample` of the metric: averaged over predictions (draws, rows), or summed with `signs` (draws,), as in [1, -1]."""
    function = metrics[name].function
    share = np.full(len(predictions), 1 / len(predictions)) if signs is None else np.asarray(signs, dtype=np.float64)
    if not classes:
        labels, predictions = labels.astype(np.float64), predictions.astype(np.float64)

        def of_rows(weights: Array) -> Array:
            return np.sum(
                [part * function(labels, row, weights) for part, row in zip(share, predictions, strict=True)], axis=0
            )

        return Sample(np.ones(len(labels)), of_rows)
    cells, times = np.unique(np.concatenate([labels[None], predictions]), axis=1, return_counts=True)
    possible = classes ** len(cells)
    spare = np.empty((len(cells), 0), dtype=np.int64)
    if possible <= 1024:  # cells that no row fell into take part with weight zero, for `unseen_bound`
        every = np.stack(np.unravel_index(np.arange(possible), (classes,) * len(cells)))
        spare = every[
            :,
            ~np.isin(
                np.ravel_multi_index(tuple(every), (classes,) * len(cells)),
                np.ravel_multi_index(tuple(cells), (classes,) * len(cells)),
            ),
        ]
    units = np.concatenate([cells, spare], axis=1)
    seen = len(times)

    def statistic(weights: Array) -> Array:
        total: Array = np.zeros(len(weights))
        used = units[:, : weights.shape[1]]
        for part, row in zip(share, used[1:], strict=True):
            counts = np.zeros((len(weights), classes**2))
            cell = used[0] * classes + row
            order = np.argsort(cell, kind="stable")
            first = np.flatnonzero(np.concatenate([[True], np.diff(cell[order]) > 0]))
            counts[:, cell[order][first]] = np.add.reduceat(weights[:, order], first, axis=1)
            total = total + part * function(counts.reshape(-1, classes, classes))
        return total

    unseen = np.eye(seen + spare.shape[1])[seen:]
    return Sample(times, statistic, unseen if len(unseen) else None, size=classes**2)


def checked(name: str, labels: Array, predictions: Array, classes: int) -> tuple[Metric, Array, Array]:
    """The metric, the labels (rows,) and the predictions (draws, rows), where they fit each other."""
    entry = metrics[name]
    labels, predictions = np.asarray(labels), np.atleast_2d(np.asarray(predictions))
    if (entry.task == "regression") != (classes == 0):
        known = ", ".join(other for other in metrics if metrics[other].task != entry.task)
        raise UserError(f"metric '{name}' is for {entry.task}. Known for this task: {known}.")
    if entry.most_classes is not None and classes > entry.most_classes:
        raise UserError(
            f"metric '{name}' is for {entry.most_classes} classes, the task has {classes}. Use macro_f1 for more."
        )
    if labels.ndim != 1 or predictions.shape[1:] != labels.shape or not len(labels):
        raise UserError(
            f"metric '{name}' needs as many predictions as labels and at least one, got {predictions.shape[1:]} and {labels.shape}."
        )
    return entry, labels, predictions


def thin(labels: Array, predictions: Array, classes: int) -> bool:
    """Has some class fewer than `THIN` rows, or fewer than `THIN` predictions in some draw of predictions (draws, rows)?"""
    return classes > 0 and any(np.bincount(row, minlength=classes).min() < THIN for row in (labels, *predictions))


def widened(ends: tuple[float, float], bound: tuple[float, float] | None) -> tuple[float, float]:
    """The interval that holds both."""
    return ends if bound is None else (min(ends[0], bound[0]), max(ends[1], bound[1]))


def thin_note(bound: tuple[float, float] | None) -> str:
    """What `method` says of an interval from `thin` rows."""
    few = f"; a class has fewer than {THIN} rows or predictions"
    return few + (
        ", so the interval may be too narrow"
        if bound is None
        else ": widened by the Clopper-Pearson bound on unseen cells"
    )


def evaluate(
    name: str,
    labels: Array,
    predictions: Array,
    *,
    classes: int,
    seed: int = 0,
    resamples: int = 10000,
    fold: Array | None = None,
) -> Estimate:
    """A metric's value and its 95 % interval for this fitted probe on new rows.

    Parameters
    ----------
    labels : (rows,) class ids or targets
    predictions : (rows,), or (draws, rows): the value is then the mean over draws, the rows being resampled for all of them together
    classes : 0 for regression
    fold : (rows,), the fold of each row where the predictions are cross-validated; only noted

    Returns
    -------
    Estimate
        Wilson's interval for accuracy; else the BCa bootstrap over rows (Efron 1987), widened by `unseen_bound` where a class is `thin`;
        where all resamples agree, `unseen_bound`.
    """
    _, labels, predictions = checked(name, labels, predictions, classes)
    note = ""
    if fold is not None and (fold >= 0).any():
        note = f"; {len(np.unique(fold))} folds share training rows, so their rows are not independent and the interval is somewhat too narrow"
    sample = sample_of(name, labels, predictions, classes)
    value = sample.point()
    if not np.isfinite(value):
        why = (
            "the probe predicts one value for all rows"
            if np.ptp(labels)
            else "the labels to be predicted are all equal"
        )
        return Estimate(None, None, None, why, "undefined")
    if name == "accuracy" and len(predictions) == 1:
        return Estimate(value, *wilson(round(value * len(labels)), len(labels)), None, "Wilson" + note)
    found, bound = bca(sample, seed, resamples), unseen_bound(sample)
    if found is not None:
        low, high = found.interval()
        if thin(labels, predictions, classes):
            (low, high), note = widened((low, high), bound), thin_note(bound) + note
        reason = (
            f"undefined in {found.undefined} of {resamples} resamples, which were left out" if found.undefined else None
        )
        return Estimate(
            value, min(low, value), max(high, value), reason, f"BCa bootstrap over rows, {resamples} resamples" + note
        )
    if bound is None:
        return Estimate(
            value, None, None, "all resamples agree, so the bootstrap has no spread", "degenerate bootstrap"
        )
    return Estimate(
        value,
        *bound,
        "all resamples agree; widened to what unseen kinds of rows could do",
        "Clopper-Pearson bound on unseen cells" + note,
    )


def best_constant(name: str, train_labels: Array, test_labels: Array, classes: int) -> float | None:
    """The metric of the best constant prediction, best being judged on the training labels.

    That is class 1 throughout for F1, 0 for MCC, and None for correlations, which a constant leaves undefined.
    """
    entry = metrics[name]
    if entry.task == "regression":
        constant = np.full(len(test_labels), np.mean(train_labels))
        value = float(
            entry.function(np.asarray(test_labels, dtype=np.float64), constant, np.ones((1, len(test_labels))))[0]
        )
        return value if np.isfinite(value) else None
    scores = []
    for guess in range(classes):
        on_train, on_test = (
            confusion(np.asarray(labels), np.full(len(labels), guess), classes)
            for labels in (train_labels, test_labels)
        )
        scores.append(
            (float(entry.function(on_train[None])[0]), int(np.trace(on_train)), float(entry.function(on_test[None])[0]))
        )
    return max(scores, key=lambda score: score[:2])[2]

"""Paired comparisons on the same rows: tests, intervals, equivalence, agreement, Holm, partial conjunction. numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

from src.errors import UserError
from src.evaluation.metrics import (
    Bootstrap,
    Sample,
    bca,
    checked,
    influences,
    metrics,
    sample_of,
    thin,
    thin_note,
    unseen_bound,
    widened,
    wilson,
)

Array = NDArray[Any]
Interval = Callable[[float], tuple[float, float]]  # of a level, as 0.95
VERDICTS = ("equivalent", "equivalent with a small difference", "better", "worse", "undecided")


@dataclass(frozen=True)
class Difference:
    """metric(a) - metric(b) on the same rows, with 95 % and 90 % intervals and the two-sided p-value of no difference.

    None throughout where the difference is undefined, None for the ends where no interval can be trusted; `method` says why.
    `interval` gives the ends at any level.
    """

    value: float | None
    low: float | None
    high: float | None
    low90: float | None
    high90: float | None
    p: float | None
    method: str
    interval: Interval | None = field(default=None, repr=False, compare=False)


def mcnemar(correct_a: Array, correct_b: Array) -> float:
    """Mid-p value of McNemar's exact test, two-sided, from which rows (rows,) bool each side got right.

    >>> import numpy as np
    >>> a, b = np.array([True] * 9 + [False] * 2), np.array([False] * 9 + [True] * 2)
    >>> round(mcnemar(a, b), 6)
    0.038574

    References
    ----------
    Fagerland, Lydersen and Laake (2013), The McNemar test for binary matched-pairs data.
    """
    only_a, only_b = int(np.sum(correct_a & ~correct_b)), int(np.sum(correct_b & ~correct_a))
    least, total = min(only_a, only_b), only_a + only_b
    if total == 0:
        return 1.0
    below = float(bdtr(least - 1, total, 0.5)) if least else 0.0
    return min(1.0, below + float(bdtr(least, total, 0.5)))


def newcombe(correct_a: Array, correct_b: Array, level: float = 0.95) -> tuple[float, float]:
    """Interval for a difference of paired proportions, from Wilson's intervals of each (Newcombe 1998, method 10). Never degenerate.

    References
    ----------
    Newcombe (1998), Improved confidence intervals for the difference between binomial proportions based on paired data.
    """
    return _newcombe(*_pairs(correct_a, correct_b), level)


def _pairs(correct_a: Array, correct_b: Array) -> tuple[int, int, int, int]:
    """How many rows both got right, a alone, b alone, neither."""
    both, only_a, only_b = (
        int(np.sum(rows)) for rows in (correct_a & correct_b, correct_a & ~correct_b, correct_b & ~correct_a)
    )
    return both, only_a, only_b, len(correct_a) - both - only_a - only_b


def _newcombe(both: int, only_a: int, only_b: int, neither: int, level: float) -> tuple[float, float]:
    rows = both + only_a + only_b + neither
    right_a, right_b = both + only_a, both + only_b
    (low_a, high_a), (low_b, high_b) = wilson(right_a, rows, level), wilson(right_b, rows, level)
    share_a, share_b = right_a / rows, right_b / rows
    product = float(right_a) * (rows - right_a) * right_b * (rows - right_b)
    covariance = float(both * neither - only_a * only_b)
    if covariance > 0:
        covariance = max(covariance - rows / 2, 0)
    phi = covariance / np.sqrt(product) if product > 0 else 0.0
    below = (share_a - low_a) ** 2 - 2 * phi * (share_a - low_a) * (high_b - share_b) + (high_b - share_b) ** 2
    above = (high_a - share_a) ** 2 - 2 * phi * (high_a - share_a) * (share_b - low_b) + (share_b - low_b) ** 2
    return float(share_a - share_b - np.sqrt(max(below, 0))), float(share_a - share_b + np.sqrt(max(above, 0)))


def one_sided(interval: Interval, null: float) -> tuple[float, float]:
    """p-values of "at most `null`" and "at least `null`": the level at which the end of the two-sided interval comes to lie on `null`.

    p of the first is the smallest for which the lower end of the interval at level 1 - 2p is above `null`, so that each test agrees with
    the interval to the last digit.

    >>> at_least_zero = one_sided(lambda level: (0.1 - 0.2 * level, 0.1 + 0.2 * level), 0.0)
    >>> [round(p, 6) for p in at_least_zero]
    [0.25, 0.75]
    """

    def shown(p: float, above: bool) -> bool:
        low, high = interval(abs(1 - 2 * p))
        if p > 0.5:
            low, high = high, low
        return low > null if above else high < null

    found = []
    for above in (True, False):
        inside, outside = 0.0, 1.0
        for _ in range(48):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if shown(middle, above) else (middle, outside)
        found.append(outside)
    return found[0], found[1]


def two_sided(interval: Interval, null: float = 0.0) -> float:
    """One less the level of the widest interval that leaves `null` out."""
    return min(1.0, 2 * min(one_sided(interval, null)))


@dataclass(frozen=True)
class _Kept(Sample):
    """A sample whose resamples and jackknife are known."""

    values: Array = field(default_factory=lambda: np.empty(0))
    left_out: Array = field(default_factory=lambda: np.empty(0))
    value: float = 0.0

    def point(self) -> float:
        return self.value

    def bootstrap(self, seed: int, resamples: int) -> Array:
        return self.values

    def jackknife(self) -> Array:
        return self.left_out


@dataclass(frozen=True)
class _Expanded:
    """A bootstrap's interval and p-value with Student's quantiles for the normal ones (Hesterberg 2015, expanded intervals).

    Where two probes agree on most rows, few rows carry the difference: `freedom` is as many as would carry it in equal parts, less one.
    """

    known: Bootstrap
    freedom: float

    def interval(self, level: float) -> tuple[float, float]:
        """Above the levels that are reported, the whole line beyond what the resamples can resolve: no p-value falls below that."""
        normal = 2 * float(ndtr(stdtrit(self.freedom, (1 + level) / 2))) - 1
        finest = 1 - 1 / len(self.known.values)
        return (-np.inf, np.inf) if normal > finest and level > 0.95 else self.known.interval(min(normal, finest))

    def p_value(self) -> float:
        return float(min(1.0, 2 * stdtr(self.freedom, ndtri(self.known.p_value() / 2))))


def _freedom(times: Array, left_out: Array) -> float:
    """Effective number of rows, less one, from the statistic without one row of each unit; at least 4, where 95 % can be resolved."""
    times, influence = influences(times, left_out)
    fourth = float(times @ influence**4)
    return max(4.0, float(times @ influence**2) ** 2 / fourth - 1) if fourth > 0 else 4.0


@dataclass(frozen=True)
class Resampled:
    """Runs on the same rows with one set of resamples for all of them, so that any pair of runs costs a subtraction.

    `points` (runs, draws), `values` (resamples, runs) and `left_out` (units, runs) hold the metric of all rows, of each resample (the mean
    over draws), and without one row of each kind, of which there are `times` (units,). `student` (resamples,) is Student's t with draws - 1
    degrees of freedom.
    """

    metric: str
    classes: int
    labels: Array
    predictions: Array
    points: Array
    values: Array
    left_out: Array
    times: Array
    student: Array

    def resamples_of(self, a: int, b: int) -> Array:
        """metric(a) - metric(b) in each resample, (resamples,): of new rows, and of new draws where there are several.

        The rows of all draws are resampled together. A new set of draws moves the mean by Student's t times its standard error over the
        draws, in which each draw of a is paired with the same draw of b; the sum is a generalised pivot (Weerahandi 1993, Generalized
        confidence intervals), as two bootstraps at a time would take five draws for a population (Owen 2007, The pigeonhole bootstrap).
        """
        draws = self.points.shape[1]
        rows = self.values[:, a] - self.values[:, b]
        if draws == 1:
            return rows
        return rows + self.student * float(np.std(self.points[a] - self.points[b], ddof=1)) / np.sqrt(draws)

    def difference(self, a: int, b: int) -> Difference:
        """metric(a) - metric(b) by the BCa bootstrap with Student's quantiles; for a thin class widened by `unseen_bound` of the metrics.

        With normal quantiles the type-I error at 250 rows is about 6 %, at 71 rows 10 %.
        """
        by_draw = self.points[a] - self.points[b]
        value = float(by_draw.mean())
        if not np.isfinite(value):
            why = "undefined: one side predicts one value for all rows, or the labels are all equal"
            return Difference(None, None, None, None, None, None, why)
        times, left_out, draws = self.times, self.left_out[:, a] - self.left_out[:, b], len(by_draw)
        freedom = _freedom(times, left_out)
        if draws > 1:  # a draw left out counts as a row does, so that the acceleration is that of both
            times, left_out = (
                np.append(times, np.ones(draws)),
                np.append(left_out, (by_draw.sum() - by_draw) / (draws - 1)),
            )
        found = bca(_Kept(times, np.asarray, None, self.resamples_of(a, b), left_out, value), 0, len(self.values))
        pair = np.concatenate([self.predictions[a], self.predictions[b]])
        if found is not None and not thin(self.labels, pair, self.classes):
            wider = _Expanded(found, freedom)
            return _difference(value, wider.interval, wider.p_value(), self._method(""))
        sample = sample_of(self.metric, self.labels, pair, self.classes, signs=np.repeat([1.0, -1.0], draws) / draws)
        bound = unseen_bound(sample)

        def unseen(level: float) -> tuple[float, float]:
            return unseen_bound(sample, level) or (value, value)

        if found is not None:
            seen = found.interval
            return _difference(
                value,
                lambda level: widened(seen(level), unseen(level)),
                max(found.p_value(), two_sided(unseen) if bound else 0.0),
                self._method(thin_note(bound)),
            )
        p = 1.0 if value == 0 else None
        if bound is None:
            return Difference(value, None, None, None, None, p, "all resamples agree, so the bootstrap has no spread")
        return _difference(value, unseen, p, "all resamples agree; Clopper-Pearson bound on unseen cells")

    def _method(self, note: str) -> str:
        of_draws = f" and Student's t over {self.points.shape[1]} draws" if self.points.shape[1] > 1 else ""
        return f"paired BCa bootstrap, {len(self.values)} resamples{of_draws}{note}"


def _difference(value: float, interval: Interval, p: float | None, method: str) -> Difference:
    """A difference with its interval, which holds the value at every level."""

    def holding(level: float) -> tuple[float, float]:
        low, high = interval(level)
        return min(low, value), max(high, value)

    return Difference(value, *holding(0.95), *holding(0.90), p, method, holding)


def resample(
    metric_name: str,
    labels: Array,
    predictions: Sequence[Array],
    *,
    classes: int,
    seed: int = 0,
    resamples: int = 10000,
) -> Resampled:
    """Draw rows with their label and the predictions of all runs, each (rows,) or (draws, rows), and score every run in every resample.

    Raises
    ------
    UserError
        Predictions of other rows than the labels', runs with different numbers of draws, a metric of another task.
    """
    stacks = [checked(metric_name, labels, one, classes)[2] for one in predictions]
    if len(found := {len(stack) for stack in stacks}) > 1:
        raise UserError(f"runs are paired draw by draw, got {sorted(found)} draws. Compare runs with equally many.")
    labels, runs = np.asarray(labels), np.stack(stacks)
    draws = runs.shape[1]
    function = metrics[metric_name].function
    if classes:
        seen, kinds = np.concatenate([labels[None], runs.reshape(-1, len(labels))]), classes
        if metric_name == "accuracy":  # right or wrong is all that counts, which leaves fewer kinds of rows to draw
            seen, kinds = (seen == labels).astype(np.int64), 2
        units, times = np.unique(seen, axis=1, return_counts=True)
        of_unit = [np.eye(kinds**2)[units[0] * kinds + row] for row in units[1:]]

        def scores(weights: Array) -> Array:
            return np.stack([function((weights @ cell).reshape(-1, kinds, kinds)) for cell in of_unit], axis=-1)

        left_out = np.stack([function((times @ cell - cell).reshape(-1, kinds, kinds)) for cell in of_unit], axis=-1)
    else:
        times = np.ones(len(labels), dtype=np.int64)
        targets, rows = labels.astype(np.float64), runs.reshape(-1, len(labels)).astype(np.float64)

        def scores(weights: Array) -> Array:
            return np.stack([function(targets, row, weights) for row in rows], axis=-1)

        left_out = pearson_without(targets, rows) if metric_name == "pearson" else Sample(times, scores).jackknife()

    def of_runs(weights: Array) -> Array:
        return scores(weights).reshape(len(weights), -1, draws).mean(axis=-1)

    sample = Sample(times, of_runs)
    uniform = np.random.default_rng([seed, 4]).random(resamples)
    return Resampled(
        metric_name,
        classes,
        labels,
        runs,
        scores(times[None].astype(np.float64)).reshape(-1, draws),
        sample.bootstrap(seed, resamples),
        left_out.reshape(len(times), -1, draws).mean(axis=-1),
        times,
        stdtrit(draws - 1, uniform) if draws > 1 else np.zeros(resamples),
    )


def pearson_without(labels: Array, predictions: Array) -> Array:
    """Pearson correlation of labels (rows,) and predictions (runs, rows) without each row in turn, (rows, runs), from the sums of all.

    What `Sample.jackknife` gives, in steps of rows where that takes rows squared; undefined where what is left is constant.
    """
    x, y = labels - labels.mean(), predictions - predictions.mean(axis=1, keepdims=True)
    x, y = (
        x / (np.abs(x).max() or 1.0),
        y / np.where((largest := np.abs(y).max(axis=1, keepdims=True)) > 0, largest, 1.0),
    )
    rest = len(labels) - 1
    sum_x, sum_y = x.sum() - x, y.sum(axis=1, keepdims=True) - y
    square_x, square_y = (x**2).sum() - x**2, (y**2).sum(axis=1, keepdims=True) - y**2
    cross = (y @ x)[:, None] - y * x
    spread_x, spread_y = square_x - sum_x**2 / rest, square_y - sum_y**2 / rest
    flat = (spread_x <= 1e-14 * square_x) | (spread_y <= 1e-14 * square_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, np.nan, np.clip((cross - sum_x * sum_y / rest) / np.sqrt(spread_x * spread_y), -1, 1)).T


def paired_bootstrap(
    metric_name: str,
    labels: Array,
    pred_a: Array,
    pred_b: Array,
    *,
    classes: int,
    seed: int = 0,
    resamples: int = 10000,
) -> Difference:
    """BCa bootstrap of metric(a) - metric(b): rows are drawn with their label and both predictions; the p-value inverts the interval.

    Predictions are (rows,) or (draws, rows), as `Resampled.resamples_of` takes them. Where a class is thin (as `thin` says), both are
    widened by `src.evaluation.metrics.unseen_bound`.
    """
    return resample(metric_name, labels, [pred_a, pred_b], classes=classes, seed=seed, resamples=resamples).difference(
        0, 1
    )


def compare(
    metric_name: str,
    labels: Array,
    pred_a: Array,
    pred_b: Array,
    *,
    classes: int,
    seed: int = 0,
    resamples: int = 10000,
) -> Difference:
    """a against b on the same rows: accuracy by McNemar's mid-p with Newcombe's interval, everything else by the paired bootstrap.

    Predictions are (rows,) or (draws, rows); several draws are compared by the bootstrap whatever the metric.
    """
    if metric_name != "accuracy" or max(np.ndim(pred_a), np.ndim(pred_b)) > 1:
        return paired_bootstrap(metric_name, labels, pred_a, pred_b, classes=classes, seed=seed, resamples=resamples)
    _, labels, predictions = checked(metric_name, labels, np.stack([np.asarray(pred_a), np.asarray(pred_b)]), classes)
    correct_a, correct_b = predictions == labels
    pairs = _pairs(correct_a, correct_b)
    return _difference(
        float(correct_a.mean() - correct_b.mean()),
        lambda level: _newcombe(*pairs, level),
        mcnemar(correct_a, correct_b),
        "McNemar mid-p, Newcombe interval",
    )


def equivalent(difference: Difference, margin: float) -> bool:
    """Two one-sided tests at 5 %: does the 90 % interval lie inside (-margin, margin)? An interval that is missing shows nothing."""
    if not margin > 0:
        raise UserError(f"an equivalence margin is above 0, got {margin}.")
    return (
        difference.low90 is not None
        and difference.high90 is not None
        and -margin < difference.low90
        and difference.high90 < margin
    )


def p_equivalence(difference: Difference, margin: float) -> float | None:
    """p of two one-sided tests (Schuirmann 1987): the larger of those of "at most -margin" and "at least margin".

    At most 0.05 just where the 90 % interval lies inside (-margin, margin). None without an interval.
    """
    if not margin > 0:
        raise UserError(f"an equivalence margin is above 0, got {margin}.")
    if difference.interval is None:
        return None
    return max(one_sided(difference.interval, -margin)[0], one_sided(difference.interval, margin)[1])


def smallest_margin(difference: Difference) -> float | None:
    """The smallest margin at which these rows show equivalence: the farther end of the 90 % interval."""
    if difference.low90 is None or difference.high90 is None:
        return None
    return max(abs(difference.low90), abs(difference.high90))


def smallest_difference(difference: Difference, power: float = 0.8) -> float | None:
    """The smallest true difference that a two-sided 5 % test on such rows would show with this power, from the interval's width."""
    if difference.low is None or difference.high is None:
        return None
    error = (difference.high - difference.low) / (2 * float(ndtri(0.975)))
    return error * float(ndtri(0.975) + ndtri(power))


def verdict(
    difference: Difference,
    margin: float,
    *,
    level: float = 0.05,
    p: float | None = None,
    higher_is_better: bool = True,
    equivalence: bool | None = None,
) -> str:
    """One of `VERDICTS`, of a against b. `p` and `equivalence` replace the difference's own where they were corrected for multiplicity."""
    same = equivalent(difference, margin) if equivalence is None else equivalence
    tested = difference.p if p is None else p
    differs = tested is not None and tested <= level
    if same:
        return "equivalent with a small difference" if differs else "equivalent"
    if not differs or difference.value is None or difference.value == 0:
        return "undecided"
    return "better" if (difference.value > 0) == higher_is_better else "worse"


def _pvalues(pvalues: Sequence[float]) -> Array:
    values = np.asarray(pvalues, dtype=np.float64)
    if values.size and not ((values >= 0) & (values <= 1)).all():
        raise UserError("p-values lie between 0 and 1.")
    return values


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = _pvalues(pvalues)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)) if values.size else values
    out = np.empty_like(values)
    out[order] = np.minimum(adjusted, 1)
    return [float(value) for value in out]


def kappa(first: Array, second: Array, *, classes: int, level: float = 0.95) -> tuple[float, float, float] | None:
    """Cohen's kappa of two predictions (rows,) with its interval: value, low, high. None where both hold one same class alone.

    The interval is Wilson's for the share of agreement, at as many rows as would give kappa the variance of Fleiss, Cohen and Everitt
    (1969), at the agreement expected from the margins. Wald's interval from the same variance is too narrow near 1.

    >>> import numpy as np
    >>> [round(value, 3) for value in kappa(np.repeat([0, 1], 50), np.repeat([0, 1], [55, 45]), classes=2)]
    [0.9, 0.777, 0.957]
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise UserError(f"agreement needs two predictions of the same rows, got {first.shape} and {second.shape}.")
    table = np.bincount(first * classes + second, minlength=classes**2).reshape(classes, classes) / len(first)
    by_first, by_second, same = table.sum(axis=1), table.sum(axis=0), np.diag(table)
    agreement, chance = float(same.sum()), float(by_first @ by_second)
    if chance >= 1:
        return None
    value = (agreement - chance) / (1 - chance)
    on = float(same @ (1 - (by_first + by_second) * (1 - value)) ** 2)
    sums = (by_second[:, None] + by_first[None]) ** 2
    off = (1 - value) ** 2 * float((table * sums).sum() - (same * np.diag(sums)).sum())
    variance = max(0.0, on + off - (value - chance * (1 - value)) ** 2) / len(first)  # of the agreement, at this chance
    rows = max(1, round(agreement * (1 - agreement) / variance)) if variance > 1e-15 else len(first)
    low, high = wilson(agreement * rows, rows, level)
    return value, max(-1.0, (low - chance) / (1 - chance)), (high - chance) / (1 - chance)


def partial_conjunction(pvalues: Sequence[float]) -> list[float]:
    """p-values of "at least k of the N effects are there", k = 1 .. N, from one p-value each (Benjamini and Heller 2008).

    The Bonferroni form, (N - k + 1) times the k-th smallest, made never to fall in k: Holm's adjusted p-values in order. Valid however the
    p-values depend on each other, as those of tasks that share sentences do, and jointly for all k.

    >>> [round(p, 6) for p in partial_conjunction([0.001, 0.2, 0.01])]
    [0.003, 0.02, 0.2]
    """
    return sorted(holm(pvalues))


def largest_conjunction(conjunction: Sequence[float], level: float = 0.05) -> int:
    """The largest k shown at `level`: with confidence 1 - level, at least so many effects are there. 0 where none is shown."""
    return sum(p <= level for p in conjunction)

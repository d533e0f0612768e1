"""Paired comparisons on the same rows: tests, intervals, equivalence, Holm. numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from src.errors import UserError
from src.metrics import Sample, bca, checked, sample_of, thin, thin_note, unseen_bound, widened, wilson

Array = NDArray[Any]
VERDICTS = ("equivalent", "equivalent with a small difference", "better", "worse", "undecided")


@dataclass(frozen=True)
class Difference:
    """metric(a) - metric(b) on the same rows, with 95 % and 90 % intervals and the two-sided p-value of no difference.

    None throughout where the difference is undefined, None for the ends where no interval can be trusted; `method` says why.
    """

    value: float | None
    low: float | None
    high: float | None
    low90: float | None
    high90: float | None
    p: float | None
    method: str


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
    rows = len(correct_a)
    both, only_a = int(np.sum(correct_a & correct_b)), int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(correct_b & ~correct_a))
    neither = rows - both - only_a - only_b
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


def _unseen_p(sample: Sample) -> float:
    """Two-sided: one less the level of the widest `unseen_bound` that leaves no difference out; 0 without such a bound."""
    inside, outside = 0.0, 1.0
    for _ in range(40):
        level = 1 - (middle := (inside + outside) / 2)
        bound = unseen_bound(sample, level)
        if bound is None:
            return 0.0
        inside, outside = (middle, outside) if bound[0] <= 0 <= bound[1] else (inside, middle)
    return outside


def paired_bootstrap(
    metric_name: str, labels: Array, pred_a: Array, pred_b: Array, *, classes: int, seed: int = 0, resamples: int = 10000
) -> Difference:
    """BCa bootstrap of metric(a) - metric(b): rows are drawn with their label and both predictions; the p-value inverts the interval.

    Where a class is thin (`src.metrics.thin`), both are widened by `src.metrics.unseen_bound`.
    """
    _, labels, predictions = checked(metric_name, labels, np.stack([np.asarray(pred_a), np.asarray(pred_b)]), classes)
    sample = sample_of(metric_name, labels, predictions, classes, signs=np.array([1.0, -1.0]))
    value = sample.point()
    if not np.isfinite(value):
        return Difference(
            None, None, None, None, None, None, "undefined: one side predicts one value for all rows, or the labels are all equal"
        )
    found = bca(sample, seed, resamples)
    wide, narrow = unseen_bound(sample, 0.95), unseen_bound(sample, 0.90)
    if found is not None:
        (low, high), (low90, high90), p, note = found.interval(0.95), found.interval(0.90), found.p_value(), ""
        if thin(labels, predictions, classes):
            (low, high), (low90, high90) = widened((low, high), wide), widened((low90, high90), narrow)
            p, note = max(p, _unseen_p(sample)), thin_note(wide)
        return Difference(
            value,
            min(low, value),
            max(high, value),
            min(low90, value),
            max(high90, value),
            p,
            f"paired BCa bootstrap, {resamples} resamples" + note,
        )
    if wide is None or narrow is None:
        return Difference(value, None, None, None, None, 1.0 if value == 0 else None, "all resamples agree, so the bootstrap has no spread")
    return Difference(value, *wide, *narrow, 1.0 if value == 0 else None, "all resamples agree; Clopper-Pearson bound on unseen cells")


def compare(
    metric_name: str, labels: Array, pred_a: Array, pred_b: Array, *, classes: int, seed: int = 0, resamples: int = 10000
) -> Difference:
    """a against b on the same rows: accuracy by McNemar's mid-p with Newcombe's interval, everything else by the paired bootstrap."""
    if metric_name != "accuracy":
        return paired_bootstrap(metric_name, labels, pred_a, pred_b, classes=classes, seed=seed, resamples=resamples)
    _, labels, predictions = checked(metric_name, labels, np.stack([np.asarray(pred_a), np.asarray(pred_b)]), classes)
    correct_a, correct_b = predictions == labels
    value = float(correct_a.mean() - correct_b.mean())
    return Difference(
        value,
        *newcombe(correct_a, correct_b, 0.95),
        *newcombe(correct_a, correct_b, 0.90),
        mcnemar(correct_a, correct_b),
        "McNemar mid-p, Newcombe interval",
    )


def equivalent(difference: Difference, margin: float) -> bool:
    """Two one-sided tests at 5 %: does the 90 % interval lie inside (-margin, margin)? An interval that is missing shows nothing."""
    if not margin > 0:
        raise UserError(f"an equivalence margin is above 0, got {margin}.")
    return difference.low90 is not None and difference.high90 is not None and -margin < difference.low90 and difference.high90 < margin


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


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(pvalues, dtype=np.float64)
    if values.size and not ((values >= 0) & (values <= 1)).all():
        raise UserError("p-values lie between 0 and 1.")
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)) if values.size else values
    out = np.empty_like(values)
    out[order] = np.minimum(adjusted, 1)
    return [float(value) for value in out]

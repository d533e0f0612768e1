"""A difference of two runs with its intervals, p-values, equivalence tests and verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from src.errors import UserError

Interval = Callable[[float], tuple[float, float]]  # maps a level, as 0.95, to the ends
# The terms in which a comparison ends; docs/protocol.md defines them.
NO_RELEVANT_DIFFERENCE = "no relevant difference"
SMALL_DIFFERENCE = "small difference"
BETTER, WORSE, INCONCLUSIVE = "better", "worse", "inconclusive"
VERDICTS = (NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, BETTER, WORSE, INCONCLUSIVE)


@dataclass(frozen=True)
class Difference:
    """metric(a) - metric(b) on the same rows, with its intervals and its p-value.

    Attributes
    ----------
    value : float or None
        None where the difference is undefined, as are then all other fields but `method`.
    low, high, low90, high90 : float or None
        Ends of the 95 % and 90 % intervals; None where no interval is reliable, as `method`
        explains.
    p : float or None
        Two-sided, of no difference.
    interval : callable or None
        Gives the ends at any level.
    """

    value: float | None
    low: float | None
    high: float | None
    low90: float | None
    high90: float | None
    p: float | None
    method: str
    interval: Interval | None = field(default=None, repr=False, compare=False)


def difference_from_interval(value: float, interval: Interval, p: float | None, method: str) -> Difference:
    """Return a difference whose interval is extended to contain the value at every level."""

    def extended(level: float) -> tuple[float, float]:
        low, high = interval(level)
        return min(low, value), max(high, value)

    return Difference(value, *extended(0.95), *extended(0.90), p, method, extended)


def one_sided(interval: Interval, null: float) -> tuple[float, float]:
    """Return the p-values of the hypotheses "at most `null`" and "at least `null`".

    The first is the smallest p for which the lower end of the interval at level 1 - 2p is above
    `null`. Each test therefore agrees with the interval to the last digit.

    >>> at_least_zero = one_sided(lambda level: (0.1 - 0.2 * level, 0.1 + 0.2 * level), 0.0)
    >>> [round(p, 6) for p in at_least_zero]
    [0.25, 0.75]
    """

    def rejected(p: float, above: bool) -> bool:
        low, high = interval(abs(1 - 2 * p))
        if p > 0.5:
            low, high = high, low
        return low > null if above else high < null

    found = []
    for above in (True, False):
        inside, outside = 0.0, 1.0
        for _ in range(48):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if rejected(middle, above) else (middle, outside)
        found.append(outside)
    return found[0], found[1]


def two_sided(interval: Interval, null: float = 0.0) -> float:
    """Return the two-sided p-value: 1 minus the level of the widest interval without `null`."""
    return min(1.0, 2 * min(one_sided(interval, null)))


def equivalent(difference: Difference, margin: float) -> bool:
    """Return whether the 90 % interval lies inside (-margin, margin): two one-sided tests at 5 %.

    False without an interval.
    """
    smallest = smallest_margin(difference)
    _check_margin(margin)
    return smallest is not None and smallest < margin


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise UserError(f"an equivalence margin is above 0, got {margin}. Give a fraction such as 0.01, one point.")


def p_equivalence(difference: Difference, margin: float) -> float | None:
    """Return the p-value of two one-sided tests (Schuirmann 1987), None without an interval.

    It is at most 0.05 exactly where the 90 % interval lies inside (-margin, margin).
    """
    _check_margin(margin)
    if difference.interval is None:
        return None
    return max(one_sided(difference.interval, -margin)[0], one_sided(difference.interval, margin)[1])


def smallest_margin(difference: Difference) -> float | None:
    """Return the smallest margin at which these rows show equivalence, from the 90 % interval."""
    if difference.low90 is None or difference.high90 is None:
        return None
    return max(abs(difference.low90), abs(difference.high90))


def smallest_difference(difference: Difference, power: float = 0.8) -> float | None:
    """Return the smallest true difference that a two-sided 5 % test detects with this power.

    It follows from the width of the 95 % interval; None without one.
    """
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
    """Return one of `VERDICTS`, of a against b.

    Parameters
    ----------
    p : float or None
        A p-value corrected for multiplicity, in place of the difference's own.
    equivalence : bool or None
        Whether equivalence is shown after correction for multiplicity; None tests it here.
    """
    same = equivalent(difference, margin) if equivalence is None else equivalence
    tested = difference.p if p is None else p
    differs = tested is not None and tested <= level
    if same:
        return SMALL_DIFFERENCE if differs else NO_RELEVANT_DIFFERENCE
    if not differs or difference.value is None or difference.value == 0:
        return INCONCLUSIVE
    return BETTER if (difference.value > 0) == higher_is_better else WORSE


def mirrored(term: str) -> str:
    """Return the verdict of b against a, given that of a against b."""
    return {BETTER: WORSE, WORSE: BETTER}.get(term, term)


def student_difference(value: float, error: float, freedom: float, method: str) -> Difference:
    """Return a difference with a standard error and Student's quantiles.

    Parameters
    ----------
    value, error : float
        An error of 0 leaves the difference without an interval and without a p-value.
    freedom : float
        Degrees of freedom; infinite for normal quantiles. With less than one there is no interval and no
        p-value.
    method : str
    """
    if not freedom >= 1:
        return Difference(value, None, None, None, None, None, f"{method}; with fewer than two there is no error")
    if not error > 0:
        return Difference(value, None, None, None, None, None, f"{method}; without a spread there is no error")

    def interval(level: float) -> tuple[float, float]:
        half = error * float(stdtrit(freedom, (1 + level) / 2) if np.isfinite(freedom) else ndtri((1 + level) / 2))
        return value - half, value + half

    tail = -abs(value) / error
    p = 2 * float(stdtr(freedom, tail) if np.isfinite(freedom) else ndtr(tail))
    return Difference(value, *interval(0.95), *interval(0.90), p, method, interval)

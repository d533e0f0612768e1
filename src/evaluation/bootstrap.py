"""The BCa bootstrap, and bounds from cells without test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from src.evaluation.metrics import Array
from src.evaluation.samples import SPARSE, Sample

RESAMPLES = 10_000  # default number of bootstrap resamples


@dataclass(frozen=True)
class Bootstrap:
    """A bias-corrected and accelerated bootstrap: intervals at any level, and matching p-values.

    Attributes
    ----------
    values : (defined resamples,)
        The statistic in each resample, sorted and finite.
    undefined : int
        Number of resamples without a value, which are left out.

    References
    ----------
    Efron (1987), Better bootstrap confidence intervals.
    """

    values: Array
    bias: float
    acceleration: float
    undefined: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the quantiles of the resamples at the corrected places."""
        ends = self.bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
        places = ndtr(self.bias + ends / np.maximum(1 - self.acceleration * ends, 1e-6))
        low, high = quantiles(self.values, places)
        return float(low), float(high)

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p-value: 1 minus the level of the widest interval without `null`."""
        count = len(self.values)
        below = np.searchsorted(self.values, null, "left") + np.searchsorted(self.values, null, "right")
        place = ndtri(np.clip(below / 2, 0.5, count - 0.5) / count) - self.bias
        scale = 1 + self.acceleration * place
        tail = float(ndtr(place / scale - self.bias)) if scale > 0 else float(place > 0)
        return float(np.clip(2 * min(tail, 1 - tail), 1 / count, 1))


def quantiles(ordered: Array, places: Array) -> Array:
    """Return ``numpy.quantile`` of sorted values, to the last bit.

    It makes no copy, since a p-value by bisection needs a hundred quantiles.
    """
    at = places * (len(ordered) - 1)
    below = np.minimum(np.floor(at).astype(np.int64), len(ordered) - 1)
    low, high, share = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)], at - below
    return np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))


def influences(counts: Array, left_out: Array, strata: Array | None = None) -> tuple[Array, Array]:
    """Return the rows of each unit, and how far one row moves the statistic: (units,) both.

    Parameters
    ----------
    counts : (units,)
    left_out : (units,)
        The statistic without one row of each unit. A unit counts no rows where it is undefined.
    strata : (units,), or None
        Rows are resampled among those with an equal entry. The influences then have mean zero in
        each stratum, since its number of rows is the same in every resample.

    References
    ----------
    Davison and Hinkley (1997), Bootstrap methods and their application, chapter 5: the
    acceleration of several samples.
    """
    counts = np.where(np.isfinite(left_out), counts, 0)
    left_out = np.where(counts > 0, left_out, 0)
    if strata is None:
        return counts, (counts @ left_out) / max(counts.sum(), 1) - left_out
    _, place = np.unique(strata, return_inverse=True)
    means = np.bincount(place, counts * left_out) / np.maximum(np.bincount(place, counts), 1)
    return counts, means[place] - left_out


def bca(sample: Sample, seed: int, resamples: int) -> Bootstrap | None:
    """Resample the rows; return None where the statistic does not vary or is mostly undefined."""
    values = sample.bootstrap(seed, resamples)
    return bca_of_resamples(values, sample.point(), sample.counts, sample.jackknife, sample.strata)


def bca_of_resamples(
    values: Array, point: float, counts: Array, jackknife: Callable[[], Array], strata: Array | None = None
) -> Bootstrap | None:
    """Return the bootstrap of known resamples; None where they do not vary or are mostly undefined.

    Parameters
    ----------
    values : (resamples,)
        The statistic in each resample.
    point : float
        The statistic of the test rows.
    counts : (units,)
        Rows of each unit.
    jackknife : callable
        Returns the statistic without one row of each unit, (units,).
    strata : (units,), or None
        Rows were resampled among those with an equal entry.
    """
    finite = np.sort(values[np.isfinite(values)])
    if len(finite) < 0.5 * len(values) or finite[-1] - finite[0] <= 1e-12 * max(1.0, abs(point)):
        return None
    slack = 1e-12 * max(1.0, abs(point))  # values equal but for rounding are ties, half below and half above
    below = (np.searchsorted(finite, point - slack, "left") + np.searchsorted(finite, point + slack, "right")) / 2
    bias = float(ndtri(np.clip(below, 0.5, len(finite) - 0.5) / len(finite)))
    counts, influence = influences(counts, jackknife(), strata)
    spread = float(counts @ influence**2)
    acceleration = float(counts @ influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    return Bootstrap(finite, bias, acceleration, len(values) - len(finite))


def unseen_bound(sample: Sample, level: float = 0.95) -> tuple[float, float] | None:
    """Return how far the statistic moves if a cell without test rows is part of the population.

    The cell holds as much of the population as a Clopper-Pearson bound allows. The interval is for
    resamples that do not vary or that miss a kind of row, and covers at least at `level`. None
    where the sample lists no unseen cells.
    """
    if sample.unseen is None:
        return None
    share = 1 - ((1 - level) / 2) ** (1 / sample.rows)
    seen = np.zeros(sample.unseen.shape[1])
    seen[: len(sample.counts)] = sample.counts / sample.rows
    moved = sample.statistic((1 - share) * seen + share * sample.unseen)
    moved = moved[np.isfinite(moved)]
    point = sample.point()
    return float(min(point, moved.min())), float(max(point, moved.max()))


def widen(ends: tuple[float, float], bound: tuple[float, float] | None) -> tuple[float, float]:
    """Return the smallest interval that contains both."""
    return ends if bound is None else (min(ends[0], bound[0]), max(ends[1], bound[1]))


def sparse_note(bound: tuple[float, float] | None) -> str:
    """Return the end of `method` for an interval of sparse rows, widened by `bound` if given."""
    consequence = ", so the interval may be too narrow"
    if bound is not None:
        consequence = ": widened by the Clopper-Pearson bound on unseen cells"
    return f"; a class has fewer than {SPARSE} rows or predictions{consequence}"

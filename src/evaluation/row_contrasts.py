"""Contrasts of two runs with the influence of every test row, so that tasks can share rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.errors import UserError
from src.evaluation.differences import Difference, student_difference
from src.evaluation.metrics import Array, metrics
from src.evaluation.overlap import Overlap, small_sample_factor


@dataclass(frozen=True, eq=False)
class TaskLosses:
    """Losses of several runs on the same test rows, beside those of the constant.

    Attributes
    ----------
    losses : dict
        Name of a run to (rows,) or (draws, rows).
    constant : (rows,)
        See `src.evaluation.deviance.constant_losses`.
    clusters : (rows,) or (rows, 2)
        Equal for rows that depend on each other, also in other tasks; see `src.evaluation.overlap.row_clusters`.
    folds : (rows,), or None
        The fold of each row in cross-validation.
    """

    name: str
    losses: dict[str, Array]
    constant: Array
    clusters: Array
    folds: Array | None = None


@dataclass(frozen=True, eq=False)
class RowContrast:
    """Run a less run b on one task.

    Attributes
    ----------
    value : float
        As a fraction: 0.01 is a point.
    influence : (rows,)
        How far a row moves the value: rows times its derivative by the row's weight. Its mean is 0.
    clusters : (rows,) or (rows, 2)
        Equal for rows that depend on each other; see `src.evaluation.overlap.row_clusters`.
    error : float
        Standard error for new rows, at least 1 / rows.
    unit : str or None
        Equal for tasks that share texts; None for a task that shares none.
    overlap : Overlap
        Of the rows of this task.
    """

    task: str
    a: str
    b: str
    value: float
    influence: Array
    clusters: Array
    error: float
    overlap: Overlap
    unit: str | None = None

    @property
    def independent(self) -> float:
        """How many independent rows the rows are worth; see `Overlap.independent`."""
        return self.overlap.independent

    @property
    def difference(self) -> Difference:
        """The contrast with its intervals and p-value."""
        return student_difference(self.value, self.error, *degrees_of_freedom([self]))


def degrees_of_freedom(found: Sequence[RowContrast]) -> tuple[float, str]:
    """Return the degrees of freedom of the rows' error of some tasks, and its method."""
    least = min(each.independent for each in found)
    return least - 1, f"error of the rows, Student's quantiles for {least:.4g} independent rows"


def clustered_variance(influence: Array, overlap: Overlap) -> float:
    """Return the variance of a sum of influences, of which those that share a cluster may depend on each other.

    It is the sum of e_i e_j over all rows i and j that share a cluster, times K / (K - 1) for K
    independent rows. That sum can come out too small, even negative. Then the rows that share all
    clusters count alone.

    Parameters
    ----------
    influence : (rows,)
        Already divided by the number of rows.
    overlap : Overlap

    References
    ----------
    Aronow, Samii and Assenova (2015), Cluster-robust variance estimation for dyadic data.
    """
    return max(overlap.products(influence)) * small_sample_factor(overlap.independent)


def deviance_contrast(task: TaskLosses, a: str, b: str) -> RowContrast:
    """Return D²(a) - D²(b), with the error of `docs/protocol.md`.

    Raises
    ------
    UserError
        A run is missing, the runs have different numbers of draws, or the constant's loss is not
        finite and above 0.
    """
    first, second = (_losses(task, run) for run in (a, b))
    if first.shape != second.shape:
        raise UserError(f"{task.name}: {a} and {b} have {len(first)} and {len(second)} draws. Compare equally many.")
    total = float(task.constant.sum())
    if not (np.isfinite(total) and total > 0):
        raise UserError(f"{task.name}: the constant's loss is {total:g}, so D² is undefined. Leave the task out.")
    gains = second - first  # of each draw
    gain, rows = gains.mean(axis=0), len(task.constant)
    value = float(gain.sum() / total)
    influence = (gain - value * task.constant) * rows / total
    overlap = Overlap(task.clusters)
    variance = clustered_variance(influence / rows, overlap)
    if task.folds is not None:
        variance = max(variance, _fold_variance(gain, task.constant, task.folds))
    if len(gains) > 1:
        by_draw = gains.sum(axis=1) / total
        variance += float(by_draw.var(ddof=1)) / len(gains)
    error = max(variance**0.5, 1 / rows)
    return RowContrast(task.name, a, b, value, influence, task.clusters, error, overlap)


def _losses(task: TaskLosses, run: str) -> Array:
    """Return a run's losses, (draws, rows)."""
    if run not in task.losses:
        raise UserError(f"{task.name}: no run '{run}'. Known: {', '.join(task.losses)}.")
    return np.atleast_2d(task.losses[run])


def _fold_variance(gain: Array, constant: Array, folds: Array) -> float:
    """Return the variance of the mean over folds, whose rows share a probe."""
    number = np.unique(folds, return_inverse=True)[1].ravel()
    values = np.bincount(number, weights=gain) / np.bincount(number, weights=constant)
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def spearman_contrast(
    name: str, labels: Array, predictions: dict[str, Array], a: str, b: str, clusters: Array, sets: Array | None = None
) -> RowContrast:
    """Return Spearman's correlation of a less that of b, with the influence of each row.

    Parameters
    ----------
    name : str
        Name of the task.
    labels : (rows,)
    predictions : dict
        Name of a run to (rows,).
    a, b : str
    clusters : (rows,)
    sets : (rows,), or None
        Rows with equal entries are resampled among themselves.

    Raises
    ------
    UserError
        A run's correlation is undefined.
    """
    one = np.ones((1, len(labels)))
    values = [float(metrics["spearman"].function(labels, predictions[run], one)[0]) for run in (a, b)]
    if not np.isfinite(values).all():
        raise UserError(f"{name}: the correlation of {a} or {b} is undefined: one side is constant.")
    influence = spearman_influence(labels, predictions[a]) - spearman_influence(labels, predictions[b])
    if sets is not None:
        number = np.unique(sets, return_inverse=True)[1].ravel()
        influence = influence - (np.bincount(number, weights=influence) / np.bincount(number))[number]
    rows, overlap = len(labels), Overlap(clusters)
    error = max(clustered_variance(influence / rows, overlap) ** 0.5, 1 / rows)
    return RowContrast(name, a, b, values[0] - values[1], influence, clusters, error, overlap)


def spearman_influence(x: Array, y: Array) -> Array:
    """Return the influence of each row on Spearman's correlation of x and y, (rows,).

    It is the number of rows times the derivative by the row's weight, with mid-ranks for ties.

    References
    ----------
    Croux and Dehon (2010), Influence functions of the Spearman and Kendall correlation measures.
    """
    u, v = _centred_ranks(x), _centred_ranks(y)
    cross, square_u, square_v = u @ v / len(u), u @ u / len(u), v @ v / len(v)
    root = np.sqrt(square_u * square_v)
    of_cross = u * v + _mean_above(x, v) + _mean_above(y, u) - 3 * cross
    of_u = u * u + 2 * _mean_above(x, u) - 3 * square_u
    of_v = v * v + 2 * _mean_above(y, v) - 3 * square_v
    found: Array = of_cross / root - cross / (2 * root) * (of_u / square_u + of_v / square_v)
    return found - found.mean()


def _centred_ranks(values: Array) -> Array:
    """Return mid-ranks divided by the number of rows, of mean 0."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return (middle[place.ravel()] - (len(values) + 1) / 2) / len(values)


def _mean_above(values: Array, weights: Array) -> Array:
    """Return for each row the mean over rows j of weights_j if values_j is above (a tie counts half)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    place = place.ravel()
    sums = np.bincount(place, weights=weights, minlength=len(counts))
    above = sums.sum() - np.cumsum(sums) + sums / 2
    return above[place] / len(values)

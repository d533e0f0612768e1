"""Means of contrasts over tasks, of which those that share texts are one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from src.errors import UserError
from src.evaluation.differences import Difference, p_equivalence, student_difference, verdict
from src.evaluation.metrics import Array
from src.evaluation.multiplicity import family_of, holm_within
from src.evaluation.overlap import Overlap, small_sample_factor
from src.evaluation.row_contrasts import RowContrast, degrees_of_freedom

FEWEST_UNITS = 5  # of a claim about tasks in general
MARGIN = 0.01  # 1 point of D² or of Spearman's correlation, fixed beforehand
LEVEL = 0.05


@dataclass(frozen=True)
class MeanContrast:
    """The mean over units of run a less run b.

    Attributes
    ----------
    tasks, units : tuple of str
    differences : tuple of float
        Of each task, in the order of `tasks`.
    difference : Difference
        The mean with its intervals and p-value.
    error, rows_error : float
        Standard error, and that part of it which new rows of these tasks have.
    p, p_equivalence : float or None
        After Holm, once `correct_claims` has been called.
    """

    a: str
    b: str
    tasks: tuple[str, ...]
    units: tuple[str, ...]
    differences: tuple[float, ...]
    difference: Difference
    error: float
    rows_error: float
    p: float | None
    p_equivalence: float | None
    margin: float
    family: str

    @property
    def value(self) -> float:
        """The mean, as a fraction."""
        assert self.difference.value is not None
        return self.difference.value

    @property
    def is_general(self) -> bool:
        """Whether the claim is about tasks in general, not about these tasks alone."""
        return len(self.units) >= FEWEST_UNITS

    @property
    def size(self) -> str:
        """The number of tasks, and that of their units where it differs or the claim is about tasks in general."""
        tasks = f"{len(self.tasks)} task{'s' * (len(self.tasks) != 1)}"
        alike = len(self.units) == len(self.tasks) and not self.is_general
        return tasks if alike else f"{tasks} of {len(self.units)} unit{'s' * (len(self.units) != 1)}"

    @property
    def scope(self) -> str:
        """The tasks that the claim is about, in words."""
        if len(self.tasks) == 1:
            return "on this task"
        return f"{'over' if self.is_general else 'on these'} {self.size}"

    @property
    def verdict(self) -> str:
        """One of `src.evaluation.differences.VERDICTS`."""
        same = self.p_equivalence is not None and self.p_equivalence <= LEVEL
        return verdict(self.difference, self.margin, level=LEVEL, p=self.p, equivalence=same)


def mean_over_units(found: Sequence[RowContrast], *, margin: float = MARGIN) -> MeanContrast:
    """Return the mean over units of contrasts of the same two runs, one per task.

    A unit's value is the mean of its tasks. With `FEWEST_UNITS` units or more, the standard error is
    the larger one of that of the units and that of the rows. With fewer it is that of the rows alone.
    Student's quantiles are those of the fewest independent rows of a task, or of the units.

    Raises
    ------
    UserError
        There is no task, a task stands twice, or the runs are not the same.
    """
    tasks = [each.task for each in found]
    if not tasks or len(set(tasks)) < len(tasks) or len({(each.a, each.b) for each in found}) > 1:
        raise UserError(f"a mean over tasks needs one contrast of the same two runs per task, got {tasks or 'none'}.")
    units = list(dict.fromkeys(each.unit or each.task for each in found))
    members = np.array([units.index(each.unit or each.task) for each in found])
    weights = 1 / (np.bincount(members)[members] * len(units))
    values = np.array([each.value for each in found])
    value, of_rows = float(weights @ values), _rows_error(found, weights)
    error, (freedom, method) = of_rows, degrees_of_freedom(found)
    if len(units) >= FEWEST_UNITS:
        means = np.bincount(members, weights=values) / np.bincount(members)
        error = max(of_rows, float(means.std(ddof=1)) / len(units) ** 0.5)
        freedom = min(freedom, len(units) - 1)
        method = f"error of {len(units)} units or of their rows, Student's quantiles"
    difference = student_difference(value, error, freedom, method)
    first = found[0]
    return MeanContrast(
        a=first.a,
        b=first.b,
        tasks=tuple(tasks),
        units=tuple(units),
        differences=tuple(values.tolist()),
        difference=difference,
        error=error,
        rows_error=of_rows,
        p=difference.p,
        p_equivalence=p_equivalence(difference, margin),
        margin=margin,
        family=family_of(first.a, first.b),
    )


def _rows_error(found: Sequence[RowContrast], weights: Array) -> float:
    """Return the standard error of a weighted sum of tasks, of which some share texts."""
    parts = [
        weight * small_sample_factor(each.independent) ** 0.5 * each.influence / len(each.influence)
        for weight, each in zip(weights.tolist(), found, strict=True)
    ]
    sharing, alike = Overlap(np.concatenate([each.clusters for each in found])).products(np.concatenate(parts))
    for weight, part, each in zip(weights.tolist(), parts, found, strict=True):
        own, _ = each.overlap.products(part)
        sharing += max(0.0, (weight * each.error) ** 2 - own)  # folds, draws, rows that agree, the least error
    return max(sharing, alike) ** 0.5


def correct_claims(found: Sequence[MeanContrast]) -> list[MeanContrast]:
    """Return claims of one stratum with Holm's correction over cls, pooler and mean, and over the others."""
    families = [each.family for each in found]
    p = holm_within([each.difference.p for each in found], families)
    same = holm_within([p_equivalence(each.difference, each.margin) for each in found], families)
    return [replace(each, p=own, p_equivalence=equal) for each, own, equal in zip(found, p, same, strict=True)]


def seed_contrast(values: Array) -> Difference:
    """Return the mean of contrasts that are paired by seed, with the error of seeds and of units.

    The squared standard error is Var(means of seeds) / S + Var(means of units) / U. Student's
    quantiles have the smaller one of S - 1 and U - 1 degrees of freedom.

    Parameters
    ----------
    values : (seeds, units)

    Raises
    ------
    UserError
        There are fewer than two seeds or two units.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise UserError(f"a contrast over seeds needs two seeds and two units at least, got {values.shape}.")
    seeds, units = values.shape
    variance = values.mean(axis=1).var(ddof=1) / seeds + values.mean(axis=0).var(ddof=1) / units
    return student_difference(float(values.mean()), float(variance**0.5), min(seeds, units) - 1, "seeds and units")

"""Contrasts of runs on the same rows; the pairs of a task are corrected as two families of tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from src.errors import UserError
from src.evaluation.bootstrap import RESAMPLES
from src.evaluation.comparisons import compare
from src.evaluation.differences import Difference, p_equivalence, smallest_difference, smallest_margin, verdict
from src.evaluation.metrics import Array, metrics
from src.evaluation.multiplicity import family_of, holm_within
from src.evaluation.overlap import Overlap
from src.evaluation.proportions import kappa
from src.evaluation.resampled_runs import ResampledRuns, resample_runs
from src.evaluation.samples import SPARSE, is_sparse

MARGIN = 0.01  # 1 point of the task's metric, fixed beforehand
LEVEL = 0.05
FEW_GROUPS = 20  # of rows, below which a contrast is flagged
FEW_ROWS = 250  # test rows below which a contrast is flagged; simulation.csv shows errors at 71


@dataclass(frozen=True, eq=False)
class Task:
    """Runs that predicted the same rows.

    Attributes
    ----------
    classes : int
        0 for regression.
    labels : (rows,)
        Class ids or targets.
    predictions : dict
        Name of a run, as its pooling, to (rows,) or (draws, rows). The same draw of all runs was
        fitted on the same rows.
    seed : int, default 0
        Of the resamples.
    folds : int, default 0
        Number of folds where the predictions are cross-validated, else 0.
    strata : (rows,), or None
        Regression: rows are resampled among those with an equal entry.
    groups : (rows,), or None
        Rows with an equal entry are resampled together.
    texts : (rows, 2), or None
        A digest of each text of pairs.
    widths : dict
        Name of a run to the dimensions of its features, where they are known.
    """

    name: str
    metric: str
    classes: int
    labels: Array
    predictions: dict[str, Array]
    seed: int = 0
    folds: int = 0
    strata: Array | None = None
    groups: Array | None = None
    texts: Array | None = None
    widths: dict[str, int] = field(default_factory=dict)

    @cached_property
    def shares_texts(self) -> bool:
        """Whether pairs share so many texts that they are worth less than half as many independent rows."""
        if self.groups is not None or self.texts is None:
            return False
        return Overlap(self.texts).independent < len(self.labels) / 2


@dataclass(frozen=True)
class Contrast:
    """Run a against run b on one task: metric(a) - metric(b), tested as a member of its family.

    Attributes
    ----------
    family : str
        One of `src.evaluation.multiplicity`; Holm's correction is over the task's pairs in it.
    p_equivalence : float or None
        p-value of two one-sided tests at `margin`.
    p_holm, p_equivalence_holm : float or None
        Corrected over the family; `verdict` follows from them.
    agreement : float or None
        Cohen's kappa of the two predictions, averaged over draws; None for regression.
    flag : str or None
        Reasons to interpret the contrast with care.
    """

    task: str
    metric: str
    a: str
    b: str
    rows: int
    difference: Difference
    margin: float
    p_equivalence: float | None
    p_holm: float | None
    p_equivalence_holm: float | None
    verdict: str
    smallest_margin: float | None
    smallest_difference: float | None
    agreement: float | None
    flag: str | None
    family: str


def contrasts(
    tasks: Sequence[Task], pairs: Sequence[tuple[str, str]], *, margin: float = MARGIN, resamples: int = RESAMPLES
) -> list[Contrast]:
    """Return the contrast of every pair on every task.

    Holm's correction is over one task's pairs of cls, pooler and mean, and separately over all its
    other pairs; over the differences, and separately over the equivalences.

    Raises
    ------
    UserError
        A task lacks a run, runs have different rows or draws, the metric is of another kind of
        task, or the margin is not above 0.
    """
    members = [(task, a, b) for task in tasks for a, b in pairs]
    differences = [difference_of(task, a, b, resamples) for task, a, b in members]
    equivalences = [p_equivalence(difference, margin) for difference in differences]
    families = [(place, family_of(a, b)) for place in range(len(tasks)) for a, b in pairs]
    adjusted = holm_within([difference.p for difference in differences], families)
    corrected = zip(adjusted, holm_within(equivalences, families), strict=True)
    return [
        Contrast(
            task=task.name,
            metric=task.metric,
            a=a,
            b=b,
            rows=len(task.labels),
            difference=difference,
            margin=margin,
            p_equivalence=p_same,
            p_holm=p_holm,
            p_equivalence_holm=p_same_holm,
            verdict=verdict(
                difference,
                margin,
                level=LEVEL,
                p=p_holm,
                higher_is_better=metrics[task.metric].higher_is_better,
                equivalence=p_same_holm is not None and p_same_holm <= LEVEL,
            ),
            smallest_margin=smallest_margin(difference),
            smallest_difference=smallest_difference(difference),
            agreement=_agreement(task, a, b),
            flag=_flag(task, a, b),
            family=family_of(a, b),
        )
        for (task, a, b), difference, p_same, (p_holm, p_same_holm) in zip(
            members, differences, equivalences, corrected, strict=True
        )
    ]


def _predictions(task: Task, run: str) -> Array:
    """Return a run's predictions, (draws, rows)."""
    if run not in task.predictions:
        raise UserError(f"{task.name}: no run '{run}'. Known: {', '.join(task.predictions)}.")
    return np.atleast_2d(np.asarray(task.predictions[run]))


def metric_margin(task: Task, margin: float = MARGIN) -> float:
    """Return the margin in the unit of a task's metric.

    For a metric in the unit of the labels, `margin` is a share of their standard deviation.
    """
    if metrics[task.metric].high <= 1:
        return margin
    return margin * (float(np.std(task.labels)) or 1.0)


@lru_cache(maxsize=64)  # keyed by the identity of the task
def resample_task(task: Task, resamples: int) -> ResampledRuns:
    """Return all runs of a task under one set of resamples."""
    runs = list(task.predictions.values())
    try:
        return resample_runs(
            task.metric, task.labels, runs, classes=task.classes, seed=task.seed, resamples=resamples,
            strata=task.strata, groups=task.groups,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{task.name}: {error}") from error


def difference_of(task: Task, a: str, b: str, resamples: int) -> Difference:
    """Return metric(a) - metric(b) on a task, with its interval and p-value."""
    first, second = _predictions(task, a), _predictions(task, b)
    if task.metric == "accuracy" and task.groups is None and len(first) == len(second) == 1:
        return compare(task.metric, task.labels, first[0], second[0], classes=task.classes)
    return resample_task(task, resamples).difference(*run_indices(task, a, b))


def run_indices(task: Task, a: str, b: str) -> tuple[int, int]:
    """Return the indices of two runs in `resample_task`."""
    names = list(task.predictions)
    return names.index(a), names.index(b)


def _agreement(task: Task, a: str, b: str) -> float | None:
    if not task.classes:
        return None
    found = [
        kappa(*draw, classes=task.classes) for draw in zip(_predictions(task, a), _predictions(task, b), strict=True)
    ]
    values = [one[0] for one in found if one is not None]
    return float(np.mean(values)) if values else None


def unequal_widths(task: Task, a: str, b: str) -> str | None:
    """Return a phrase with the widths of two runs if they are known and differ."""
    first, second = task.widths.get(a), task.widths.get(b)
    if not first or not second or first == second:
        return None
    return f"unequal widths: {a} has {first:,} dimensions, {b} has {second:,}"


def _flag(task: Task, a: str, b: str) -> str | None:
    reasons = []
    if task.groups is not None and len(np.unique(task.groups)) < FEW_GROUPS:
        reasons.append(f"fewer than {FEW_GROUPS} groups of rows")
    if task.shares_texts:
        reasons.append("pairs share texts, which this test takes as independent, so its interval is too narrow")
    if len(task.labels) < FEW_ROWS:
        reasons.append(f"fewer than {FEW_ROWS} rows")
    if is_sparse(task.labels, np.concatenate([_predictions(task, a), _predictions(task, b)]), task.classes):
        reasons.append(f"a class has fewer than {SPARSE} rows or predictions")
    if task.folds:
        reasons.append(f"{task.folds} folds share training rows, so their rows are not independent")
    if unequal := unequal_widths(task, a, b):
        reasons.append(unequal)
    return "; ".join(reasons) or None

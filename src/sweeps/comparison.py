"""Comparison of a sweep's runs: grouped by all but the pooling, and tested against the best of each group.

It reads records alone and imports neither torch nor Hydra.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from src.errors import UserError
from src.results.cautions import is_one_vector
from src.results.groups import group_labels, group_runs
from src.results.predictions import headline_predictions
from src.results.result import Result, read_predictions
from src.sweeps.jobs import Job, read_job

SIGNIFICANCE_LEVEL = 0.05  # family-wise, within a group


@dataclass(frozen=True)
class Run:
    """Run of one pooling within its group."""

    result: Result
    folder: Path  # of the record
    # best, tie (not significantly different from the best), lower, untested, one vector (all texts
    # have the same vector), or empty if there is nothing to compare with
    mark: str = ""
    difference: float | None = None  # score of the best minus this one's
    p: float | None = None  # of the paired test against the best
    adjusted: float | None = None  # p after Holm's correction
    reason: str = ""  # why the run is untested


@dataclass(frozen=True)
class Group:
    """Runs that differ in their pooling alone; ``label`` holds the settings in which the groups differ."""

    label: dict[str, str]
    runs: tuple[Run, ...]

    @property
    def metric(self) -> str:
        """Name of the headline metric, which is the same in all runs."""
        return str(self.runs[0].result.score["metric"])

    @property
    def baseline(self) -> dict[str, Any]:
        """Scores of the trivial baselines, which do not depend on the pooling."""
        return self.runs[0].result.baseline


@dataclass(frozen=True)
class Comparison:
    """Jobs of a sweep, their runs by group, and the settings that all groups share."""

    jobs: tuple[Job, ...]
    groups: tuple[Group, ...]
    common: dict[str, str] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """Return the number of jobs with this status."""
        return sum(job.status == status for job in self.jobs)

    @property
    def failed(self) -> tuple[Job, ...]:
        """Jobs that have no record."""
        return tuple(job for job in self.jobs if job.status == "failed")

    @property
    def poolings(self) -> list[str]:
        """Names of the poolings in order of their first appearance."""
        return list(dict.fromkeys(run.result.pooling for group in self.groups for run in group.runs))


def compare_records(folders: Iterable[Path]) -> Comparison:
    """Compare the records of job folders.

    Raises
    ------
    SchemaError
        A record was written by another version of the suite.
    """
    return compare_jobs([read_job(folder) for folder in folders])


def compare_jobs(jobs: Sequence[Job]) -> Comparison:
    """Group the runs of jobs by all but their pooling, and test each against the best of its group on the same rows."""
    groups = group_runs(_distinct(jobs), _result)
    labels, common = group_labels([_result(members[0]) for members in groups], by_texts=True)
    compared = [Group(label, _test(members)) for label, members in zip(labels, groups, strict=True)]
    datasets = list(dict.fromkeys(group.runs[0].result.dataset for group in compared))
    ordered = sorted(compared, key=lambda group: datasets.index(group.runs[0].result.dataset))
    return Comparison(tuple(jobs), tuple(ordered), common)


def _distinct(jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield the jobs with a record, each record once, because equal runs have equal numbers."""
    seen = set()
    for job in jobs:
        if job.result is not None and job.result.key not in seen:
            seen.add(job.result.key)
            yield job


def _result(job: Job) -> Result:
    assert job.result is not None
    return job.result


def _test(members: Sequence[Job]) -> tuple[Run, ...]:
    """Mark the best run of a group and test the others against it, with Holm's correction over the group."""
    from src.evaluation.multiplicity import holm

    runs = [
        Run(job.result, job.record or job.folder, mark="one vector" if is_one_vector(job.result) else "")
        for job in members if job.result is not None
    ]  # fmt: skip
    scored = [run for run in runs if run.result.score["value"] is not None and not run.mark]
    if len(scored) < 2:
        return tuple(runs)
    best = max(scored, key=lambda run: _sign(run) * run.result.score["value"])
    tested = [_against(best, run) for run in runs]
    adjusted = iter(holm([run.p for run in tested if run.p is not None]))
    return tuple(run if run.p is None else _decide(run, next(adjusted)) for run in tested)


def _decide(run: Run, adjusted: float) -> Run:
    return replace(run, mark="lower" if adjusted <= SIGNIFICANCE_LEVEL else "tie", adjusted=adjusted)


def _sign(run: Run) -> int:
    """Return 1 if higher scores are better, else -1."""
    from src.evaluation.metrics import metrics

    name = run.result.score["metric"]
    return 1 if name not in metrics or metrics[name].higher_is_better else -1


def _against(best: Run, run: Run) -> Run:
    """Test one run against the best of its group."""
    if run is best:
        return replace(run, mark="best")
    if run.mark:
        return run
    value = run.result.score["value"]
    if value is None:
        return replace(run, mark="untested", reason="its score is undefined")
    difference = best.result.score["value"] - value
    try:
        p = _paired(best, run)
    except UserError as error:
        return replace(run, mark="untested", difference=difference, reason=str(error))
    return replace(run, difference=difference, p=p)


def _paired(best: Run, run: Run) -> float:
    """Return the p-value of the paired test on the same rows.

    With several draws it is twice the median over the draws, which is valid under any dependence between them.

    Raises
    ------
    UserError
        The two runs cannot be tested: their rows differ, or one kept the predictions of one draw only.

    References
    ----------
    Meinshausen, Meier and Bühlmann (2009), p-values for high-dimensional regression, theorem 3.1.
    """
    import numpy as np

    from src.evaluation.comparisons import compare

    one, other = read_predictions(best.folder, best.result), read_predictions(run.folder, run.result)
    if any(not np.array_equal(one[name], other[name]) for name in ("row", "label")):
        raise UserError("its test rows are not those of the best")
    result = best.result
    first_predictions, other_predictions = headline_predictions(one), headline_predictions(other)
    if result.draws > 1 and not first_predictions.ndim == other_predictions.ndim == 2:
        raise UserError("its score is a mean over draws, its predictions are those of one draw")
    classes = int(result.counts.get("classes") or 0)
    draws = zip(np.atleast_2d(first_predictions), np.atleast_2d(other_predictions), strict=True)
    found = [
        compare(
            result.score["metric"], one["label"], first, second, classes=classes, seed=result.seed,
            strata=one.get("set"),
        )
        for first, second in draws
    ]  # fmt: skip
    p = [difference.p for difference in found if difference.p is not None]
    if len(p) < len(found):
        raise UserError(next(difference.method for difference in found if difference.p is None))
    return p[0] if len(p) == 1 else min(1.0, 2 * median(p))

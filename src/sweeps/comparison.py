"""Comparison of a sweep's runs: grouped by all but the pooling, and tested pair by pair on the same rows.

It reads records alone and imports neither torch nor Hydra.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from src.results.cautions import is_one_vector
from src.results.groups import group_labels, group_runs, unequal_widths
from src.results.result import Result
from src.sweeps.jobs import Job, read_job
from src.sweeps.pairs import Pairs, compare_pairs

SIGNIFICANCE_LEVEL = 0.05  # within a family of pairs


@dataclass(frozen=True)
class Run:
    """Run of one pooling within its group."""

    result: Result
    folder: Path  # of the record
    # best; the run's verdict against the best, one of `src.evaluation.differences.VERDICTS`;
    # untested; one vector (all texts have the same vector); or empty if there is nothing to compare with
    mark: str = ""
    difference: float | None = None  # score of the best minus this one's
    p: float | None = None  # of the paired test against the best
    adjusted: float | None = None  # p after Holm's correction over the pairs of its family
    equivalence: float | None = None  # p of equivalence to the best within the margin, after Holm
    family: str = ""  # of the pair of this run and the best
    reason: str = ""  # why the run is untested
    wider: bool = False  # whether its features have more dimensions than those of another run of its group


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
        return list(dict.fromkeys(run.result.pooling_label for group in self.groups for run in group.runs))


def compare_records(folders: Iterable[Path]) -> Comparison:
    """Compare the records of job folders.

    Raises
    ------
    SchemaError
        A record was written by another version of the suite.
    """
    return compare_jobs([read_job(folder) for folder in folders])


def compare_jobs(jobs: Sequence[Job]) -> Comparison:
    """Group the runs of jobs by all but their pooling, and test every pair of a group on the same rows."""
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
    """Return the runs of a group, each marked by its verdict against the best one."""
    results = [_result(job) for job in members]
    widths = unequal_widths(results)
    runs = [
        Run(
            result,
            job.record or job.folder,
            mark="one vector" if is_one_vector(result) else "",
            wider=bool(widths) and widths[result.pooling_label] > min(widths.values()),
        )
        for job, result in zip(members, results, strict=True)
    ]
    scored = [run for run in runs if run.result.score["value"] is not None and not run.mark]
    if len(scored) < 2:
        return tuple(runs)
    best = max(scored, key=lambda run: _sign(run) * run.result.score["value"])
    names = _names(scored)
    pairs, reasons = compare_pairs(
        {names[run.result.key]: (run.result, run.folder) for run in scored}, names[best.result.key]
    )
    return tuple(_decide(best, run, names, pairs, reasons) for run in runs)


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """Return a name for the key of each run: its pooling, with the key's start if two have the same."""
    given = [run.result.pooling_label for run in runs]
    return {
        run.result.key: name if given.count(name) == 1 else f"{name} ({run.result.key[:6]})"
        for run, name in zip(runs, given, strict=True)
    }


def _decide(best: Run, run: Run, names: Mapping[str, str], pairs: Pairs, reasons: Mapping[str, str]) -> Run:
    """Return a run with its mark, and its test against the best one."""
    from src.evaluation.differences import mirrored

    if run is best:
        return replace(run, mark="best")
    if run.mark:
        return run
    value = run.result.score["value"]
    if value is None:
        return replace(run, mark="untested", reason="its score is undefined")
    run = replace(run, difference=best.result.score["value"] - value)
    first, second = names[best.result.key], names[run.result.key]
    if reason := reasons.get(second, reasons.get(first)):
        return replace(run, mark="untested", reason=reason)
    forth = (first, second) in pairs
    found = pairs[(first, second) if forth else (second, first)]
    return replace(
        run,
        mark=mirrored(found.verdict) if forth else found.verdict,
        p=found.difference.p,
        adjusted=found.p_holm,
        equivalence=found.p_equivalence_holm,
        family=found.family,
    )


def _sign(run: Run) -> int:
    """Return 1 if higher scores are better, else -1."""
    from src.evaluation.metrics import metrics

    name = run.result.score["metric"]
    return 1 if name not in metrics or metrics[name].higher_is_better else -1


@dataclass(frozen=True)
class BestLayer:
    """The best score over the layers of a sweep; ``label`` holds the settings but for the layer."""

    label: dict[str, str]
    run: Run
    scores: int  # number of scores that it was chosen among


def best_layers(comparison: Comparison) -> list[BestLayer]:
    """Return the best layer and pooling of each set of groups that differ in their layer alone."""
    sets: dict[tuple[tuple[str, str], ...], list[Group]] = {}
    for group in comparison.groups:
        if "layer" in group.label:
            rest = tuple((name, value) for name, value in group.label.items() if name != "layer")
            sets.setdefault(rest, []).append(group)
    found = []
    for label, groups in sets.items():
        runs = [run for group in groups for run in group.runs]
        scored = [run for run in runs if run.result.score["value"] is not None and run.mark != "one vector"]
        if len({run.result.layer for run in scored}) > 1:
            best = max(scored, key=lambda run: _sign(run) * run.result.score["value"])
            found.append(BestLayer(dict(label), best, len(scored)))
    return found

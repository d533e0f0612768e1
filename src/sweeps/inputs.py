"""Check before the first job that the data and the models of a sweep are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.cli.validation import parse_config
from src.errors import UserError, flatten
from src.sweeps.checks import without_hydra
from src.sweeps.plan import PlannedJob, SweepPlan, override_key
from src.sweeps.status import write_failure

NOT_READ = ("pooling", "layer", "seed", "draws", "pairing", "tracker", "runtime", "hydra")  # keys that name no input

log = logging.getLogger("src.sweeps")


@dataclass(frozen=True)
class MissingInput:
    """Jobs that cannot run because their data or their model is missing."""

    reason: str
    jobs: tuple[PlannedJob, ...]
    datasets: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reason on one line, with the number of jobs and their datasets."""
        number = f"{len(self.jobs)} job{'s' * (len(self.jobs) > 1)}"
        return f"{number} ({', '.join(self.datasets)}): {flatten(UserError(self.reason))}"


def find_missing(plan: SweepPlan, compose: Callable[[Sequence[str]], DictConfig]) -> list[MissingInput]:
    """Return the reasons why jobs lack their input, each with its jobs.

    Jobs that differ in no key that names an input are checked once. What else is wrong with a job is
    left to the job, unless the same is wrong with every job.

    Parameters
    ----------
    plan : SweepPlan
    compose : callable
        Returns the configuration of a job from its overrides.

    Raises
    ------
    UserError
        Every job is refused, and for the same reason.
    """
    from src.pipeline.prepare import check_inputs  # loads libraries that --help does not need

    alike: dict[tuple[str, ...], list[PlannedJob]] = {}
    for job in plan.jobs:
        named = tuple(word for word in job.overrides if override_key(word).partition(".")[0] not in NOT_READ)
        alike.setdefault(named, []).append(job)
    found: dict[str, tuple[list[PlannedJob], dict[str, None]]] = {}
    parsed = {named: _parse(jobs[0], compose) for named, jobs in alike.items()}
    if all(isinstance(each, Exception) for each in parsed.values()):
        _raise_common_fault(plan.jobs, compose)
    for named, config in parsed.items():
        if isinstance(config, Exception):
            continue
        jobs = alike[named]
        try:
            check_inputs(config)
        except UserError as error:
            reason = str(error).removeprefix(f"{config.dataset.name}: ")
            members, datasets = found.setdefault(reason, ([], {}))
            members += jobs
            datasets[config.dataset.name] = None
    return [MissingInput(reason, tuple(jobs), tuple(datasets)) for reason, (jobs, datasets) in found.items()]


def _parse(job: PlannedJob, compose: Callable[[Sequence[str]], DictConfig]) -> Any:
    """Return the checked configuration of a job, or the exception that refuses it."""
    try:
        return parse_config(without_hydra(compose(job.overrides)))
    except (UserError, HydraException, OmegaConfBaseException) as error:
        return error


def _raise_common_fault(jobs: Iterable[PlannedJob], compose: Callable[[Sequence[str]], DictConfig]) -> None:
    """Raise the reason why every job is refused, if it is one and the same.

    Jobs whose overrides all occur in earlier ones are left out.
    """
    reasons: set[str] = set()
    seen: set[str] = set()
    for job in jobs:
        if seen.issuperset(job.overrides):
            continue
        seen.update(job.overrides)
        error = _parse(job, compose)
        if not isinstance(error, UserError):
            return
        reasons.add(str(error))
        if len(reasons) > 1:
            return
    raise UserError(reasons.pop())


def refuse_jobs(plan: SweepPlan, missing: Iterable[MissingInput]) -> None:
    """Write down that jobs have failed for want of their input, and log each reason once."""
    for each in missing:
        log.error("not started, %s", each.text)
        for job in each.jobs:
            write_failure(job.folder, job.overrides, each.reason, "user", sweep=plan.identifier)

"""Check before the first job that the data and the models of a sweep are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

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
    left to the job.

    Parameters
    ----------
    plan : SweepPlan
    compose : callable
        Returns the configuration of a job from its overrides.
    """
    from src.pipeline.prepare import check_inputs  # loads libraries that --help does not need

    alike: dict[tuple[str, ...], list[PlannedJob]] = {}
    for job in plan.jobs:
        named = tuple(word for word in job.overrides if override_key(word).partition(".")[0] not in NOT_READ)
        alike.setdefault(named, []).append(job)
    found: dict[str, tuple[list[PlannedJob], dict[str, None]]] = {}
    for jobs in alike.values():
        try:
            config = parse_config(without_hydra(compose(jobs[0].overrides)))
        except (UserError, HydraException, OmegaConfBaseException):
            continue
        try:
            check_inputs(config)
        except UserError as error:
            reason = str(error).removeprefix(f"{config.dataset.name}: ")
            members, datasets = found.setdefault(reason, ([], {}))
            members += jobs
            datasets[config.dataset.name] = None
    return [MissingInput(reason, tuple(jobs), tuple(datasets)) for reason, (jobs, datasets) in found.items()]


def refuse_jobs(plan: SweepPlan, missing: Iterable[MissingInput]) -> None:
    """Write down that jobs have failed for want of their input, and log each reason once."""
    for each in missing:
        log.error("not started, %s", each.text)
        for job in each.jobs:
            write_failure(job.folder, job.overrides, each.reason, "user", sweep=plan.identifier)

"""Launching the jobs of a sweep: a job that is killed does not stop the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from itertools import groupby

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from src.errors import flatten
from src.runtime.provenance import cores
from src.sweeps.plan import PlannedJob, SweepPlan
from src.sweeps.submitted import SubmittedJobs

KINDS = {"BasicLauncher": "basic", "JoblibLauncher": "joblib", "LocalLauncher": "submitit", "SlurmLauncher": "submitit"}

log = logging.getLogger("src.sweeps")


def launcher_kind(launcher: DictConfig) -> str:
    """Return basic, joblib or submitit; for another launcher its class."""
    target = str(launcher._target_)
    return KINDS.get(target.rpartition(".")[2], target)


def prepare_environment(config: DictConfig, jobs: int) -> None:
    """Set the environment variables of the processes that a launcher starts; `jobs` is the number of jobs."""
    if launcher_kind(config.hydra.launcher) == "basic":
        return
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # libraries warn of what users cannot change
    if config.hydra.launcher._target_.endswith(".LocalLauncher"):  # starts all jobs at once
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // max(1, jobs))))


def launch_jobs(plan: SweepPlan, launcher: Launcher, config: DictConfig, max_batch_size: int | None) -> None:
    """Launch all jobs of a plan, `max_batch_size` at a time, and wait until they have ended."""
    size = max_batch_size or len(plan.jobs)
    for start in range(0, len(plan.jobs), size):
        _launch(plan, launcher, config, plan.jobs[start : start + size])


def _launch(
    plan: SweepPlan, launcher: Launcher, config: DictConfig, jobs: Sequence[PlannedJob], *, retry: bool = True
) -> None:
    """Launch jobs; if a worker is killed, launch those that have not started, then retry each interrupted one alone."""
    for _, group in groupby(enumerate(jobs), lambda item: item[1].number - item[0]):
        block = [job for _, job in group]  # a launcher numbers its jobs consecutively
        try:
            launch_and_wait(launcher, [job.overrides for job in block], block[0].number, config)
            continue
        except BrokenExecutor:
            status = {job: plan.status(job) for job in block}
        waiting = [job for job in block if status[job] is None]
        interrupted = [job for job, found in status.items() if retry and found is not None and not found.ended]
        log.warning(
            "a worker was killed, perhaps because memory ran out; %d of its jobs are retried, each alone",
            len(interrupted),
        )
        if len(waiting) < len(block):  # else the next worker would be killed too
            _launch(plan, launcher, config, waiting)
        for job in interrupted:
            _launch(plan, launcher, config, [job], retry=False)


def launch_and_wait(launcher: Launcher, jobs: Sequence[Sequence[str]], first: int, config: DictConfig) -> None:
    """Launch jobs by their overrides and return when all have ended; `first` is the number of the first job.

    If the user interrupts, the jobs that submitit has started are cancelled.
    """
    if launcher_kind(config.hydra.launcher) != "submitit":
        for result in launcher.launch(jobs, first):
            _ = result.return_value  # raises what the job raised
        return
    logging.getLogger("submitit").setLevel(logging.ERROR)  # without Slurm's accounting it warns every second
    submitted = SubmittedJobs(config.hydra.launcher)
    log.info("submitting %d jobs; their output is in %s", len(jobs), submitted.folder)
    try:
        try:
            launcher.launch(jobs, first)
        except Exception as error:
            if not submitted.identifiers():  # the cluster refused them
                raise
            log.error("a job failed: %s", flatten(error, 200))
            submitted.wait()
    except KeyboardInterrupt:
        log.warning("jobs that had not ended are cancelled: %d", submitted.cancel())
        raise

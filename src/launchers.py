"""Hydra's launchers, as this suite uses them: what is installed, and what becomes of the others when a job is killed or the user stops.

By themselves joblib and submitit give all jobs up where one is killed, and leave a cluster's array running where the user stops the sweep.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from src.errors import UserError, flatten
from src.outcomes import left

EXTRAS = {"hydra_joblib_launcher": "joblib", "hydra_submitit_launcher": "slurm"}
LEAST_MINUTES = 5  # submitit tells a job two minutes before its end, which a shorter one would hear at its start
MOST_WORKERS = 1000

log = logging.getLogger("src.launch")


def kind(config: DictConfig) -> str:
    """basic, joblib or submitit; the class's name where it is another launcher."""
    target = str(config.hydra.launcher._target_)
    known = {"BasicLauncher": "basic", "JoblibLauncher": "joblib", "LocalLauncher": "submitit", "SlurmLauncher": "submitit"}
    return known.get(target.rpartition(".")[2], target)


def check_launcher(launcher: DictConfig) -> None:
    """Refuse a launcher that is not installed, and a time too short for any job."""
    package = str(launcher._target_).split(".")[1]
    try:
        found = importlib.util.find_spec(f"hydra_plugins.{package}") if package in EXTRAS else True
    except ModuleNotFoundError:
        found = None
    if not found:
        raise UserError(f"this launcher is not installed. It comes with an extra: pip install 'bert-pooling-probes[{EXTRAS[package]}]'.")
    if package == "hydra_joblib_launcher" and not (
        isinstance(launcher.n_jobs, int) and launcher.n_jobs and abs(launcher.n_jobs) <= MOST_WORKERS
    ):
        raise UserError(f"hydra.launcher.n_jobs={launcher.n_jobs}: 1 to {MOST_WORKERS} workers, or -1 for one a core.")
    if str(launcher._target_).endswith(".SlurmLauncher") and not shutil.which("sbatch"):
        raise UserError("there is no Slurm here: sbatch is not found. Try hydra/launcher=submitit_local, or joblib, on this machine.")
    minutes = launcher.get("timeout_min")
    if minutes is not None and minutes < LEAST_MINUTES:
        why = "a job is told two minutes before its end, and a shorter one would be told at its start"
        raise UserError(f"hydra.launcher.timeout_min={minutes}: at least {LEAST_MINUTES} is needed, since {why}.")


def check_folders(config: DictConfig, jobs: int) -> None:
    """Refuse folders of jobs that lie outside the sweep's, or are the same for all."""
    settings = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    subdir = str(settings.get("subdir")) if isinstance(settings, dict) else ""
    if ".." in Path(subdir).parts or Path(subdir).is_absolute():
        raise UserError(
            f"hydra.sweep.subdir={subdir}: a folder below hydra.sweep.dir is needed, such as '${{hydra.job.override_dirname}}'."
        )
    if jobs > 1 and "${" not in subdir:
        raise UserError(
            f"hydra.sweep.subdir={subdir}: {jobs} jobs would share this folder. Give each its own: '{subdir}/${{hydra.job.num}}'."
        )


def job_folders(config: DictConfig, numbers: Sequence[int]) -> list[Path] | None:
    """The folders of a sweep's jobs; None where the user names them, so that which is whose is not known beforehand."""
    settings = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if not isinstance(settings, dict) or settings.get("subdir") != "${hydra.job.num}":
        return None
    return [Path(config.hydra.sweep.dir) / str(number) for number in numbers]


def outlive(config: DictConfig) -> None:
    """Have a launcher go on with the other jobs where one is killed."""
    if kind(config) == "submitit":
        _outlive_submitit()
    if kind(config) == "joblib":
        _outlive_joblib()


def _unknown() -> JobReturn:
    """What Hydra is told of a job that was killed: that it failed is told by the record which it did not leave."""
    return JobReturn(status=JobStatus.COMPLETED)


# joblib ---------------------------------------------------------------------------------------------------------------------------------


def _outlive_joblib() -> None:
    """joblib gives up all jobs where the system kills one of its workers: start those that were not begun, then try the others alone."""
    from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if hasattr(JoblibLauncher.launch, "__wrapped__"):
        return
    launch = JoblibLauncher.launch

    def outlived(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        try:
            return launch(self, job_overrides, initial_job_idx)
        except BrokenProcessPool:
            folders = job_folders(self.config, numbers)
            if folders is None:
                raise
            states = {number: left(folder) for number, folder in zip(numbers, folders, strict=True)}
            struck, waiting = ([number for number, state in states.items() if state == which] for which in ("running", "waiting"))
            if len(numbers) in (1, len(waiting)):  # it would be killed again
                return [_unknown() for _ in numbers]
        log.warning(
            "a worker was killed, perhaps for want of memory; the jobs it had in hand (%d) are tried again, alone, at the end", len(struck)
        )
        for _, block in groupby(enumerate(waiting), lambda each: each[1] - each[0]):  # jobs are numbered on from the first
            run = [number for _, number in block]
            outlived(self, [job_overrides[number - initial_job_idx] for number in run], run[0])
        for number in struck:
            outlived(self, [job_overrides[number - initial_job_idx]], number)
        return [_unknown() for _ in numbers]

    outlived.__wrapped__ = launch  # type: ignore[attr-defined]
    JoblibLauncher.launch = outlived


# submitit -------------------------------------------------------------------------------------------------------------------------------


def _outlive_submitit() -> None:
    """Say what was submitted and how far it is; count a killed job as failed; cancel what is left where the user stops the sweep."""
    import submitit

    if hasattr(submitit.Job.results, "__wrapped__"):
        return
    logging.getLogger("submitit").setLevel(logging.ERROR)  # without Slurm's accounting it warns at every look
    results, map_array = submitit.Job.results, submitit.AutoExecutor.map_array
    submitted: list[Any] = []

    def listed(self: Any, function: Any, *arguments: Any) -> list[Any]:
        submitted[:] = jobs = map_array(self, function, *arguments)
        what = f"{len(jobs)} jobs, {jobs[0].job_id} to {jobs[-1].job_id}" if len(jobs) > 1 else f"1 job, {jobs[0].job_id}"
        log.info("submitted: %s; what is printed there lies in %s", what, self.folder.parent)
        return list(jobs)

    def outlived(job: Any) -> list[Any]:
        try:
            found = list(results(job))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as error:
            log.error("job %s: %s", job.job_id, flatten(error, 200))
            found = [_unknown()]
        except KeyboardInterrupt:
            going = [each for each in submitted if not each.done()]
            for each in going:
                each.cancel(check=False)
            log.warning("%d jobs that had not ended are cancelled", len(going))
            raise
        if job in submitted:
            log.info("ended: %d of %d", sum(each.done() for each in submitted), len(submitted))
        return found

    outlived.__wrapped__ = results  # type: ignore[attr-defined]
    submitit.Job.results, submitit.AutoExecutor.map_array = outlived, listed

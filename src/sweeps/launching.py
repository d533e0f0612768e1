"""Hydra's launchers, as this suite uses them: what is installed, and what becomes of the others when a job is killed or the user stops.

By themselves joblib and submitit give all jobs up where one is killed, and leave a cluster's array running where the user stops the sweep.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from src.errors import UserError, flatten

EXTRAS = {"hydra_joblib_launcher": "joblib", "hydra_submitit_launcher": "slurm"}
LEAST_MINUTES = 5  # submitit tells a job two minutes before its end, which a shorter one would hear at its start
MOST_WORKERS = 1000

log = logging.getLogger("src.sweeps.launch")


def kind(config: DictConfig) -> str:
    """basic, joblib or submitit; the class's name where it is another launcher."""
    target = str(config.hydra.launcher._target_)
    known = {
        "BasicLauncher": "basic",
        "JoblibLauncher": "joblib",
        "LocalLauncher": "submitit",
        "SlurmLauncher": "submitit",
    }
    return known.get(target.rpartition(".")[2], target)


def check_launcher(launcher: DictConfig) -> None:
    """Refuse a launcher that is not installed, and a time too short for any job."""
    package = str(launcher._target_).split(".")[1]
    try:
        found = importlib.util.find_spec(f"hydra_plugins.{package}") if package in EXTRAS else True
    except ModuleNotFoundError:
        found = None
    if not found:
        raise UserError(
            f"this launcher is not installed. It comes with an extra: pip install 'bert-pooling-probes[{EXTRAS[package]}]'."
        )
    if package == "hydra_joblib_launcher" and not (
        isinstance(launcher.n_jobs, int) and launcher.n_jobs and abs(launcher.n_jobs) <= MOST_WORKERS
    ):
        raise UserError(f"hydra.launcher.n_jobs={launcher.n_jobs}: 1 to {MOST_WORKERS} workers, or -1 for one a core.")
    if str(launcher._target_).endswith(".SlurmLauncher") and not shutil.which("sbatch"):
        raise UserError(
            "there is no Slurm here: sbatch is not found. Try hydra/launcher=submitit_local, or joblib, on this machine."
        )
    minutes = launcher.get("timeout_min")
    if minutes is not None and minutes < LEAST_MINUTES:
        why = "a job is told two minutes before its end, and a shorter one would be told at its start"
        raise UserError(f"hydra.launcher.timeout_min={minutes}: at least {LEAST_MINUTES} is needed, since {why}.")


def job_folders(config: DictConfig, jobs: Sequence[Sequence[str]]) -> list[Path] | None:
    """The folders of a sweep's jobs, in their order; None where they cannot be told, as of jobs that Hydra will refuse.

    Raises
    ------
    UserError
        A folder outside the sweep's, or one that several jobs would share.
    """
    settings = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(settings, dict)
    subdir, root = str(settings.get("subdir")), Path(config.hydra.sweep.dir)
    if subdir == "${hydra.job.num}":
        return [root / str(number) for number in range(len(jobs))]
    if ".." in Path(subdir).parts or Path(subdir).is_absolute():
        raise UserError(
            f"hydra.sweep.subdir={subdir}: a folder below hydra.sweep.dir is needed, such as '${{hydra.job.override_dirname}}'."
        )
    loader, folders = GlobalHydra.instance().config_loader(), []
    try:
        for number, words in enumerate(jobs):
            composed = loader.load_sweep_config(config, list(words))
            with open_dict(composed.hydra.job):
                composed.hydra.job.num, composed.hydra.job.id = number, f"job_id_for_{number}"
            folders.append(root / str(composed.hydra.sweep.subdir))
    except (HydraException, OmegaConfBaseException):
        return None
    shared = [folder for folder, times in Counter(folders).items() if times > 1]
    if shared:
        many = folders.count(shared[0])
        raise UserError(
            f"hydra.sweep.subdir={subdir}: {many} jobs would share {shared[0]}. Give each its own: '{subdir}/${{hydra.job.num}}'."
        )
    return folders


def outlive(config: DictConfig, state: Callable[[int], str | None] | None) -> None:
    """Have a launcher go on with the other jobs where one is killed.

    `state` tells of a job's number how it was left (`src.sweeps.status.left`); without it, joblib gives up as it does by itself.
    """
    if kind(config) == "submitit":
        _outlive_submitit()
    if kind(config) == "joblib":
        _outlive_joblib(state)


def _unknown() -> JobReturn:
    """What Hydra is told of a job that was killed: that it failed is told by the record which it did not leave."""
    return JobReturn(status=JobStatus.COMPLETED)


# joblib ---------------------------------------------------------------------------------------------------------------------------------


def _outlive_joblib(state: Callable[[int], str | None] | None) -> None:
    """joblib gives up all jobs where the system kills one of its workers: start those that were not begun, then try the others alone."""
    from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
    from joblib.externals.loky.process_executor import BrokenProcessPool

    JoblibLauncher.launch = launch = getattr(JoblibLauncher.launch, "__wrapped__", JoblibLauncher.launch)
    if state is None:
        return

    def go(self: Any, jobs: dict[int, Sequence[str]], tried: set[int]) -> None:
        for _, block in groupby(
            enumerate(jobs), lambda each: each[1] - each[0]
        ):  # the launcher numbers jobs on from the first
            numbers = [number for _, number in block]
            try:
                launch(self, [jobs[number] for number in numbers], numbers[0])
                continue
            except BrokenProcessPool:
                waiting = [number for number in numbers if state(number) == "waiting"]
                struck = [number for number in numbers if state(number) == "running" and number not in tried]
            log.warning(
                "a worker was killed, perhaps for want of memory; of its jobs %d are tried again, alone", len(struck)
            )
            if len(waiting) < len(numbers):  # else the next would be killed as well
                go(self, {number: jobs[number] for number in waiting}, tried)
            for number in struck:
                go(self, {number: jobs[number]}, tried | {number})

    def outlived(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        if any(
            "runtime.shard=" in word for words in job_overrides for word in words
        ):  # passes, which the jobs make where these do not
            return list(launch(self, job_overrides, initial_job_idx))
        go(self, dict(enumerate(job_overrides, initial_job_idx)), set())
        return [_unknown() for _ in job_overrides]

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
    told = 0

    def listed(self: Any, function: Any, *arguments: Any) -> list[Any]:
        submitted[:] = jobs = map_array(self, function, *arguments)
        nonlocal told
        told = 0
        what = (
            f"{len(jobs)} jobs, {jobs[0].job_id} to {jobs[-1].job_id}" if len(jobs) > 1 else f"1 job, {jobs[0].job_id}"
        )
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
        nonlocal told
        if job in submitted and (ended := sum(each.done() for each in submitted)) > told:
            told = ended
            log.info("ended: %d of %d", ended, len(submitted))
        return found

    outlived.__wrapped__ = results  # type: ignore[attr-defined]
    submitit.Job.results = outlived  # type: ignore[method-assign, assignment]
    submitit.AutoExecutor.map_array = listed  # type: ignore[method-assign, assignment]

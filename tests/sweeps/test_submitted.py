"""Jobs that submitit has started are found, waited for and cancelled, on Slurm by squeue and scancel."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from src.sweeps.launching import launch_and_wait
from src.sweeps.submitted import SubmittedJobs


def launcher(folder: Path, name: str) -> DictConfig:
    return OmegaConf.create({"_target_": f"x.{name}", "submitit_folder": f"{folder}/.submitit/%j"})


def submit(folder: Path, *names: str) -> None:
    for name in names:
        (folder / ".submitit" / name).mkdir(parents=True)
        (folder / ".submitit" / name / f"{name}_submitted.pkl").touch()


def slurm_answers(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str, str]) -> list[list[str]]:
    """Replace the commands of Slurm; each squeue takes the next answer. Return the commands that are called."""
    called: list[list[str]] = []
    left = list(answers)

    def run(command: list[str], **_: Any) -> Any:
        called.append(command)
        status, out, err = left.pop(0) if command[0] == "squeue" else (0, "", "")
        return subprocess.CompletedProcess(command, status, out, err)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return called


def test_only_jobs_submitted_later_are_counted(tmp_path: Path) -> None:
    submit(tmp_path, "7_0")
    jobs = SubmittedJobs(launcher(tmp_path, "SlurmLauncher"))
    assert jobs.identifiers() == [] and jobs.running() == []
    submit(tmp_path, "8_0", "8_1")
    assert jobs.identifiers() == ["8"] and jobs.folder == tmp_path / ".submitit"


def test_slurm_jobs_are_waited_for_until_the_queue_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = SubmittedJobs(launcher(tmp_path, "SlurmLauncher"))
    submit(tmp_path, "8_0", "8_1")
    unreachable, gone = (1, "", "Unable to contact slurm controller"), (1, "", "slurm_load_jobs error: Invalid job id")
    called = slurm_answers(monkeypatch, (0, "8_0\n8_1\n", ""), unreachable, (0, "8_1\n", ""), gone)
    jobs.wait()
    assert len(called) == 4 and all("--jobs=8" in command for command in called)


def test_a_job_that_is_killed_on_slurm_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(jobs: Any, first: int) -> None:
        submit(tmp_path, "8_0", "8_1")
        raise RuntimeError("job 8_0 was killed")

    called = slurm_answers(monkeypatch, (0, "8_1\n", ""), (0, "", ""))
    config = OmegaConf.create({"hydra": {"launcher": launcher(tmp_path, "SlurmLauncher")}})
    broken: Any = SimpleNamespace(launch=killed)
    launch_and_wait(broken, [["seed=0"], ["seed=1"]], 0, config)
    assert [command[0] for command in called] == ["squeue", "squeue"]


def test_jobs_that_slurm_refuses_are_an_error(tmp_path: Path) -> None:
    def refused(jobs: Any, first: int) -> None:
        raise RuntimeError("invalid partition")

    config = OmegaConf.create({"hydra": {"launcher": launcher(tmp_path, "SlurmLauncher")}})
    broken: Any = SimpleNamespace(launch=refused)
    with pytest.raises(RuntimeError, match="invalid partition"):
        launch_and_wait(broken, [["seed=0"]], 0, config)


@pytest.mark.parametrize("waiting", [False, True])
def test_an_interrupt_cancels_the_jobs_on_slurm(waiting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(jobs: Any, first: int) -> None:
        submit(tmp_path, "8_0", "8_1")
        if waiting:
            raise RuntimeError("job 8_0 was killed")
        raise KeyboardInterrupt

    called = slurm_answers(monkeypatch, *[(0, "8_1\n", "")] * 2)
    if waiting:
        monkeypatch.setattr(SubmittedJobs, "wait", interrupt)
    config = OmegaConf.create({"hydra": {"launcher": launcher(tmp_path, "SlurmLauncher")}})
    broken: Any = SimpleNamespace(launch=interrupted)
    with pytest.raises(KeyboardInterrupt):
        launch_and_wait(broken, [["seed=0"], ["seed=1"]], 0, config)
    assert called[-1] == ["scancel", "8"]


def interrupt(jobs: SubmittedJobs) -> None:
    raise KeyboardInterrupt


def test_jobs_on_this_machine_are_waited_for_and_cancelled(tmp_path: Path) -> None:
    jobs = SubmittedJobs(launcher(tmp_path, "LocalLauncher"))
    # A job of a sweep in the background of a shell would ignore the signal.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, preexec_fn=heed) as process:
        submit(tmp_path, str(process.pid))
        assert jobs.running() == [str(process.pid)]
        assert jobs.cancel() == 1
        jobs.wait()
        assert jobs.running() == []

"""Jobs that submitit has started, on a Slurm cluster or on this machine."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from pathlib import Path

from omegaconf import DictConfig

POLLING_INTERVAL = {True: 5.0, False: 0.2}  # seconds, on Slurm and on this machine
SUBMITTED = "_submitted.pkl"  # what submitit writes for each job, after its identifier

log = logging.getLogger("src.sweeps")


class SubmittedJobs:
    """Jobs that submitit starts after this object has been created.

    They are recognised by submitit's files, without those that existed before.

    Parameters
    ----------
    launcher : DictConfig
        Settings of the launcher; ``submitit_folder`` is where submitit keeps its files.
    """

    def __init__(self, launcher: DictConfig) -> None:
        self.on_slurm = str(launcher._target_).endswith(".SlurmLauncher")
        folder = Path(str(launcher.submitit_folder))
        self.folder = next((parent for parent in (folder, *folder.parents) if "%" not in str(parent)), folder)
        self.earlier = self._names()

    def _names(self) -> set[str]:
        return {path.name.removesuffix(SUBMITTED) for path in self.folder.rglob(f"*{SUBMITTED}")}

    def identifiers(self) -> list[str]:
        """Return the identifiers of the jobs: numbers of Slurm arrays, or process numbers."""
        return sorted({name.partition("_")[0] for name in self._names() - self.earlier})

    def running(self) -> list[str]:
        """Return the identifiers of the jobs that have not ended, each job of an array by itself."""
        names = self.identifiers()
        if not names:
            return []
        return _queued(names) if self.on_slurm else [name for name in names if _is_alive(int(name))]

    def wait(self) -> None:
        """Return when all jobs have ended."""
        while self.running():
            time.sleep(POLLING_INTERVAL[self.on_slurm])

    def cancel(self) -> int:
        """Cancel the jobs that have not ended, and return their number."""
        running = self.running()
        if self.on_slurm and running:
            subprocess.run(["scancel", *self.identifiers()], check=False)
        elif not self.on_slurm:
            for name in running:
                os.kill(int(name), signal.SIGINT)
        return len(running)


def _queued(names: list[str]) -> list[str]:
    """Return the jobs of Slurm arrays that wait or run; `names` if Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", f"--jobs={','.join(names)}", "--format=%i"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.split()
    if "Invalid job id" in found.stderr:  # all have ended, and Slurm no longer lists them
        return []
    log.warning("squeue: %s", found.stderr.strip()[:200])
    return names


def _is_alive(process: int) -> bool:
    """Return whether a child process runs; one that has ended is collected."""
    try:
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False

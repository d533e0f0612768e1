"""Read the plan and write the status of a sweep's job, in the process that runs it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from src.cli.application import job_overrides
from src.cli.messages import format_crash, format_error, is_unwritable
from src.errors import UserError, shortened
from src.runtime.provenance import cores
from src.runtime.terminal import time_left
from src.sweeps.launching import launcher_kind
from src.sweeps.plan import SweepPlan, override_key
from src.sweeps.progress import ENCODED, add_ended, seconds_left
from src.sweeps.status import discard_earlier_result, start_job, write_failure, write_status

log = logging.getLogger("src.sweeps")

MAX_OVERRIDE = 60  # characters of an override in a job's line


@dataclass(frozen=True)
class SweepJob:
    """The job of a sweep that this process runs.

    Parameters
    ----------
    number : int
        From 0 on.
    folder : Path
    overrides : tuple of str
        As written, because a resolved interpolation may be secret.
    sweep : SweepPlan
        Plan of the sweep, without its jobs; its identifier is empty if another sweeper than `ProbeSweeper` runs.
    workers : int or None
        Jobs that run at once on this machine; None on a cluster.
    started : float
        Seconds of a monotonic clock.
    """

    number: int
    folder: Path
    overrides: tuple[str, ...]
    sweep: SweepPlan
    workers: int | None = 1
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def current(cls) -> SweepJob | None:
        """Return the job of this process, or None for a single run."""
        hydra = HydraConfig.get()
        if hydra.mode != RunMode.MULTIRUN:
            return None
        folder = Path(hydra.sweep.dir)
        # Another sweeper writes no plan: the one in its folder is that of an earlier sweep.
        has_plan = str(hydra.sweeper._target_).endswith(".PoolingProbesSweeper")
        sweep = (SweepPlan.read(folder) if has_plan else None) or SweepPlan(folder, "")
        return cls(hydra.job.num, Path(hydra.runtime.output_dir), tuple(job_overrides()), sweep, workers(hydra))

    @property
    def label(self) -> str:
        """The job's place in its sweep and the overrides that vary, such as ``[3/12] layer=2 pooling=cls``."""
        varying = self.sweep.varying
        shown = [word for word in self.overrides if not varying or override_key(word) in varying]
        place = f"[{self.number + 1}/{self.sweep.number}]" if self.sweep.number else f"[{self.number + 1}]"
        return " ".join([place, *(shortened(word, MAX_OVERRIDE) for word in shown)])

    def start(self) -> bool:
        """Write and log that the job runs; return whether its folder holds the complete result of an earlier job."""
        plan = self.sweep
        left = (
            seconds_left(plan.folder, plan.number, plan.passes, self.workers) if plan.number and self.workers else None
        )
        log.info("%s%s", self.label, time_left(left))
        return start_job(self.folder, self.sweep.identifier)

    def discard_earlier_result(self) -> None:
        """Write that the files in the folder are about to be replaced."""
        discard_earlier_result(self.folder, self.sweep.identifier)

    def finish(self, status: str, *, encoded: bool = False) -> None:
        """Write how the job ended: done or skipped; `encoded`: whether it made a forward pass."""
        write_status(self.folder, status, sweep=self.sweep.identifier)
        self._add_ended(ENCODED if encoded else status)

    def _add_ended(self, status: str) -> None:
        if self.sweep.identifier:
            add_ended(self.sweep.folder, self.number, status, time.monotonic() - self.started)

    def fail(self, error: Exception) -> None:
        """Log and write why the job failed; a bug is logged with its traceback, so call this where it is handled.

        Raises
        ------
        Exception
            The error itself, if another sweeper than `ProbeSweeper` runs: it reads no status files.
        """
        foreseen = isinstance(error, UserError) or is_unwritable(error)
        message = format_error(error) if foreseen else format_crash(error)
        log.error("%s: failed: %s", self.label, message, exc_info=not foreseen)
        kind = "user" if isinstance(error, UserError) else "crash"
        write_failure(self.folder, self.overrides, message, kind, sweep=self.sweep.identifier)
        self._add_ended("failed")
        if not self.sweep.identifier:
            raise error


def workers(hydra: Any) -> int | None:
    """Return how many jobs the launcher of a Hydra configuration runs at once; None if that is not known."""
    kind = launcher_kind(hydra.launcher)
    if kind == "joblib":
        return int(hydra.launcher.n_jobs) if hydra.launcher.n_jobs > 0 else cores()
    return 1 if kind == "basic" else None

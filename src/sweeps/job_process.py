"""Read the plan and write the status of a sweep's job, in the process that runs it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from src.cli.application import job_overrides
from src.cli.messages import format_crash, format_error, is_unwritable
from src.errors import UserError
from src.sweeps.plan import SweepPlan
from src.sweeps.status import discard_earlier_result, start_job, write_failure, write_status

log = logging.getLogger("src.sweeps")


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
    """

    number: int
    folder: Path
    overrides: tuple[str, ...]
    sweep: SweepPlan

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
        return cls(hydra.job.num, Path(hydra.runtime.output_dir), tuple(job_overrides()), sweep)

    def start(self) -> bool:
        """Write that the job runs; return whether its folder holds the complete result of an earlier job."""
        return start_job(self.folder, self.sweep.identifier)

    def discard_earlier_result(self) -> None:
        """Write that the files in the folder are about to be replaced."""
        discard_earlier_result(self.folder, self.sweep.identifier)

    def finish(self, status: str) -> None:
        """Write how the job ended: done or skipped."""
        write_status(self.folder, status, sweep=self.sweep.identifier)

    def fail(self, error: Exception) -> None:
        """Log and write why the job failed; a bug is logged with its traceback, so call this where it is handled.

        Raises
        ------
        Exception
            The error itself, if another sweeper than `ProbeSweeper` runs: it reads no status files.
        """
        foreseen = isinstance(error, UserError) or is_unwritable(error)
        message = format_error(error) if foreseen else format_crash(error)
        log.error("[%s] failed: %s", self.number, message, exc_info=not foreseen)
        kind = "user" if isinstance(error, UserError) else "crash"
        write_failure(self.folder, self.overrides, message, kind, sweep=self.sweep.identifier)
        if not self.sweep.identifier:
            raise error

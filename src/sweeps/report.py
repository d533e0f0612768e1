"""The report that ends a sweep: the comparison of its runs, or the number of its jobs by status."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from src.cli.messages import print_text
from src.errors import UserError
from src.results.escaping import option
from src.storage.atomic import replace_files
from src.sweeps.comparison import Comparison, compare_jobs
from src.sweeps.export import to_csv, to_markdown
from src.sweeps.jobs import Job, read_job
from src.sweeps.plan import PlannedJob, SweepPlan
from src.sweeps.rendering import render
from src.sweeps.status import INTERRUPTED, NOT_STARTED, JobStatus, read_failure, write_failure


def write_report(plan: SweepPlan, *, has_records: bool = True) -> Comparison:
    """Compare the jobs of a sweep, and write and print the comparison.

    Parameters
    ----------
    plan : SweepPlan
        A job without a status of this sweep counts as failed, even if an earlier sweep wrote one.
    has_records : bool, default True
        False for a sweep of src.extract, whose jobs are counted and not compared.

    Raises
    ------
    UserError
        The files cannot be written; the comparison has been printed.
    SchemaError
        A record was written by another version of the suite.
    """
    jobs = [_read_job(plan, job, has_records=has_records) for job in plan.jobs]
    if has_records:
        return write_comparison(compare_jobs(jobs), plan.folder)
    comparison = Comparison(tuple(jobs), ())
    print(render(comparison), end="", flush=True)
    return comparison


def write_comparison(comparison: Comparison, folder: Path) -> Comparison:
    """Write ``comparison.csv`` and ``comparison.md`` into a sweep's folder, print the comparison and return it.

    Raises
    ------
    UserError
        The files cannot be written; the comparison has been printed.
    """
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    files = {"comparison.csv": to_csv(comparison).encode(), "comparison.md": to_markdown(comparison).encode()}
    try:
        replace_files(folder, files)
    except OSError as error:
        raise UserError(
            f"cannot write the comparison into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder."
        ) from error
    finally:  # print the table even if the files cannot be written
        print(render(comparison, width=width, terminal=terminal), end="", flush=True)
    if comparison.groups:
        print_text(f"Which pooling to use, and why: python -m experiments.report {option('records', str(folder))}")
    return comparison


def _read_job(plan: SweepPlan, job: PlannedJob, *, has_records: bool) -> Job:
    """Read a job of the sweep; write down the failure of one that has not ended."""
    status = plan.status(job)
    if status is None or not status.ended:
        return _unfinished(plan, job)
    if has_records:
        return read_job(job.folder)
    failure = read_failure(job.folder) if status.status == "failed" else {}
    return Job(job.folder, status.status, error=failure.get("error", INTERRUPTED), overrides=job.overrides)


def _unfinished(plan: SweepPlan, job: PlannedJob) -> Job:
    """Return a job that has not ended as failed, and write that into its folder unless an earlier result is there."""
    written = JobStatus.read(job.folder)
    started = plan.status(job) is not None or (written is None and (job.folder / ".hydra").is_dir())
    error = INTERRUPTED if started else NOT_STARTED
    if written is None or (started and not written.has_result):
        write_failure(job.folder, job.overrides, error, "crash", sweep=plan.identifier)
    return Job(job.folder, "failed", error=error, overrides=job.overrides)

"""The report that ends a sweep: the comparison of its runs, or the number of its jobs by status."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from src.cli.messages import print_json, print_text, short_path, terminal_width
from src.errors import UserError
from src.results.escaping import option
from src.storage.atomic import replace_files
from src.sweeps.comparison import Comparison, compare_jobs
from src.sweeps.export import to_csv, to_markdown, to_values
from src.sweeps.jobs import Job, read_job
from src.sweeps.plan import PlannedJob, SweepPlan
from src.sweeps.rendering import render
from src.sweeps.status import INTERRUPTED, NOT_STARTED, JobStatus, read_failure, write_failure

MANY_RUNS = 20  # the tests of more runs may take a while

log = logging.getLogger("src.sweeps")


def write_report(plan: SweepPlan, *, has_records: bool = True, as_json: bool = False) -> Comparison:
    """Compare the jobs of a sweep, and write and print the comparison.

    Parameters
    ----------
    plan : SweepPlan
        A job without a status of this sweep counts as failed, even if an earlier sweep wrote one.
    has_records : bool, default True
        False for a sweep of src.extract, whose jobs are counted and not compared.
    as_json : bool, default False
        Print one line of JSON in place of the text.

    Raises
    ------
    UserError
        The files cannot be written; the comparison has been printed.
    SchemaError
        A record was written by another version of the suite.
    """
    jobs = [_read_job(plan, job, has_records=has_records) for job in plan.jobs]
    if has_records:
        if sum(job.result is not None for job in jobs) > MANY_RUNS:
            log.info("comparing %d runs", len(jobs))
        return write_comparison(compare_jobs(jobs), plan.folder, as_json=as_json)
    comparison = Comparison(tuple(jobs), ())
    _print(comparison, [], as_json=as_json)
    return comparison


def write_comparison(comparison: Comparison, folder: Path, *, as_json: bool = False) -> Comparison:
    """Write ``comparison.md`` and ``comparison.csv`` into a sweep's folder, print the comparison and return it.

    Raises
    ------
    UserError
        The files cannot be written; the comparison has been printed.
    """
    files = {"comparison.md": to_markdown(comparison).encode(), "comparison.csv": to_csv(comparison).encode()}
    written: list[str] = []
    try:
        replace_files(folder, files)
        written = [short_path(folder / name) for name in files]
    except OSError as error:
        raise UserError(
            f"cannot write the comparison into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder."
        ) from error
    finally:  # print the table even if the files cannot be written
        _print(comparison, written, as_json=as_json)
    if comparison.groups and not as_json:
        print_text(f"Which pooling to use, and why: python -m experiments.report {option('records', str(folder))}")
    return comparison


def _print(comparison: Comparison, written: Sequence[str], *, as_json: bool) -> None:
    """Print a comparison and where its files are."""
    if as_json:
        print_json({**to_values(comparison), "results": list(written)})
        return
    width = terminal_width()
    print(render(comparison, width=width, terminal=width is not None), end="", flush=True)
    for path in written if comparison.groups else ():
        print_text(f"results: {path}")


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

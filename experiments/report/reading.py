"""Reads the records that a report describes, and lists the jobs that it leaves out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from experiments.bundles import RECORDS_FILE, Record, read_records
from src.errors import UserError, flatten
from src.results.result import SchemaError
from src.sweeps.jobs import Job, find_jobs, read_job


def read_sweeps(folder: Path) -> tuple[list[Record], list[str]]:
    """Return all records at or below a folder that hold their rows, each once, and a line on all that is left out.

    Raises
    ------
    UserError
        There is no such folder, it holds no record, or a record has another schema version.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"records={str(folder)[:200]}: there is no such folder. "
            "Name a sweep's, such as multirun/2026-01-31/12-00-00.000000."
        )
    bundled = [record for path in sorted(folder.rglob(RECORDS_FILE)) for record in read_records(path.parent)]
    found = [record for record in bundled if record.sums is None]
    jobs = [read_job(path) for path in find_jobs(folder)]
    overrides = [set(job.overrides) for job in jobs]
    shared = set.intersection(*overrides) if len(overrides) > 1 else set()
    without = Counter(record.experiment for record in bundled if record.sums is not None)
    left_out = [
        f"{number} runs of the bundle {name}: it holds no test rows of them" for name, number in without.items()
    ]
    for job in jobs:
        try:
            if job.result is None:
                raise UserError(job.error)
            found += read_records(job.folder)
        except SchemaError:
            raise
        except UserError as error:
            left_out.append(f"{_describe_job(job, shared, folder)}: {flatten(error)}")
    # Equal rows under two names are two tasks here, so that neither lacks a run of the other's.
    names = [(record.result.key, record.result.dataset, record.result.model) for record in found]
    records = list(dict(zip(names, found, strict=True)).values())
    if not records:
        reasons = " Name a sweep's folder, or one above it."
        if left_out:
            reasons = f" Left out: {len(left_out)}, the first: {left_out[0]}"
        raise UserError(f"records={folder} holds no record.{reasons}")
    return records, left_out


def _describe_job(job: Job, shared: set[str], folder: Path) -> str:
    overrides = " ".join(override for override in job.overrides if override not in shared)
    place = f"job {job.folder.relative_to(folder)}"
    return f"{overrides} ({place})" if overrides else place

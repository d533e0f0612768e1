"""The jobs of a sweep, read from their folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.results.result import RECORD, Result, SchemaError
from src.storage.files import open_regular
from src.sweeps.status import FAILURE, PLAN, STATUS, JobStatus, read_failure, read_mapping

MAX_OVERRIDES_SIZE = 1 << 20  # bytes that are read of a job's overrides


@dataclass(frozen=True)
class Job:
    """A job of a sweep: its folder, its status, and its record or the reason why there is none."""

    folder: Path
    status: str
    result: Result | None = None
    error: str = ""
    overrides: tuple[str, ...] = ()
    record: Path | None = None  # folder of the record


def find_jobs(folder: Path) -> list[Path]:
    """Return the job folders below a sweep's folder, in the order of their numbers.

    A folder with Hydra's ``.hydra`` alone is included, because its job was killed.
    """
    found = []
    for path, folders, files in os.walk(folder):
        if {STATUS, FAILURE, RECORD} & set(files) or (".hydra" in folders and Path(path) != folder):
            found.append(Path(path))
            folders.clear()
    return sorted(found, key=lambda job: _natural_key(str(job)))


def jobs_of_last_sweep(folder: Path) -> list[Path]:
    """Return the job folders of the sweep that ran last in a folder; all of them if no plan is there."""
    identifier = read_mapping(folder / PLAN).get("identifier")
    found = find_jobs(folder)
    if not isinstance(identifier, str):
        return found
    statuses = {job: JobStatus.read(job) for job in found}
    return [job for job, status in statuses.items() if status is not None and status.sweep == identifier]


def _natural_key(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts 2 before 10."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]


def read_job(folder: Path) -> Job:
    """Read a job from its folder; a job whose record cannot be read has failed.

    Raises
    ------
    SchemaError
        The record was written by another version of the suite.
    """
    status = JobStatus.read(folder)
    record = folder
    if status is not None and status.record is not None and os.path.isfile(folder / status.record / RECORD):
        record = folder / status.record
    interrupted = status is not None and status.status == "running" and not status.has_result
    if interrupted or (status is not None and status.status == "failed") or not (record / RECORD).is_file():
        failure = {} if interrupted else read_failure(folder)
        error = failure.get("error") or "has no record: its process was killed, or is still running"
        return Job(folder, "failed", error=error, overrides=_overrides(folder, failure))
    try:
        result = Result.read(record)
    except SchemaError:
        raise
    except UserError as error:
        return Job(folder, "failed", error=str(error), overrides=_overrides(folder, {}))
    ended = "skipped" if status is not None and status.status == "skipped" else "done"
    return Job(folder, ended, result=result, overrides=_overrides(folder, {}), record=record)


def _overrides(folder: Path, failure: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a job's overrides as its failure names them, else as Hydra wrote them."""
    if failure.get("overrides"):
        return tuple(failure["overrides"])
    try:
        with open_regular(folder / ".hydra" / "overrides.yaml") as file:
            lines = file.read(MAX_OVERRIDES_SIZE).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(line.removeprefix("- ") for line in lines if line.startswith("- "))

"""Status of a job in its folder: running, then done, skipped or failed, with the reason of a failure beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.errors import mask
from src.storage.atomic import write_json
from src.storage.files import Unreadable, read_json

log = logging.getLogger("src.sweeps")

STATUS, FAILURE = "status.json", "failure.json"
PLAN = "sweep.json"  # in the sweep's folder
STATUSES = ("done", "skipped", "failed")
NOT_STARTED = "was not started. Run the same command to start it"
INTERRUPTED = "did not finish: it was stopped, killed, or ran out of memory or time. Run the same command to retry it"


@dataclass(frozen=True)
class JobStatus:
    """Status of a job, as ``status.json`` in its folder holds it.

    Parameters
    ----------
    status : str
        ``running``, ``done``, ``skipped`` or ``failed``.
    sweep : str, optional
        Identifier of the sweep that ran the job; None for a single run.
    record : str, optional
        Folder of the record, relative to the job's folder; None where they are the same.
    earlier_result : bool, default False
        Of a running job: its folder still holds the complete result of an earlier job.
    """

    status: str
    sweep: str | None = None
    record: str | None = None
    earlier_result: bool = False

    @classmethod
    def read(cls, folder: Path) -> JobStatus | None:
        """Return the status of a job, or None if it has not started or its file is damaged."""
        content = read_mapping(folder / STATUS)
        if content.get("status") not in ("running", *STATUSES):
            return None
        sweep, record = (content.get(name) for name in ("sweep", "record"))
        return cls(
            content["status"],
            sweep if isinstance(sweep, str) else None,
            record if isinstance(record, str) else None,
            content.get("earlier_result") is True,
        )

    @property
    def ended(self) -> bool:
        """Whether the job has ended: done, skipped or failed."""
        return self.status in STATUSES

    @property
    def has_result(self) -> bool:
        """Whether the job's folder holds a complete result, of this job or of an earlier one."""
        return self.status in ("done", "skipped") or self.earlier_result

    def write(self, folder: Path) -> None:
        """Write ``status.json`` into `folder`, which is made where it is missing."""
        optional = {"sweep": self.sweep or None, "record": self.record, "earlier_result": self.earlier_result or None}
        content = {"status": self.status} | {name: value for name, value in optional.items() if value is not None}
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / STATUS, content, indent=2)


def start_job(folder: Path, sweep: str | None) -> bool:
    """Write that a job is running; return whether its folder holds the complete result of an earlier job."""
    before = JobStatus.read(folder)
    complete = before is not None and before.has_result
    JobStatus("running", sweep, earlier_result=complete).write(folder)
    return complete


def discard_earlier_result(folder: Path, sweep: str | None) -> None:
    """Write that the files in `folder` are no longer those of a complete result, before a job replaces them."""
    before = JobStatus.read(folder)
    if before is not None and before.has_result:
        JobStatus("running", sweep).write(folder)


def write_status(folder: Path, status: str, *, record: Path | None = None, sweep: str | None = None) -> None:
    """Write how a job ended: `status` is done, skipped or failed.

    `record` is the folder of the job's ``result.json`` where it is not the job's own.

    Raises
    ------
    ValueError
        `status` is none of the three.
    """
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}, not one of {', '.join(STATUSES)}")
    JobStatus(status, sweep, None if record is None else os.path.relpath(record, folder)).write(folder)
    if status != "failed":
        (folder / FAILURE).unlink(missing_ok=True)


def write_failure(folder: Path, overrides: Sequence[str], error: str, kind: str, *, sweep: str | None = None) -> None:
    """Write why a job failed; `kind` is user (bad input) or crash. If it cannot be written, log that and go on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = {"overrides": [mask(word) for word in overrides], "error": mask(error), "kind": kind}
        write_json(folder / FAILURE, shown, indent=2)
        write_status(folder, "failed", sweep=sweep)
    except OSError as unwritable:
        log.error(
            "the reason of this failure cannot be written into %s: %s. Set hydra.sweep.dir.",
            folder,
            unwritable.strerror,
        )


def read_failure(folder: Path) -> dict[str, Any]:
    """Return what `write_failure` wrote, ``error`` and ``overrides``, without the parts that are damaged."""
    content = read_mapping(folder / FAILURE)
    error, overrides = content.get("error"), content.get("overrides")
    found: dict[str, Any] = {"error": error} if isinstance(error, str) else {}
    if isinstance(overrides, list) and all(isinstance(word, str) for word in overrides):
        found["overrides"] = overrides
    return found


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the content of a small JSON file, empty if it is missing or damaged."""
    try:
        content = read_json(path)
    except (OSError, Unreadable):
        return {}
    return content if isinstance(content, dict) else {}

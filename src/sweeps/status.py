"""A job's outcome in its folder: running, then done, skipped or failed, with a failure's reason beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.errors import mask
from src.storage.atomic import write_json
from src.storage.files import Unreadable, read_json

log = logging.getLogger("src.sweeps.sweep")

STATUS, FAILURE = "status.json", "failure.json"
STATUSES = ("done", "skipped", "failed")
# Why a job has none of them yet; after the sweep, why it never will.
LEFT = {
    "waiting": "was never started, or killed before it began. The same command starts it",
    "running": "left no word: it was killed, or ran out of memory or time. The same command tries it again",
}


def write_status(folder: Path, status: str, *, record: Path | None = None) -> None:
    """Leave a job's outcome in its folder: `status` is done, skipped or failed.

    `record` is the folder that holds the job's ``result.json`` where it is not the job's own; it is stored relative to `folder`.
    """
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}, not one of {', '.join(STATUSES)}")
    _write(folder, {"status": status} | ({} if record is None else {"record": os.path.relpath(record, folder)}))
    if status != "failed":
        (folder / FAILURE).unlink(missing_ok=True)


def write_failure(folder: Path, overrides: Sequence[str], error: str, kind: str) -> None:
    """Leave a failed job's reason in its folder; `kind` is user (bad input) or crash. Where that cannot be written, the sweep goes on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = {"overrides": [mask(word) for word in overrides], "error": mask(error), "kind": kind}
        write_json(folder / FAILURE, shown, indent=2)
        write_status(folder, "failed")
    except OSError as unwritable:
        log.error(
            "why this job failed cannot be written into %s: %s. Set hydra.sweep.dir.", folder, unwritable.strerror
        )


def begin(folder: Path) -> bool:
    """A sweep's job begins; True where one came to its end in this folder before."""
    before = settled(folder)
    _write(folder, {"status": "running", "settled": before})
    return before


def begin_anew(folder: Path) -> None:
    """The job is not the one that came to its end in this folder: what that one left is no longer to be relied on."""
    if settled(folder):
        _write(folder, {"status": "running", "settled": False})


def settled(folder: Path) -> bool:
    """Whether a job came to its end in this folder, its tracker's run closed, and none has begun another since."""
    notes = read_notes(folder / STATUS)
    return notes.get("status") in ("done", "skipped") or notes.get("settled") is True


Mark = tuple[int, int, int]


def mark(folder: Path) -> Mark | None:
    """What tells this outcome from any later one, each of which is a new file; None where there is none."""
    try:
        found = (folder / STATUS).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def left(folder: Path, before: Mark | None) -> str | None:
    """What a job without an outcome is, one of `LEFT`; None where it has one. `before` is the mark that an earlier sweep left."""
    if mark(folder) == before:
        return "waiting"
    return "running" if read_notes(folder / STATUS).get("status") == "running" else None


def read_notes(path: Path) -> dict[str, Any]:
    """A small JSON file of ours; empty where it is missing, torn as a killed job leaves it, or damaged otherwise."""
    try:
        content = read_json(path)
    except (OSError, Unreadable):
        return {}
    return content if isinstance(content, dict) else {}


def read_failure(folder: Path) -> dict[str, Any]:
    """What `write_failure` left in a job's folder: ``error`` as text and ``overrides`` as texts; what is damaged of it is left out."""
    notes = read_notes(folder / FAILURE)
    error, words = notes.get("error"), notes.get("overrides")
    found: dict[str, Any] = {"error": error} if isinstance(error, str) else {}
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        found["overrides"] = words
    return found


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STATUS, content, indent=2)

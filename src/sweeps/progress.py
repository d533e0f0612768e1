"""The jobs of a sweep that have ended, and the time that is left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from src.storage.files import DAMAGE, open_regular

PROGRESS = "progress.jsonl"  # in the sweep's folder: a line per job that has ended
ENCODED = "encoded"  # status of a job that made a forward pass


def add_ended(folder: Path, number: int, status: str, seconds: float) -> None:
    """Add a job that has ended to the sweep's progress; without effect where the file cannot be written.

    `status` is ``encoded`` of a job that made a forward pass, else done, skipped or failed.
    """
    line = json.dumps({"job": number, "status": status, "seconds": round(seconds, 3)})
    try:
        with (folder / PROGRESS).open("a", encoding="utf-8") as file:  # a short line is appended as a whole
            file.write(f"{line}\n")
    except OSError:
        return


def seconds_left(folder: Path, jobs: int, passes: int, workers: int) -> float | None:
    """Return an estimate of the seconds until a sweep ends, None before it can be made.

    A job that is left is taken to need the mean seconds of those that were run, with or without a
    forward pass. Skipped jobs do not shorten the estimate.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    jobs, passes : int
        Of the sweep.
    workers : int
        Jobs that run at once.
    """
    ended = {line["job"]: line for line in _lines(folder)}
    slow = [line["seconds"] for line in ended.values() if line["status"] == ENCODED]
    quick = [line["seconds"] for line in ended.values() if line["status"] in ("done", "failed")]
    left = max(0, jobs - len(ended))
    passes_left = min(left, max(0, passes - len(slow))) if slow else 0
    if left > passes_left and not quick:
        return None
    seconds = passes_left * _mean(slow) + (left - passes_left) * _mean(quick)
    return seconds / max(1, workers)


def _mean(seconds: Sequence[float]) -> float:
    return sum(seconds) / len(seconds) if seconds else 0.0


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a sweep's progress that can be read."""
    try:
        with open_regular(folder / PROGRESS) as file:
            lines = file.read().decode().splitlines()
    except (OSError, *DAMAGE):
        return
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and isinstance(found.get("seconds"), (int, float)) and {"job", "status"} <= {*found}:
            yield found

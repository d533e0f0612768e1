"""One command at a time in a run's or a sweep's folder: two would mix their files, and the second take away what the first has open."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.storage.files import Unreadable, checked, read_json

LOCK = ".run.lock"

_held: list[Any] = []  # locks of this process's command; its workers take none


def lock_folder(folder: Path, key: str) -> None:
    """Hold `folder` until `folders_released` ends, or until this process ends, however that happens.

    The folder is made where it is missing. Where it cannot be written, or its file system knows no locks, nothing is held: the command
    itself says what cannot be written.

    Raises
    ------
    UserError
        Another command holds it. `key` is the option that names the folder.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, fallback_to_soft=False)  # a soft lock would outlive a killed process
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"{key}={folder}: another command{_owner(folder)} is at work in this folder. Wait until it has ended, or name another folder."
        ) from None
    except (OSError, NotImplementedError):
        return
    _held.append(lock)
    _note(folder, {"process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})


@contextmanager
def folders_released() -> Iterator[None]:
    """Release in the end every lock that `lock_folder` has taken."""
    try:
        yield
    finally:
        while _held:
            lock = _held.pop()
            _note(Path(lock.lock_file).parent, None)
            lock.release()


def _note(folder: Path, content: dict[str, Any] | None) -> None:
    """Say in the lock's file who holds it. A pipe or a link in its place is left alone."""
    with suppress(OSError):
        place = os.open(
            folder / LOCK, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        )
        with open(place, "w", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n" if content else "")


def _owner(folder: Path) -> str:
    try:
        notes = checked(read_json(folder / LOCK), {"process": int, "since": str})
    except (OSError, Unreadable):
        return ""
    return f" (process {notes['process']}, since {notes['since'][:19]})"

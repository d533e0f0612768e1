"""One command at a time in the folder of a run or a sweep, so that two do not mix their files."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.storage.files import Unreadable, read_json, require_fields

LOCK = ".run.lock"


def lock_folder(folder: Path, key: str) -> None:
    """Lock a folder until `folders_released` ends, or until the process ends.

    Nothing is locked if the folder cannot be written, or if its file system has no locks. The
    command itself reports what cannot be written.

    Parameters
    ----------
    folder : Path
        Created if it is missing.
    key : str
        The option that names the folder.

    Raises
    ------
    UserError
        Another command has locked the folder.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, fallback_to_soft=False)  # a soft lock would remain after a killed process
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"{key}={folder}: another command{_owner(folder)} is at work in this folder. Wait until it has ended, or "
            "choose another folder."
        ) from None
    except (OSError, NotImplementedError):
        return
    _write_owner(folder, {"process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    _locks().callback(lock.release)
    _locks().callback(_write_owner, folder, None)


@contextmanager
def folders_released() -> Iterator[None]:
    """Release all locks of `lock_folder` when the block ends."""
    try:
        yield
    finally:
        _locks().close()


@functools.cache
def _locks() -> ExitStack:
    """Return the locks of this process's command, which Hydra's callbacks take."""
    return ExitStack()


def _write_owner(folder: Path, content: dict[str, Any] | None) -> None:
    """Write the owner into the lock's file, or empty it; leave a pipe or a link alone."""
    with suppress(OSError):
        place = os.open(
            folder / LOCK, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        )
        with open(place, "w", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n" if content else "")


def _owner(folder: Path) -> str:
    """Return a phrase that names the process which has locked a folder, if it is known."""
    try:
        owner = require_fields(read_json(folder / LOCK), {"process": int, "since": str})
    except (OSError, Unreadable):
        return ""
    return f" (process {owner['process']}, since {owner['since'][:19]})"

"""The lock of a run's or a sweep's folder: two commands in one folder would mix their files."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.storage.files import Unreadable, read_json, require_fields

LOCK = ".run.lock"


class FolderLock:
    """Lock of a folder, held from `acquire` to `release`, or to the end of the process.

    Parameters
    ----------
    folder : Path
        It is created if it is missing.
    key : str
        The option that names the folder, for messages.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._lock: Any = None

    def acquire(self) -> None:
        """Lock the folder, unless it cannot be written or its file system has no locks.

        Raises
        ------
        UserError
            Another command holds the lock.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # A soft lock would remain after a killed process.
            lock = FileLock(self.folder / LOCK, fallback_to_soft=False)
            lock.acquire(blocking=False)
        except Timeout:
            raise UserError(
                f"{self.key}={self.folder}: another command{_owner(self.folder)} is at work in this folder. "
                "Wait until it has ended, or name another folder."
            ) from None
        except (OSError, NotImplementedError):
            return
        self._lock = lock
        _write_owner(self.folder, {"process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})

    def release(self) -> None:
        """Unlock the folder if it is locked."""
        if self._lock is not None:
            _write_owner(self.folder, None)
            self._lock.release()
            self._lock = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _write_owner(folder: Path, content: dict[str, Any] | None) -> None:
    """Write into the lock's file which process holds it. A pipe or a link in its place is not written to."""
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

"""The folder of a store, in which no link is followed, and operations on open folders."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import UserError, flatten

if TYPE_CHECKING:
    from filelock import BaseFileLock


log = logging.getLogger(__name__)


class StoreFolder:
    """A folder that may contain files and links of other users.

    The folder itself may be a link. Below it no link is followed.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self, *names: str, create: bool = False) -> Iterator[int]:
        """Yield the descriptor of a folder below this one.

        Parameters
        ----------
        *names : str
            Names of the folders from here to there.
        create : bool
            Create the folders that are missing.

        Raises
        ------
        FileNotFoundError
            The folder is missing.
        UserError
            A link or a file has the name of a folder.
        """
        folder, place = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY), self.path
        try:
            for name in names:
                place = place / name
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder)
                try:
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP):
                        raise self.misplaced(place) from error
                    raise
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def remove_empty(self, *names: str) -> None:
        """Remove a folder below this one; keep it, with a warning, if it is not empty."""
        with suppress(FileNotFoundError), self.open(*names[:-1]) as parent:
            try:
                os.rmdir(names[-1], dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY):
                    path = self.path.joinpath(*names)
                    log.warning("'%s' is kept: it contains files that the store did not write", path)

    def replace(self, name: str, folder: int, new: str, target: int, place: Path) -> None:
        """Rename a file of an open folder into another one; replace a link there without following it.

        Parameters
        ----------
        name, folder : str, int
            The file and the descriptor of its folder.
        new, target : str, int
            Its new name and the descriptor of its new folder.
        place : Path
            The new path, for messages.
        """
        try:
            os.replace(name, new, src_dir_fd=folder, dst_dir_fd=target)
        except IsADirectoryError as error:
            raise self.misplaced(place) from error

    def lock(self, *names: str, wait: bool = False) -> BaseFileLock | None:
        """Acquire a lock file below this folder.

        Returns
        -------
        lock or None
            None if another process has it and `wait` is False. The lock ends with its process.

        Raises
        ------
        UserError
            A link or something else than a file has the lock's name.
        """
        from filelock import FileLock, Timeout

        with self.open(*names[:-1], create=True) as folder:
            if exists(names[-1], folder) and not is_file(names[-1], folder):
                raise self.misplaced(self.path.joinpath(*names))
        lock = FileLock(self.path.joinpath(*names))
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return None
        return lock

    @contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Turn an OSError of the block into a UserError."""
        try:
            yield
        except OSError as error:
            raise self._explain(error) from error

    def _explain(self, error: OSError) -> UserError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return UserError(
                f"the disk of the store ({self.path}) is full. What is stored is intact. Free some space, or set "
                "runtime.cache_dir, and run the same command again."
            )
        if error.errno in (errno.EEXIST, errno.ENOTDIR) and (
            place := _first_non_folder(Path(error.filename2 or error.filename or self.path))
        ):
            return self.misplaced(place)
        return UserError(
            f"the store ({self.path}) cannot be used: {error.strerror or flatten(error)}. Set runtime.cache_dir to a "
            "folder that you can write."
        )

    def misplaced(self, place: Path) -> UserError:
        """Return the error for a link, a folder or a file where the store needs something else."""
        folder = place.suffix not in (".npy", ".json", ".tmp", ".lock")
        if place.is_symlink():
            kind = "a link"
        elif place.is_dir():
            kind = "a folder"
        else:
            kind = "a file" if folder else "not a regular file"
        return UserError(
            f"the store ({self.path}) cannot be used: '{place}' is {kind} where "
            f"{'a folder' if folder else 'a file'} belongs. Remove it, or set runtime.cache_dir to another folder."
        )


def opener_within(folder: int) -> Callable[[str, int], int]:
    """Return an opener for `open` that opens files of an open folder and follows no link."""
    return lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=folder)


def exists(name: str, folder: int) -> bool:
    """Return whether an open folder holds this name."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def is_file(name: str, folder: int) -> bool:
    """Return whether an open folder holds a regular file of this name; a link is not one."""
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def unlink(name: str, folder: int) -> None:
    """Remove a file from an open folder, if it is there."""
    with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
        os.unlink(name, dir_fd=folder)


def unlink_matching(folder: int, names: re.Pattern[str]) -> None:
    """Remove the files of an open folder whose names match."""
    for name in os.listdir(folder):
        if names.fullmatch(name):
            unlink(name, folder)


def _first_non_folder(path: Path) -> Path | None:
    """Return the path, or the folder above it, that exists and is not a folder."""
    return next((place for place in (path, *path.parents) if place.exists() and not place.is_dir()), None)

"""Arrays on disk under a content key: written whole or not at all, checked when read, mapped into memory. Knows nothing of text or models.

A value is a folder ``<root>/<kind>/<key[:2]>/<key>/`` of plain ``.npy`` files and a ``meta.json`` that holds their SHA-256 and its own.
The root may be a link; below it no link is followed, and only files with the store's own names are deleted or written over.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import math
import os
import re
import shutil
import stat
import tokenize
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError, flatten
from src.storage.atomic import json_text
from src.storage.files import Unreadable, checked, open_regular, read_json
from src.storage.keys import content_key

FORMAT = 2  # raise it when the meaning of stored bytes changes: older values are then left alone and computed anew

# The store's own names, which alone it deletes.
ARRAY = re.compile(r"[a-z_]+\.npy")
VALUE = re.compile(r"meta\.json|[a-z_]+\.npy")
SHARD = re.compile(r"([0-9]{6,12})-([0-9a-f]{64})\.npy")
NOTE = re.compile(r"[0-9a-f]{32}\.json")
HALF = re.compile(r"[0-9]{1,12}\.tmp|[0-9a-f]{32}\.tmp")
CLAIM = re.compile(r"[0-9]{1,12}\.lock")

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)  # what unsound bytes raise when read

# Errors of the system that tell of a missing file, a link, a folder or a pipe where a file of a value belongs.
MISPLACED = {errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, None}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Value:
    """Stored arrays, mapped and read-only, with what was written beside them."""

    arrays: Mapping[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path


class ArrayStore:
    """A folder of values, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with self._explained():
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f".write-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()

    @staticmethod
    def key(identity: Mapping[str, Any]) -> str:
        """The content key of what decides a value's bytes; the order of the identity's keys does not matter."""
        return content_key({"format": FORMAT, **identity})

    def folder(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    @contextmanager
    def opened(self, *names: str, make: bool = False) -> Iterator[int]:
        """The descriptor of a folder below the root, reached without following a link; `make` makes what is missing.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        UserError
            A link or a file lies where a folder belongs.
        """
        folder, place = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY), self.root
        try:
            for name in names:
                place = place / name
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder)
                try:
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP):
                        raise self._refused(place) from error
                    raise
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def has(self, kind: str, key: str) -> bool:
        """Whether a value is there; `get` alone tells whether it is sound."""
        with suppress(OSError, UserError), self.opened(kind, key[:2], key) as folder:
            return _is_file("meta.json", folder)
        return False

    def get(self, kind: str, key: str, check: Callable[[Value], object] | None = None) -> Value | None:
        """The value under a key, or None. A damaged one is removed with a warning, so that it is computed again.

        Parameters
        ----------
        check : callable, optional
            Raises one of `DAMAGE` where a value that is whole does not hold what its reader needs.
        """
        with self._explained(), suppress(FileNotFoundError), self.opened(kind, key[:2], key) as folder:
            return self._sound(kind, key, folder, check)
        return None

    def _sound(self, kind: str, key: str, folder: int, check: Callable[[Value], object] | None) -> Value | None:
        """The value in an open folder; None where it is damaged, and its files are deleted."""
        try:
            value = self._read(self.folder(kind, key), folder)
            if check is not None:
                check(value)
            return value
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in MISPLACED:
                raise  # the disk, or this process, could not read now what may be sound
            log.warning("stored %s %s is damaged (%s): it is computed again", kind, key[:12], flatten(error, 120))
        _clear(folder, VALUE)  # in the folder that was read: another process may have put a sound one in its place
        self._forget(kind, key[:2], key)
        return None

    def _read(self, place: Path, folder: int) -> Value:
        """A value, each of its files opened once: what was hashed is what is mapped."""
        record = checked(read_json("meta.json", folder=folder), {"meta": dict, "sha256": dict, "digest": str})
        if record.pop("digest") != content_key(record):
            raise Unreadable("meta.json has changed since it was written")
        arrays = {}
        for name, digest in record["sha256"].items():
            if not ARRAY.fullmatch(f"{name}.npy"):
                raise Unreadable(f"{name!r} is no name of an array")
            with open_regular(f"{name}.npy", folder=folder) as file:
                if _digest(file) != digest:
                    raise Unreadable(f"{name}.npy has changed since it was written")
                arrays[name] = _mapped(file)
        return Value(arrays, record["meta"], place)

    def _forget(self, *names: str) -> None:
        """Remove a folder that is empty; say so where something foreign keeps it."""
        with suppress(FileNotFoundError), self.opened(*names[:-1]) as parent:
            try:
                os.rmdir(names[-1], dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY):
                    log.warning("'%s' holds what is not the store's: it is left alone", self.root.joinpath(*names))

    def put(self, kind: str, key: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Write a value whole; one that is there already stays, since it has the same content."""
        with self.writing(kind, key, meta) as folder:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @contextmanager
    def writing(self, kind: str, key: str, meta: Mapping[str, Any]) -> Iterator[Path]:
        """A temporary folder to put ``.npy`` files into; it becomes the value when the block ends well, and is gone when it does not."""
        name = f"{key[:16]}-{uuid.uuid4().hex}"
        temporary = self.root / "tmp" / name
        with self._explained(), self.opened("tmp", make=True) as above:
            try:
                os.mkdir(name, dir_fd=above)
                yield temporary
                record: dict[str, Any] = {
                    "meta": dict(meta),
                    "sha256": {path.stem: sha256(path) for path in sorted(temporary.glob("*.npy"))},
                }
                record["digest"] = content_key(record)
                (temporary / "meta.json").write_text(json_text(record), encoding="utf-8")
                with self.opened(kind, key[:2], make=True) as parent:
                    self._place(name, above, kind, key, parent)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)  # made above under a name of its own

    def _place(self, name: str, above: int, kind: str, key: str, parent: int) -> None:
        """Rename a finished folder to its key; a value that is there stays, and foreign files in its place stay beside ours."""
        try:
            os.rename(name, key, src_dir_fd=above, dst_dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise self._refused(self.folder(kind, key)) from error
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            with self.opened(kind, key[:2], key) as final, self.opened("tmp", name) as made:
                if not _is_file("meta.json", final):
                    for each in sorted(
                        os.listdir(made), key="meta.json".__eq__
                    ):  # the notes last: with them the value is there
                        self._replace(each, made, each, final, self.folder(kind, key) / each)

    def _replace(self, name: str, folder: int, new: str, target: int, place: Path) -> None:
        """Put a file in place of one of that name, which may be a link: the name is taken, not what it leads to."""
        try:
            os.replace(name, new, src_dir_fd=folder, dst_dir_fd=target)
        except IsADirectoryError as error:
            raise self._refused(place) from error

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove what killed processes left of half-written values; for the holder of the lock under which these keys are written."""
        with suppress(FileNotFoundError), self.opened("tmp") as above:
            names = os.listdir(above)
            for key in keys:
                for name in names:
                    if re.fullmatch(rf"{re.escape(key[:16])}-[0-9a-f]+", name):
                        with suppress(OSError, UserError), self.opened("tmp", name) as folder:
                            _clear(folder, VALUE)
                            self._forget("tmp", name)

    @contextmanager
    def lock(self, key: str, doing: str) -> Iterator[None]:
        """One process at a time per key; the others wait. The lock goes with its process, however that ends."""
        with self._explained():
            lock = self._taken("locks", f"{key}.lock")
            if lock is None:
                log.info("another process is %s: waiting for it", doing)
                lock = self._taken("locks", f"{key}.lock", wait=True)
        try:
            yield
        finally:
            lock.release()

    def _taken(self, *names: str, wait: bool = False) -> Any:
        """A lock file below the root, locked by this process; None where another one has it and we do not wait."""
        from filelock import FileLock, Timeout

        with self.opened(*names[:-1], make=True) as folder:
            if _exists(names[-1], folder) and not _is_file(names[-1], folder):
                raise self._refused(self.root.joinpath(*names))
        lock = FileLock(self.root.joinpath(*names))
        try:
            return lock.acquire(timeout=-1 if wait else 0).lock
        except Timeout:
            return None

    def parts(self, key: str) -> ShardStore:
        """The finished shards of a pass that is under way, or was when it was killed."""
        return ShardStore(self, key)

    def require(self, size: int) -> None:
        """Refuse work whose `size` bytes cannot fit, before it begins."""
        free = shutil.disk_usage(self.root).free
        if size > free:
            raise UserError(
                f"the store has {_gigabytes(free)} free and this pass writes {_gigabytes(size)}. Free some room, or set "
                "runtime.cache_dir to a larger disk."
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explain(error) from error

    def _explain(self, error: OSError) -> UserError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return UserError(
                f"the disk of the store ({self.root}) is full. What was stored is sound: free some room, or set "
                "runtime.cache_dir, and start again."
            )
        if error.errno in (errno.EEXIST, errno.ENOTDIR) and (
            place := _in_the_way(Path(error.filename2 or error.filename or self.root))
        ):
            return self._refused(place)
        return UserError(
            f"the store ({self.root}) cannot be used: {error.strerror or flatten(error)}. Set runtime.cache_dir to a "
            "folder that you can write."
        )

    def _refused(self, place: Path) -> UserError:
        """The error for a link, or for something of another kind, where the store keeps a folder or a file."""
        folder = place.suffix not in (".npy", ".json", ".tmp", ".lock")
        belongs = "a folder" if folder else "a file"
        kind = (
            "a link"
            if place.is_symlink()
            else "a folder"
            if place.is_dir()
            else "a file"
            if folder
            else "no regular file"
        )
        return UserError(
            f"the store ({self.root}) cannot be used: '{place}' is {kind} where {belongs} belongs. Remove it, or set runtime.cache_dir to "
            "another folder."
        )


class ShardStore:
    """Shards of an unfinished pass, one file each, named by number and digest, so that a torn or damaged one is simply not there.

    Several processes may make them at once: each claims a shard before it makes it. Beside them lie the claims, what is half written,
    and the notes of those who have done a share. Files with other names are left alone.

    A shard may be larger than the memory that a job has: `begin` gives its file, to be filled in any order, and `write` makes it count.
    """

    def __init__(self, store: ArrayStore, key: str) -> None:
        self.store = store
        self.names = "partial", key
        self.folder = store.root.joinpath(*self.names)
        self.claims = self.folder / "claims"

    @contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[int]:
        with self.store._explained(), self.store.opened(*self.names, make=make) as folder:
            yield folder

    def finished(self) -> dict[int, Path]:
        """Number and file of every shard that is whole; damaged ones are deleted."""
        found = {}
        for number, path in self.named().items():
            with (
                suppress(FileNotFoundError),
                self._shard(path) as file,
            ):  # the pass was put together by another process just now
                if _digest(file) == path.stem.partition("-")[2] and _is_array(file):
                    found[number] = path
                    continue
                with self._opened() as folder:
                    _unlink(path.name, folder)
        return found

    def named(self) -> dict[int, Path]:
        """Number and file of every shard that is there, unread."""
        with suppress(FileNotFoundError), self.store.opened(*self.names) as folder:
            names = [name for name in sorted(os.listdir(folder)) if SHARD.fullmatch(name) and _is_file(name, folder)]
            return {int(name.partition("-")[0]): self.folder / name for name in names}
        return {}

    def made(self, number: int) -> Path | None:
        """The file of one shard, unread."""
        with suppress(FileNotFoundError), self.store.opened(*self.names) as folder:
            for name in os.listdir(folder):
                if name.startswith(f"{number:06d}-") and SHARD.fullmatch(name) and _is_file(name, folder):
                    return self.folder / name
        return None

    @contextmanager
    def _shard(self, path: Path) -> Iterator[BufferedReader]:
        with self._opened() as folder, open_regular(path.name, folder=folder) as file:
            yield file

    def read(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """A shard, mapped; UserError where it is another array than its pass wants."""
        with self._shard(path) as file:
            array = _mapped(file)
        if array.shape != shape or array.dtype != np.float32:
            raise UserError(
                f"'{path}' is no shard of this pass: {array.shape} {array.dtype}, not {shape} float32. Remove it and start again."
            )
        return array

    def claim(self, number: int, *, wait: bool = False) -> Any:
        """The right to make a shard, to be released, which goes with its process; None where another process has it and we do not wait."""
        with self.store._explained():
            return self.store._taken(*self.names, "claims", f"{number}.lock", wait=wait)

    def note(self, content: Mapping[str, float]) -> None:
        """Leave what a share took, for whoever puts the shards together."""
        name = uuid.uuid4().hex
        with self._opened(make=True) as folder:
            with open(f"{name}.tmp", "x", encoding="utf-8", opener=_within(folder)) as file:
                file.write(json.dumps(dict(content)))
            os.replace(f"{name}.tmp", f"{name}.json", src_dir_fd=folder, dst_dir_fd=folder)

    def notes(self) -> list[dict[str, float]]:
        """What the shares took; a damaged note is left out, since it tells of time alone."""
        found = []
        with suppress(FileNotFoundError), self.store.opened(*self.names) as folder:
            for name in sorted(filter(NOTE.fullmatch, os.listdir(folder))):
                try:
                    content = read_json(name, folder=folder)
                    found.append(
                        {
                            phase: float(seconds)
                            for phase, seconds in checked(content, dict.fromkeys(content, float)).items()
                        }
                    )
                except (OSError, ValueError, TypeError) as error:
                    log.warning(
                        "a note of how long a share of this pass took is damaged (%s): it is left out",
                        flatten(error, 120),
                    )
        return found

    @contextmanager
    def begin(self, number: int, shape: tuple[int, ...]) -> Iterator[ArrayWriter]:
        """The file of one shard, of float32, for the holder of its claim to fill; `write` makes a shard of it."""
        with self._opened(make=True) as folder:
            _unlink(f"{number}.tmp", folder)  # what a killed job left; written over, it could be a link to another file
            # The header that numpy.save writes, as shards of interrupted passes have had it: their names are the digests of their bytes.
            header = np.lib.format.write_array_header_1_0
            with closing(ArrayWriter(self._half(number), shape, np.float32, header)) as writer:
                yield writer

    def write(self, number: int) -> Path:
        """Make a shard of what was filled since `begin`."""
        half = self._half(number)
        with self._opened() as folder:
            try:
                with open_regular(half.name, folder=folder) as file:
                    final = self.folder / f"{number:06d}-{_digest(file)}.npy"
                self.store._replace(half.name, folder, final.name, folder, final)
            finally:
                self.drop(number)
        return final

    def drop(self, number: int) -> None:
        """Remove what was begun of a shard that will not be written."""
        with suppress(FileNotFoundError, UserError), self.store.opened(*self.names) as folder:
            _unlink(self._half(number).name, folder)

    def begun(self, numbers: Iterable[int]) -> int:
        """Bytes that half of these shards take: other jobs are at them, or a killed one left them, to be written over."""
        size = 0
        with suppress(FileNotFoundError), self.store.opened(*self.names) as folder:
            for number in numbers:
                with suppress(FileNotFoundError):
                    size += os.stat(self._half(number).name, dir_fd=folder, follow_symlinks=False).st_size
        return size

    def remove(self) -> None:
        """Delete what a pass leaves: shards, halves, notes and claims. Say what else is there, which stays."""
        try:
            with suppress(OSError), self.store.opened(*self.names) as folder:
                for kind in (SHARD, NOTE, HALF):
                    _clear(folder, kind)
                with suppress(OSError, UserError), self.store.opened(*self.names, "claims") as claims:
                    _clear(claims, CLAIM)
                with suppress(OSError):
                    os.rmdir("claims", dir_fd=folder)
                self.store._forget(*self.names)
        except UserError as error:  # a link in place of the folder: nothing of it is needed any more
            log.warning("%s", error)

    def _half(self, number: int) -> Path:
        return self.folder / f"{number}.tmp"


class ArrayWriter:
    """Rows of a new ``.npy`` file in any order, without the array ever being in memory; rows are numbered over all axes but the last."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: Any, header: Any = np.lib.format.write_array_header_2_0
    ) -> None:
        dtype = np.dtype(dtype)
        self._file = path.open("xb")
        header(self._file, {"descr": dtype.str, "fortran_order": False, "shape": shape})
        self._file.flush()
        self._start = self._file.tell()
        self._stride = shape[-1] * dtype.itemsize
        if size := math.prod(shape) * dtype.itemsize:
            # Where the system can reserve the room, a full disk shows now, not halfway.
            reserve = getattr(os, "posix_fallocate", lambda file, start, size: os.ftruncate(file, start + size))
            reserve(self._file.fileno(), self._start, size)

    def rows(self, numbers: np.ndarray, values: np.ndarray) -> None:
        """Put ``values[i]`` into row ``numbers[i]``; rows that follow one another in the file are written at once."""
        data = np.ascontiguousarray(values).data.cast("B")
        runs = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        for first, end in itertools.pairwise(runs):
            piece, place = (
                data[first * self._stride : end * self._stride],
                self._start + int(numbers[first]) * self._stride,
            )
            while piece:  # a disk that has just filled up takes less than it is given
                done = os.pwrite(self._file.fileno(), piece, place)
                piece, place = piece[done:], place + done

    def close(self) -> None:
        self._file.close()


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with open_regular(path) as file:
        return _digest(file)


def _digest(file: BufferedReader) -> str:
    """SHA-256 of an open file's bytes, which is then at its beginning again."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _mapped(file: BufferedReader) -> np.ndarray:
    """The array of an open ``.npy`` file, mapped and read-only; ValueError where it is none, or would need pickle."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    magic = np.lib.format.read_magic(file)
    if magic not in headers:
        raise ValueError(f"format {magic} of an array is not known")
    try:
        shape, fortran, dtype = headers[magic](file)
    except (SyntaxError, tokenize.TokenError) as error:  # the header is a Python literal
        raise ValueError(f"its header cannot be read: {flatten(error, 80)}") from error
    if dtype.hasobject:
        raise ValueError("it holds objects, which only pickle reads")
    return np.memmap(file, dtype=dtype, shape=shape, order="F" if fortran else "C", mode="r", offset=file.tell())


def _is_array(file: BufferedReader) -> bool:
    try:
        _mapped(file)
    except DAMAGE:
        return False
    return True


def _within(folder: int) -> Callable[[str, int], int]:
    """An opener of files in an open folder that follows no link."""
    return lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=folder)


def _exists(name: str, folder: int) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _is_file(name: str, folder: int) -> bool:
    """Whether an open folder holds a regular file of this name; a link is none."""
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def _unlink(name: str, folder: int) -> None:
    """Take a name out of an open folder, unless it is not there or names a folder."""
    with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
        os.unlink(name, dir_fd=folder)


def _clear(folder: int, own: re.Pattern[str]) -> None:
    """Delete the files of an open folder that bear the store's own names."""
    for name in os.listdir(folder):
        if own.fullmatch(name):
            _unlink(name, folder)


def _in_the_way(folder: Path) -> Path | None:
    """What keeps a folder from being made, itself or above it."""
    return next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"

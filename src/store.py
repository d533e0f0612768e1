"""Arrays on disk under a content key: written whole or not at all, checked when read, mapped into memory. Knows nothing of text or models.

A value is a folder ``<root>/<kind>/<key[:2]>/<key>/`` of plain ``.npy`` files and a ``meta.json`` that holds their SHA-256 and its own.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError, flatten
from src.result import content_key

FORMAT = 2  # raise it when the meaning of stored bytes changes: older values are then left alone and computed anew
CHUNK = 1 << 22  # bytes read at once while hashing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Value:
    """Stored arrays, mapped and read-only, with what was written beside them."""

    arrays: Mapping[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path


class Store:
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

    def has(self, kind: str, key: str) -> bool:
        """Whether a value is there; `get` alone tells whether it is sound."""
        return (self.folder(kind, key) / "meta.json").is_file()

    def get(self, kind: str, key: str) -> Value | None:
        """The value under a key, or None. A damaged one is removed with a warning, so that it is computed again."""
        folder = self.folder(kind, key)
        if not folder.is_dir():
            if place := _in_the_way(folder):
                raise self._refused(place)
            return None
        try:
            read = folder.stat().st_ino
            record = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            if record.pop("digest") != content_key(record):
                raise ValueError("meta.json has changed since it was written")
            for name, digest in record["sha256"].items():
                if sha256(folder / f"{name}.npy") != digest:
                    raise ValueError(f"{name}.npy has changed since it was written")
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in record["sha256"]}
            return Value(arrays, record["meta"], folder)
        except PermissionError as error:
            raise self._explain(error) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("stored %s %s is damaged (%s): it is computed again", kind, key[:12], flatten(error, 120))
            if folder.is_dir() and folder.stat().st_ino == read:  # another process may have put a sound one in its place
                self.remove(kind, key)
            return None

    def remove(self, kind: str, key: str) -> None:
        shutil.rmtree(self.folder(kind, key), ignore_errors=True)

    def put(self, kind: str, key: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Write a value whole; one that is there already stays, since it has the same content."""
        with self.writing(kind, key, meta) as folder:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @contextmanager
    def writing(self, kind: str, key: str, meta: Mapping[str, Any]) -> Iterator[Path]:
        """A temporary folder to put ``.npy`` files into; it becomes the value when the block ends well, and is gone when it does not."""
        final = self.folder(kind, key)
        temporary = self.root / "tmp" / f"{key[:16]}-{uuid.uuid4().hex}"
        with self._explained():
            try:
                temporary.mkdir(parents=True)
                yield temporary
                record: dict[str, Any] = {
                    "meta": dict(meta),
                    "sha256": {path.stem: sha256(path) for path in sorted(temporary.glob("*.npy"))},
                }
                record["digest"] = content_key(record)
                (temporary / "meta.json").write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
                final.parent.mkdir(parents=True, exist_ok=True)
                try:
                    temporary.rename(final)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove what killed processes left of half-written values; for the holder of the lock under which these keys are written."""
        for key in keys:
            for folder in (self.root / "tmp").glob(f"{key[:16]}-*"):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, doing: str) -> Iterator[None]:
        """One process at a time per key; the others wait. The lock goes with its process, however that ends."""
        with self._explained():
            lock = self._taken(self.root / "locks" / f"{key}.lock")
            if lock is None:
                log.info("another process is %s: waiting for it", doing)
                lock = self._taken(self.root / "locks" / f"{key}.lock", wait=True)
        try:
            yield
        finally:
            lock.release()

    @staticmethod
    def _taken(path: Path, *, wait: bool = False) -> Any:
        """A lock file, locked by this process; None where another one has it and we do not wait."""
        from filelock import FileLock, Timeout

        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            return lock.acquire(timeout=-1 if wait else 0).lock
        except Timeout:
            return None

    def parts(self, key: str) -> Parts:
        """The finished shards of a pass that is under way, or was when it was killed."""
        return Parts(self, self.root / "partial" / key)

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
        if error.errno in (errno.EEXIST, errno.ENOTDIR) and (place := _in_the_way(Path(error.filename2 or error.filename or self.root))):
            return self._refused(place)
        return UserError(
            f"the store ({self.root}) cannot be used: {error.strerror or flatten(error)}. Set runtime.cache_dir to a "
            "folder that you can write."
        )

    def _refused(self, place: Path) -> UserError:
        return UserError(
            f"the store ({self.root}) cannot be used: '{place}' is a file where a folder belongs. Remove it, or set runtime.cache_dir to "
            "another folder."
        )


class Parts:
    """Shards of an unfinished pass, one file each, named by number and digest, so that a torn or damaged one is simply not there.

    Several processes may make them at once: each claims a shard before it makes it. Beside them lie the claims, what is half written,
    and the notes of those who have done a share.

    A shard may be larger than the memory that a job has: `begin` gives its file, to be filled in any order, and `write` makes it count.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.claims = folder / "claims"

    def finished(self) -> dict[int, Path]:
        """Number and file of every shard that is whole; the others are deleted."""
        found = {}
        with self.store._explained():
            for path in sorted(self.folder.glob("*")):
                number, _, digest = path.stem.partition("-")
                try:
                    if path.suffix == ".npy" and number.isdigit() and path.is_file() and sha256(path) == digest:
                        found[int(number)] = path
                    elif path.is_dir() and path != self.claims:
                        shutil.rmtree(path)
                    elif path.is_file() and path.suffix not in (".tmp", ".json"):
                        path.unlink()
                except FileNotFoundError:  # the pass was put together by another process just now
                    continue
        return found

    def named(self) -> dict[int, Path]:
        """Number and file of every shard that is there, unread."""
        return {int(path.name.partition("-")[0]): path for path in self.folder.glob("[0-9]*-*.npy")}

    def made(self, number: int) -> Path | None:
        """The file of one shard, unread."""
        return next(self.folder.glob(f"{number:06d}-*.npy"), None)

    def claim(self, number: int, *, wait: bool = False) -> Any:
        """The right to make a shard, to be released, which goes with its process; None where another process has it and we do not wait."""
        with self.store._explained():
            return self.store._taken(self.claims / f"{number}.lock", wait=wait)

    def note(self, content: Mapping[str, float]) -> None:
        """Leave what a share took, for whoever puts the shards together."""
        with self.store._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f"{uuid.uuid4().hex}.tmp"
            temporary.write_text(json.dumps(dict(content)), encoding="utf-8")
            os.replace(temporary, temporary.with_suffix(".json"))

    def notes(self) -> list[dict[str, float]]:
        """What the shares took."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in self.folder.glob("*.json")]

    @contextmanager
    def begin(self, number: int, shape: tuple[int, ...]) -> Iterator[ArrayWriter]:
        """The file of one shard, of float32, for the holder of its claim to fill; `write` makes a shard of it."""
        with self.store._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            # The header that numpy.save writes, as shards of interrupted passes have had it: their names are the digests of their bytes.
            header = np.lib.format.write_array_header_1_0
            with closing(ArrayWriter(self._half(number), shape, np.float32, header)) as writer:
                yield writer

    def write(self, number: int) -> Path:
        """Make a shard of what was filled since `begin`."""
        half = self._half(number)
        with self.store._explained():
            try:
                final = self.folder / f"{number:06d}-{sha256(half)}.npy"
                os.replace(half, final)
            finally:
                self.drop(number)
        return final

    def drop(self, number: int) -> None:
        """Remove what was begun of a shard that will not be written."""
        self._half(number).unlink(missing_ok=True)

    def begun(self, numbers: Iterable[int]) -> int:
        """Bytes that half of these shards take: other jobs are at them, or a killed one left them, to be written over."""
        size = 0
        for number in numbers:
            with suppress(FileNotFoundError):
                size += self._half(number).stat().st_size
        return size

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _half(self, number: int) -> Path:
        return self.folder / f"{number}.tmp"


class ArrayWriter:
    """Rows of a ``.npy`` file in any order, without the array ever being in memory; rows are numbered over all axes but the last."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any, header: Any = np.lib.format.write_array_header_2_0) -> None:
        dtype = np.dtype(dtype)
        self._file = path.open("wb")
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
            piece, place = data[first * self._stride : end * self._stride], self._start + int(numbers[first]) * self._stride
            while piece:  # a disk that has just filled up takes less than it is given
                done = os.pwrite(self._file.fileno(), piece, place)
                piece, place = piece[done:], place + done

    def close(self) -> None:
        self._file.close()


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _in_the_way(folder: Path) -> Path | None:
    """The file that keeps a folder from being made, itself or above it."""
    return next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"

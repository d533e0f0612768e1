"""Arrays on disk under a content key: written whole, checked when read, mapped into memory.

A value is a folder ``<root>/<kind>/<key[:2]>/<key>/`` of ``.npy`` files and a ``meta.json``, which
holds their SHA-256 and its own. Only files with the store's own names are removed or replaced.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError, flatten
from src.storage.atomic import json_text
from src.storage.files import DAMAGE, Unreadable, file_digest, open_digest, open_regular, read_json, require_fields
from src.storage.folders import StoreFolder, is_file, unlink_matching
from src.storage.keys import content_key
from src.storage.npy import map_array
from src.storage.shards import ShardStore

FORMAT = 2  # increase it when the meaning of stored bytes changes: older values are then ignored
ARRAY_FILE = re.compile(r"[a-z_]+\.npy")
VALUE_FILE = re.compile(r"meta\.json|[a-z_]+\.npy")

# Errors of the system for a missing file, or for a link, a folder or a pipe in place of a file.
MISPLACED = {errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, None}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Value:
    """Stored arrays, mapped and read-only, with their metadata and the folder that holds them."""

    arrays: Mapping[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path


class ArrayStore:
    """Values in a folder that any number of processes share.

    Parameters
    ----------
    root : Path
        Created if it is missing.

    Raises
    ------
    UserError
        The folder cannot be created or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = StoreFolder(root)
        with self.files.explain_errors():
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f".write-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()

    @staticmethod
    def key(identity: Mapping[str, Any]) -> str:
        """Return the content key of an identity, with the version of the format."""
        return content_key({"format": FORMAT, **identity})

    def folder(self, kind: str, key: str) -> Path:
        """Return the folder of a value."""
        return self.root / kind / key[:2] / key

    def has(self, kind: str, key: str) -> bool:
        """Return whether a value exists; only `get` checks that it is intact."""
        with suppress(OSError, UserError), self.files.open(kind, key[:2], key) as folder:
            return is_file("meta.json", folder)
        return False

    def get(self, kind: str, key: str, check: Callable[[Value], object] | None = None) -> Value | None:
        """Return the value under a key, or None.

        A damaged value is removed with a warning, so that it is computed again.

        Parameters
        ----------
        kind, key : str
        check : callable, optional
            Raises one of `DAMAGE` if an intact value lacks what its reader needs.
        """
        with self.files.explain_errors(), suppress(FileNotFoundError), self.files.open(kind, key[:2], key) as folder:
            return self._checked(kind, key, folder, check)
        return None

    def _checked(self, kind: str, key: str, folder: int, check: Callable[[Value], object] | None) -> Value | None:
        """Return the value in an open folder; remove it and return None if it is damaged."""
        try:
            value = self._read(self.folder(kind, key), folder)
            if check is not None:
                check(value)
            return value
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in MISPLACED:
                raise  # the value may be intact: this process or the disk failed to read it
            log.warning("stored %s %s is damaged (%s): it is computed again", kind, key[:12], flatten(error, 120))
        unlink_matching(folder, VALUE_FILE)  # by descriptor: another process may have replaced the folder
        self.files.remove_empty(kind, key[:2], key)
        return None

    def _read(self, place: Path, folder: int) -> Value:
        """Return a value; each file is opened once, so that the bytes mapped are those hashed."""
        record = require_fields(read_json("meta.json", folder=folder), {"meta": dict, "sha256": dict, "digest": str})
        if record.pop("digest") != content_key(record):
            raise Unreadable("meta.json has changed since it was written")
        arrays = {}
        for name, digest in record["sha256"].items():
            if not ARRAY_FILE.fullmatch(f"{name}.npy"):
                raise Unreadable(f"{name!r} is not the name of an array")
            with open_regular(f"{name}.npy", folder=folder) as file:
                if open_digest(file) != digest:
                    raise Unreadable(f"{name}.npy has changed since it was written")
                arrays[name] = map_array(file)
        return Value(arrays, record["meta"], place)

    def put(self, kind: str, key: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Write a value whole; an existing one is kept, because it has the same content."""
        with self.writing(kind, key, meta) as folder:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @contextmanager
    def writing(self, kind: str, key: str, meta: Mapping[str, Any]) -> Iterator[Path]:
        """Yield a temporary folder for ``.npy`` files; it becomes the value if the block succeeds.

        Parameters
        ----------
        kind, key : str
        meta : mapping
            Metadata that JSON can hold.
        """
        name = f"{key[:16]}-{uuid.uuid4().hex}"
        temporary = self.root / "tmp" / name
        with self.files.explain_errors(), self.files.open("tmp", create=True) as above:
            try:
                os.mkdir(name, dir_fd=above)
                yield temporary
                digests = {path.stem: file_digest(path) for path in sorted(temporary.glob("*.npy"))}
                record: dict[str, Any] = {"meta": dict(meta), "sha256": digests}
                record["digest"] = content_key(record)
                (temporary / "meta.json").write_text(json_text(record), encoding="utf-8")
                with self.files.open(kind, key[:2], create=True) as parent:
                    self._place(name, above, kind, key, parent)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)  # created above under a unique name

    def _place(self, name: str, above: int, kind: str, key: str, parent: int) -> None:
        """Rename a finished folder to its key; keep an existing value and foreign files."""
        try:
            os.rename(name, key, src_dir_fd=above, dst_dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise self.files.misplaced(self.folder(kind, key)) from error
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            with self.files.open(kind, key[:2], key) as final, self.files.open("tmp", name) as source:
                if not is_file("meta.json", final):
                    for each in sorted(
                        os.listdir(source), key="meta.json".__eq__
                    ):  # last, since it completes the value
                        self.files.replace(each, source, each, final, self.folder(kind, key) / each)

    def remove_stale(self, keys: Iterable[str]) -> None:
        """Remove half-written values of killed processes; the caller has the lock of the keys."""
        with suppress(FileNotFoundError), self.files.open("tmp") as above:
            names = os.listdir(above)
            for key in keys:
                for name in names:
                    if re.fullmatch(rf"{re.escape(key[:16])}-[0-9a-f]+", name):
                        with suppress(OSError, UserError), self.files.open("tmp", name) as folder:
                            unlink_matching(folder, VALUE_FILE)
                            self.files.remove_empty("tmp", name)

    @contextmanager
    def lock(self, key: str, doing: str) -> Iterator[None]:
        """Run the block in one process at a time per key. The lock ends with its process.

        Parameters
        ----------
        key : str
        doing : str
            What the block does, for the log of a process that waits.
        """
        with self.files.explain_errors():
            lock = self.files.lock("locks", f"{key}.lock")
            if lock is None:
                log.info("another process is %s: waiting for it", doing)
                lock = self.files.lock("locks", f"{key}.lock", wait=True)
        assert lock is not None
        try:
            yield
        finally:
            lock.release()

    def shards(self, key: str) -> ShardStore:
        """Return the shards of an unfinished forward pass."""
        return ShardStore(self.files, key)

    def require_space(self, size: int) -> None:
        """Raise a UserError if the disk cannot hold `size` more bytes."""
        free = shutil.disk_usage(self.root).free
        if size > free:
            raise UserError(
                f"the store has {free / 1e6:,.1f} MB free and this pass writes {size / 1e6:,.1f} MB. "
                "Free some space, or set runtime.cache_dir to a larger disk."
            )

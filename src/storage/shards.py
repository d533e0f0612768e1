"""Shards of a forward pass: a killed pass continues from them, and the finished one is read from them."""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.errors import UserError, flatten
from src.storage.files import DAMAGE, Unreadable, open_digest, open_regular, read_json, require_fields
from src.storage.folders import StoreFolder, is_file, opener_within, unlink, unlink_matching
from src.storage.npy import ArrayWriter, map_array

if TYPE_CHECKING:
    from filelock import BaseFileLock

SHARD = re.compile(r"([0-9]{6,12})-([0-9a-f]{64})\.npy")
TIMING = re.compile(r"[0-9a-f]{32}\.json")
PARTIAL = re.compile(r"[0-9]{1,12}\.tmp|[0-9a-f]{32}\.tmp")
CLAIM = re.compile(r"[0-9]{1,12}\.lock")

log = logging.getLogger(__name__)


class ShardStore:
    """Shards of one forward pass, a file each, named by number and digest.

    Several processes may compute shards at once: each claims a shard before it computes it. A shard
    may be larger than memory: `open_writer` takes its rows in any order, and `commit` completes it.
    The folder also holds claims, partial shards and timings. Files with other names are kept.

    Parameters
    ----------
    store : StoreFolder
        Folder of the whole store.
    key : str
        Content key of the pass.
    """

    def __init__(self, store: StoreFolder, key: str) -> None:
        self.store = store
        self.key = key
        self.names = "passes", key
        self.folder = store.path.joinpath(*self.names)

    @contextmanager
    def _open(self, *, create: bool = False) -> Iterator[int]:
        with self.store.explain_errors(), self.store.open(*self.names, create=create) as folder:
            yield folder

    @contextmanager
    def _open_shard(self, path: Path) -> Iterator[BufferedReader]:
        with self.store.open(*self.names) as folder, open_regular(path.name, folder=folder) as file:
            yield file

    def listed(self) -> dict[int, Path]:
        """Return number and file of every shard, without reading any."""
        with suppress(FileNotFoundError), self.store.open(*self.names) as folder:
            names = [name for name in sorted(os.listdir(folder)) if SHARD.fullmatch(name) and is_file(name, folder)]
            return {int(name.partition("-")[0]): self.folder / name for name in names}
        return {}

    def verified(self, shapes: Mapping[int, tuple[int, ...]] | None = None) -> dict[int, Path]:
        """Return number and file of every intact shard; remove damaged ones.

        Parameters
        ----------
        shapes : mapping of int to tuple of int, optional
            Shapes of the shards by number. A shard of another shape is damaged, too.
        """
        found = {}
        for number, path in self.listed().items():
            # Another process may just have removed a damaged shard.
            with self.store.explain_errors(), suppress(FileNotFoundError), self._open_shard(path) as file:
                if open_digest(file) == path.stem.partition("-")[2] and _is_shard(file, (shapes or {}).get(number)):
                    found[number] = path
                    continue
                with self._open() as folder:
                    unlink(path.name, folder)
        return found

    def completed(self, number: int) -> Path | None:
        """Return the file of a shard without reading it, or None if the shard is not complete."""
        with suppress(FileNotFoundError), self.store.open(*self.names) as folder:
            for name in os.listdir(folder):
                if name.startswith(f"{number:06d}-") and SHARD.fullmatch(name) and is_file(name, folder):
                    return self.folder / name
        return None

    def read(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """Return a shard of this shape, mapped, float32.

        Raises
        ------
        OSError
            The file is missing or cannot be read.
        ValueError
            The file holds no array, or one of another shape or type.
        """
        with self._open_shard(path) as file:
            return _map_shard(file, shape)

    def claim(self, number: int, *, wait: bool = False) -> BaseFileLock | None:
        """Acquire the right to compute a shard, or return None if another process has it.

        It lasts until the caller releases it or the process ends. With `wait`, wait for the other
        process.
        """
        with self.store.explain_errors():
            return self.store.lock(*self.names, "claims", f"{number}.lock", wait=wait)

    def wait_for(self, number: int) -> None:
        """Wait until no other process computes a shard."""
        claim = self.claim(number, wait=True)
        assert claim is not None
        claim.release()

    def add_timing(self, seconds: Mapping[str, float]) -> None:
        """Store the seconds by phase that this process spent on the pass."""
        name = uuid.uuid4().hex
        with self._open(create=True) as folder:
            with open(f"{name}.tmp", "x", encoding="utf-8", opener=opener_within(folder)) as file:
                file.write(json.dumps(dict(seconds)))
            os.replace(f"{name}.tmp", f"{name}.json", src_dir_fd=folder, dst_dir_fd=folder)

    def timings(self) -> list[dict[str, float]]:
        """Return the seconds by phase of all processes; warn of damaged files and ignore them."""
        found = []
        with suppress(FileNotFoundError), self.store.open(*self.names) as folder:
            for name in sorted(filter(TIMING.fullmatch, os.listdir(folder))):
                try:
                    content = read_json(name, folder=folder)
                    seconds = require_fields(content, dict.fromkeys(content, float))
                    found.append({phase: float(value) for phase, value in seconds.items()})
                except (OSError, ValueError, TypeError) as error:
                    log.warning("a timing of this pass is damaged (%s): it is left out", flatten(error, 120))
        return found

    @contextmanager
    def open_writer(self, number: int, shape: tuple[int, ...]) -> Iterator[ArrayWriter]:
        """Yield a writer of a claimed shard, a float32 array; `commit` completes its file."""
        with self._open(create=True) as folder:
            unlink(f"{number}.tmp", folder)  # of a killed process, or a link to another file
            # The header of numpy.save, because names of stored shards are digests of their bytes.
            header = np.lib.format.write_array_header_1_0
            with closing(ArrayWriter(self._partial(number), shape, np.float32, header)) as writer:
                yield writer

    def commit(self, number: int) -> Path:
        """Complete the shard written since `open_writer`, and return its file."""
        partial = self._partial(number)
        with self._open() as folder:
            try:
                with open_regular(partial.name, folder=folder) as file:
                    final = self.folder / f"{number:06d}-{open_digest(file)}.npy"
                self.store.replace(partial.name, folder, final.name, folder, final)
            finally:
                self.discard(number)
        return final

    def discard(self, number: int) -> None:
        """Remove a partial shard."""
        with suppress(FileNotFoundError, UserError), self.store.open(*self.names) as folder:
            unlink(self._partial(number).name, folder)

    def partial_size(self, numbers: Iterable[int]) -> int:
        """Return the bytes of partial shards of running and of killed processes."""
        size = 0
        with suppress(FileNotFoundError), self.store.open(*self.names) as folder:
            for number in numbers:
                with suppress(FileNotFoundError):
                    size += os.stat(self._partial(number).name, dir_fd=folder, follow_symlinks=False).st_size
        return size

    @property
    def is_finished(self) -> bool:
        """Whether `finish` has been called since the last claim."""
        return not (self.folder / "claims").is_dir()

    def finish(self) -> None:
        """Remove partial shards, timings and claims; keep the shards, and files that are not the store's."""
        try:
            with suppress(OSError), self.store.open(*self.names) as folder:
                for kind in (TIMING, PARTIAL):
                    unlink_matching(folder, kind)
                with suppress(OSError, UserError), self.store.open(*self.names, "claims") as claims:
                    unlink_matching(claims, CLAIM)
                with suppress(OSError):
                    os.rmdir("claims", dir_fd=folder)
        except UserError as error:  # a link in place of the folder, which is no longer needed
            log.warning("%s", error)

    def _partial(self, number: int) -> Path:
        return self.folder / f"{number}.tmp"


def _map_shard(file: BufferedReader, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return the array of an open file; Unreadable if it is not float32 of this shape, None being any."""
    array = map_array(file)
    if array.dtype != np.float32 or shape not in (None, array.shape):
        raise Unreadable(f"a shard is {array.shape} {array.dtype}, not {shape} float32")
    return array


def _is_shard(file: BufferedReader, shape: tuple[int, ...] | None) -> bool:
    try:
        _map_shard(file, shape)
    except DAMAGE:
        return False
    return True

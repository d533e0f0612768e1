"""Assemble finished shards: write the features of each target in the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.features.inputs import PoolingTarget
from src.storage.arrays import ArrayStore
from src.storage.npy import ArrayWriter
from src.storage.shards import ShardStore

WINDOW = 1 << 26  # bytes of features in memory, of all workers together


@dataclass(frozen=True)
class FinishedShards:
    """The shards of a forward pass."""

    shard_store: ShardStore
    files: list[Path]  # one a shard: (targets, rows of the shard, width) float32
    rows: list[np.ndarray]  # row numbers of each shard, in the order of its file
    targets: list[PoolingTarget]
    width: int

    def write(self, store: ArrayStore, keys: Mapping[PoolingTarget, str], meta: dict[str, Any], workers: int) -> None:
        """Write one stored value per key, the first key last.

        Parameters
        ----------
        meta : dict
            Metadata of each value.
        workers : int
            Threads; each writes one target.
        """

        def write(target: PoolingTarget) -> None:
            self._write(store, keys[target], meta, self.targets.index(target), workers)

        first, *others = keys
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(write, others))
        write(first)

    def _write(self, store: ArrayStore, key: str, meta: dict[str, Any], place: int, workers: int) -> None:
        """Write the value of the target at `place`, a window of its rows at a time."""
        rows, width = sum(map(len, self.rows)), self.width
        step = max(1, WINDOW // (workers * width * 4))
        with (
            store.writing("features", key, meta) as folder,
            closing(ArrayWriter(folder / "values.npy", (rows, width), np.float32)) as writer,
        ):
            for start in range(0, rows, step):
                window = np.empty((min(step, rows - start), width), np.float32)
                for file, mine in zip(self.files, self.rows, strict=True):
                    inside = np.flatnonzero((mine >= start) & (mine < start + step))
                    shard = self.shard_store.read(file, (len(self.targets), len(mine), width))
                    window[mine[inside] - start] = shard[place, inside]
                writer.rows(np.arange(start, start + len(window)), window)

"""Read the vectors of a finished forward pass from its shards, in the order of the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError, flatten
from src.features.batching import deal_shards, plan_batches
from src.models.options import EncodingOptions
from src.storage.files import Unreadable, require_fields
from src.storage.shards import ShardStore

FIELDS = {"shards": str, "place": int, "targets": int, "sha256": str}  # of a value's metadata


@dataclass(frozen=True)
class ShardRows:
    """Vectors of one target in the shards of a pass; a slice of rows reads those rows.

    A slice raises a UserError if a shard has been removed or changed since it was checked.

    Attributes
    ----------
    shard_store : ShardStore
    files : list of Path
        One a shard: (targets, rows of the shard, width) float32.
    rows : list of int array
        Row numbers of each shard, in the order of its file.
    place : int
        Of the target in each shard.
    targets, width : int
    """

    shard_store: ShardStore
    files: list[Path]
    rows: list[np.ndarray]
    place: int
    targets: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return sum(map(len, self.rows)), self.width

    def __getitem__(self, wanted: slice) -> np.ndarray:
        start, stop, _ = wanted.indices(self.shape[0])
        found = np.empty((max(0, stop - start), self.width), np.float32)
        try:
            for number, mine in enumerate(self.rows):
                inside = np.flatnonzero((mine >= start) & (mine < stop))
                if len(inside):
                    found[mine[inside] - start] = self._shard(number)[inside]
        except (OSError, ValueError) as error:
            raise UserError(
                f"stored vectors in '{self.shard_store.folder}' cannot be read any more ({flatten(error, 120)}). "
                "Run the same command again: what is damaged is computed again."
            ) from error
        return found

    def digest(self) -> str:
        """Return the SHA-256 of all vectors, shard by shard."""
        found = hashlib.sha256()
        for shard in map(self._shard, range(len(self.files))):
            found.update(shard.data)
        return found.hexdigest()

    def _shard(self, number: int) -> np.ndarray:
        """Return the target's vectors in a shard, mapped from its file."""
        shape = (self.targets, len(self.rows[number]), self.width)
        vectors: np.ndarray = self.shard_store.read(self.files[number], shape)[self.place]
        return vectors


@dataclass(frozen=True)
class PassPlan:
    """How a forward pass divides the rows of a column, which follows from their lengths and the options.

    Attributes
    ----------
    shards : list of lists of int array
        Row numbers of each batch of each shard.
    """

    shards: list[list[np.ndarray]]

    @classmethod
    def of(cls, lengths: np.ndarray, options: EncodingOptions) -> PassPlan:
        """Return the plan of rows with these lengths in tokens."""
        return cls(deal_shards(plan_batches(lengths, options.token_budget, options.may_pad)))

    @property
    def rows(self) -> list[np.ndarray]:
        """Row numbers of each shard, in the order of its file."""
        return [np.concatenate(batches) for batches in self.shards]

    def read(self, shard_store: ShardStore, meta: Mapping[str, Any], width: int) -> ShardRows:
        """Return the vectors that a stored value's metadata names.

        Raises
        ------
        Unreadable
            The metadata names no target of this pass, or a shard is missing.
        """
        fields = require_fields(dict(meta), FIELDS)
        files = shard_store.listed()
        if missing := sorted(set(range(len(self.shards))) - files.keys()):
            raise Unreadable(f"shard {missing[0]} of its pass is missing")
        place, targets = fields["place"], fields["targets"]
        if not 0 <= place < targets:
            raise Unreadable(f"it is target {place} of {targets}")
        return ShardRows(
            shard_store, [files[number] for number in range(len(self.shards))], self.rows, place, targets, width
        )

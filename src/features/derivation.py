"""Compute the poolings that follow from stored vectors, in fixed blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from src.pooling import BaseVectors, poolings
from src.runtime.threads import limit_threads

if TYPE_CHECKING:
    from src.models.encoder import Encoder

WINDOW = 1 << 14  # rows of stored vectors in memory, a multiple of `BLOCK`
BLOCK = 1024  # rows computed at once, by one thread: so no bit depends on which rows are asked for


@dataclass(frozen=True)
class PoolerWeights:
    """Weights that poolings use beside the encoder's states.

    Attributes
    ----------
    random_weight : float32 array (width, width)
        R of `random_pooler`.
    pooler_weight, pooler_bias : float32 arrays (width, width), (width,), or None
        W and b of the pooler; None if the checkpoint has none.
    """

    random_weight: np.ndarray
    pooler_weight: np.ndarray | None = None
    pooler_bias: np.ndarray | None = None

    @classmethod
    def of(cls, encoder: Encoder) -> PoolerWeights:
        """Return the weights of a loaded encoder."""
        weight, bias = encoder.pooler.tensor_weight, encoder.pooler.tensor_bias
        random = encoder.random_weight.float().cpu().numpy()
        if weight is None or bias is None:
            return cls(random)
        return cls(random, weight.float().cpu().numpy(), bias.float().cpu().numpy())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights that exist, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}


class RowSource(Protocol):
    """Vectors of a column, (rows, width) float32, that are read by slices of rows."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class DerivedVectors:
    """Vectors of a pooling that follow from stored ones; a slice computes its rows.

    Attributes
    ----------
    pooling : str
    stored : dict of str to what gives float32 arrays (rows, width)
        Vectors of the poolings from which it follows.
    lengths : int array (rows,)
        Real tokens of each row.
    weights : PoolerWeights
    workers : int
        Threads.
    check : callable
        Called with each block of values; raises if they cannot be used.
    """

    pooling: str
    stored: Mapping[str, RowSource]
    lengths: np.ndarray
    weights: PoolerWeights
    workers: int
    check: Callable[[np.ndarray], None]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        rows, width = next(iter(self.stored.values())).shape
        return int(rows), int(width)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        found = np.empty((max(0, stop - start), self.shape[1]), np.float32)
        with limit_threads(1), ThreadPoolExecutor(self.workers) as pool:
            for first in range(start // BLOCK * BLOCK, stop, WINDOW):
                stored = {name: values[first : first + WINDOW] for name, values in self.stored.items()}

                def fill(block: int, first: int = first, stored: Mapping[str, np.ndarray] = stored) -> None:
                    vectors = {name: values[block - first : block - first + BLOCK] for name, values in stored.items()}
                    values = self._derive(vectors, self.lengths[block : block + BLOCK])
                    low, high = max(start, block), min(stop, block + len(values))
                    found[low - start : high - start] = values[low - block : high - block]

                list(pool.map(fill, range(first, min(stop, first + WINDOW), BLOCK)))
        return found

    def _derive(self, vectors: Mapping[str, np.ndarray], lengths: np.ndarray) -> np.ndarray:
        values = poolings[self.pooling].derive(BaseVectors(vectors, lengths, **vars(self.weights)))
        self.check(values)
        return values

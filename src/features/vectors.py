"""Combine and examine pooled vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from src.errors import UserError
from src.features.derivation import RowSource
from src.features.text_losses import TextLosses
from src.pooling import SATURATED, parts_of

BLOCK = 8192  # rows examined at a time


@dataclass
class PooledFeatures:
    """Pooled vectors of a column.

    Attributes
    ----------
    parts : tuple of what gives float32 arrays (rows, width) by slices of rows
        Read from the store, or computed from what is; one, or those of a concatenation.
    hit : bool
        Whether the store had them, so that no row was encoded.
    timing : dict
        Timing of the forward pass that made them.
    tokens : int
        Tokens of the column, special tokens included.
    losses : TextLosses
    """

    parts: tuple[RowSource, ...]
    hit: bool
    timing: dict[str, Any]
    tokens: int
    losses: TextLosses

    @cached_property
    def values(self) -> np.ndarray:
        """The vectors, float32 (rows, width of all parts), in memory."""
        return join_columns([part[:] for part in self.parts])


def join_columns(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays (rows, width) side by side; a single one is returned as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def pair_features(sides: list[np.ndarray]) -> np.ndarray:
    """Return ``[u; v; |u - v|; u * v]`` of texts that were encoded apart; a single side is returned as it is.

    Parameters
    ----------
    sides : list of float32 arrays (rows, width)
        One, or u and v.

    Returns
    -------
    float32 array (rows, 4 width), or (rows, width)

    References
    ----------
    Conneau et al. (2017), Supervised Learning of Universal Sentence Representations, section 3.1;
    Wang et al. (2019), GLUE, section 4.
    """
    if len(sides) == 1:
        return sides[0]
    u, v = sides
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


def check_finite(values: np.ndarray, model: str, where: str, dtype: str) -> None:
    """Raise a UserError if an encoder returned values that are NaN or infinite.

    Parameters
    ----------
    where : str
        Texts and pooling, for the message.
    dtype : str
        The setting ``runtime.dtype``.
    """
    if not np.isfinite(values).all():
        raise UserError(
            f"'{model}' returns values that are NaN or infinite ({where}). Its weights are damaged, or its values "
            f"exceed the range of runtime.dtype={dtype}: use float32."
        )


def all_rows_equal(values: np.ndarray) -> bool:
    """Return whether all rows of (rows, width) features are equal up to rounding.

    Rounding is 1e-5 of each entry plus 1e-6 of the row's largest: sums over the width leave so much
    in small entries. The comparison stops at the first block with another row.
    """
    if len(values) < 2:
        return False
    first = values[0]
    size = np.abs(first)
    tolerance = 1e-5 * size + 1e-6 * size.max() + np.finfo(np.float32).tiny
    starts = range(0, len(values), BLOCK)
    return all(bool((np.abs(values[start : start + BLOCK] - first) <= tolerance).all()) for start in starts)


def saturated(values: np.ndarray, pooling: str) -> int | None:
    """Count the entries of `pooler` or `pooler_inverse` features at which tanh was rounded to one.

    These entries cannot be inverted. In a concatenation those of its parts are counted.

    Parameters
    ----------
    values : float32 array (rows, width)
    pooling : str

    Returns
    -------
    int or None
        None if neither pooling is there.
    """
    parts = parts_of(pooling)
    counts = [_saturated(part, name) for part, name in zip(np.split(values, len(parts), axis=1), parts, strict=True)]
    found = [count for count in counts if count is not None]
    return sum(found) if found else None


def _saturated(values: np.ndarray, pooling: str) -> int | None:
    limit = {"pooler": 1.0, "pooler_inverse": float(np.arctanh(np.float32(SATURATED)))}.get(pooling)
    if limit is None:
        return None
    blocks = np.array_split(values, max(1, len(values) // BLOCK))
    return int(sum(np.count_nonzero(np.abs(block) >= limit) for block in blocks))

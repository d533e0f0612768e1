"""Combine and examine pooled vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from src.features.text_losses import TextLosses

BLOCK = 8192  # rows compared at a time


@dataclass
class PooledFeatures:
    """Pooled vectors of a column.

    Attributes
    ----------
    values : float32 array (rows, width)
        Mapped from the store.
    hit : bool
        Whether the store had them, so that no row was encoded.
    timing : dict
        Timing of the forward pass that made them.
    tokens : int
        Tokens of the column, special tokens included.
    losses : TextLosses
    """

    values: np.ndarray
    hit: bool
    timing: dict[str, Any]
    tokens: int
    losses: TextLosses


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

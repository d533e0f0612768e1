"""Which rows are computed together: batches of equal length under a token budget, and the shards that share them out.

Rows of one length need no padding and no attention mask, which on a CPU is worth more than larger batches. The plan is a function of
the lengths and the token budget alone, so the features are bit-identical however the shards were divided among workers.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

SHARD_BATCHES = 16  # a shard is what a killed pass repeats at most: seconds of work
LEAST_SHARDS = 32  # so that a small split, too, keeps every worker busy to its end


def plan(lengths: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Row numbers of each batch: equal length, at most `token_budget` tokens (one row at least).

    Parameters
    ----------
    lengths : int array of shape (rows,)
        Tokens of each row, special tokens included.

    >>> [batch.tolist() for batch in plan(np.array([3, 5, 3, 3]), token_budget=6)]
    [[0, 2], [3], [1]]
    """
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order])) + 1
    batches = []
    for group in np.split(order, edges):
        if len(group):
            size = max(1, token_budget // max(1, int(lengths[group[0]])))
            batches += [group[start : start + size] for start in range(0, len(group), size)]
    return batches


def shards(batches: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Deal the batches out like cards: every shard gets short and long rows alike,
    so that the time that is left can be told from the time spent.
    """
    count = max(-(-len(batches) // SHARD_BATCHES), min(LEAST_SHARDS, len(batches)))
    return [batches[start::count] for start in range(count)]


@cache
def layout() -> str:
    """Digest of how fixed examples are dealt out. It changes with this file's algorithms and so keeps the features and the unfinished
    shards of another version from being taken for this one's.
    """
    examples = [np.arange(rows) * 7 % 57 + 3 for rows in (1, 100, 3000)]
    dealt = [[[batch.tolist() for batch in shard] for shard in shards(plan(lengths, 64))] for lengths in examples]
    return hashlib.sha256(repr(dealt).encode()).hexdigest()[:16]

"""Plan which rows are encoded together: batches of rows of equal length, and shards of batches.

Rows of equal length need no padding and no attention mask, which saves more on a CPU than larger
batches do. The plan depends on the lengths and the token budget only. So the features are
bit-identical, however the shards are divided among workers.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

SHARD_BATCHES = 16  # batches of a shard, seconds of work: a killed worker loses one shard at most
MIN_SHARDS = 32  # if there are as many batches, so that all workers are busy to the end


def plan_batches(lengths: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Return the row numbers of each batch: rows of equal length, at least one.

    Parameters
    ----------
    lengths : int array of shape (rows,)
        Tokens of each row, special tokens included.
    token_budget : int
        Most tokens of a batch of several rows.

    >>> [batch.tolist() for batch in plan_batches(np.array([3, 5, 3, 3]), token_budget=6)]
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


def deal_shards(batches: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Deal the batches in turn to the shards, so that all shards take about equally long."""
    count = max(-(-len(batches) // SHARD_BATCHES), min(MIN_SHARDS, len(batches)))
    return [batches[start::count] for start in range(count)]


@cache
def plan_digest() -> str:
    """Return a digest that changes with this module's algorithms, from the shards of examples.

    It enters the keys of features and of shards, so that those of other versions are not used.
    """
    examples = [np.arange(rows) * 7 % 57 + 3 for rows in (1, 100, 3000)]
    shards = [
        [[batch.tolist() for batch in shard] for shard in deal_shards(plan_batches(lengths, 64))]
        for lengths in examples
    ]
    return hashlib.sha256(repr(shards).encode()).hexdigest()[:16]

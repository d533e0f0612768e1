"""Plan which rows are encoded together: batches of rows of equal length, and shards of batches.

Rows of equal length need no padding and no attention mask, which saves more on a CPU than larger
batches do. An accelerator needs large batches: there, rows whose length few others share are
padded. The plan depends on the lengths, the token budget and the kind of device only. So the
features are bit-identical, however the shards are divided among workers.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

SHARD_BATCHES = 16  # batches of a shard, seconds of work: a killed worker loses one shard at most
MIN_SHARDS = 32  # if there are as many batches, so that all workers are busy to the end
FULL = 1 / 2  # of the token budget: batches of equal length that fill less are put together, if rows may be padded
SHORTEST = 3 / 4  # of the longest row of a batch: no row is padded by more than a third of its length


def plan_batches(lengths: np.ndarray, token_budget: int, may_pad: bool = False) -> list[np.ndarray]:
    """Return the row numbers of each batch: rows of equal length, at least one.

    If rows may be padded, batches that fill less than `FULL` of the budget are put together to
    batches of similar lengths.

    Parameters
    ----------
    lengths : int array of shape (rows,)
        Tokens of each row, special tokens included.
    token_budget : int
        Most tokens of a batch of several rows, padding included.
    may_pad : bool
        Whether rows of different lengths may form a batch; its longest row is the last one then.

    >>> [batch.tolist() for batch in plan_batches(np.array([3, 5, 3, 3]), token_budget=6)]
    [[0, 2], [3], [1]]
    >>> [batch.tolist() for batch in plan_batches(np.array([4, 8, 3, 4]), token_budget=24, may_pad=True)]
    [[2, 0, 3], [1]]
    """
    batches = _equal_lengths(lengths, token_budget)
    if not may_pad:
        return batches
    full = [len(batch) * lengths[batch[0]] >= FULL * token_budget for batch in batches]
    rest = [batch for batch, is_full in zip(batches, full, strict=True) if not is_full]
    batches = [batch for batch, is_full in zip(batches, full, strict=True) if is_full]
    if rest:
        batches += _similar_lengths(np.concatenate(rest), lengths, token_budget)
    return sorted(batches, key=lambda batch: int(lengths[batch[-1]]))


def _equal_lengths(lengths: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Return batches of rows of equal length."""
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order])) + 1
    batches = []
    for group in np.split(order, edges):
        if len(group):
            size = max(1, token_budget // max(1, int(lengths[group[0]])))
            batches += [group[start : start + size] for start in range(0, len(group), size)]
    return batches


def _similar_lengths(order: np.ndarray, lengths: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Return batches of rows, which are given in the order of their lengths."""
    batches = []
    while len(order):
        longest = lengths[order[:token_budget]]  # of a batch that ends at this row
        fits = (longest * np.arange(1, len(longest) + 1) <= token_budget) & (longest * SHORTEST <= longest[0])
        size = max(1, int(fits.sum()))  # both conditions hold up to some row, and for none after it
        batches.append(order[:size])
        order = order[size:]
    return batches


def deal_shards(batches: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Deal the batches in turn to the shards, so that all shards take about equally long."""
    count = max(-(-len(batches) // SHARD_BATCHES), min(MIN_SHARDS, len(batches)))
    return [batches[start::count] for start in range(count)]


@cache
def plan_digest(may_pad: bool = False) -> str:
    """Return a digest that changes with this module's algorithms, from the shards of examples.

    It enters the keys of features and of shards, so that those of other versions are not used.
    `may_pad` is that of `plan_batches`.
    """
    examples = [np.arange(rows) * 7 % 57 + 3 for rows in (1, 100, 3000)]
    shards = [
        [[batch.tolist() for batch in shard] for shard in deal_shards(plan_batches(lengths, 64, may_pad))]
        for lengths in examples
    ]
    return hashlib.sha256(repr(shards).encode()).hexdigest()[:16]

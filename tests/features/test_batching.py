"""Batches and shards hold every row once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.features import batching
from src.features.batching import deal_shards, plan_batches

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=300).map(np.array)


@given(lengths, st.integers(1, 200))
def test_every_row_is_in_one_batch_of_equal_lengths_under_the_budget(lengths: np.ndarray, budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(set(lengths[batch].tolist())) == 1
        assert len(batch) == 1 or lengths[batch].sum() <= budget


@given(lengths, st.integers(1, 200))
def test_every_batch_is_in_one_shard(lengths: np.ndarray, budget: int) -> None:
    batches = plan_batches(lengths, budget)
    dealt = [batch.tolist() for shard in deal_shards(batches) for batch in shard]
    assert sorted(dealt) == sorted(batch.tolist() for batch in batches)
    assert max(map(len, deal_shards(batches))) <= 16


def test_all_shards_have_similar_average_lengths() -> None:
    """So the speed of the first shards predicts the time of the others."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 60, size=20000)
    averages = [
        np.mean([lengths[batch].mean() for batch in shard]) for shard in deal_shards(plan_batches(lengths, 512))
    ]
    assert np.ptp(averages) < 0.2 * np.mean(averages)


def test_other_constants_change_the_plan_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfinished shards of an older version hold other rows and must not be used."""
    base = batching.plan_digest()
    for name in ("SHARD_BATCHES", "MIN_SHARDS"):
        monkeypatch.setattr(batching, name, 7)
        batching.plan_digest.cache_clear()
        assert batching.plan_digest() != base
    monkeypatch.undo()
    batching.plan_digest.cache_clear()
    assert batching.plan_digest() == base

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
def test_padded_batches_hold_every_row_once_under_the_budget(lengths: np.ndarray, budget: int) -> None:
    batches = plan_batches(lengths, budget, may_pad=True)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    longest = [int(lengths[batch].max()) for batch in batches]
    assert longest == sorted(longest)
    for batch, most in zip(batches, longest, strict=True):
        assert len(batch) == 1 or len(batch) * most <= budget
        assert lengths[batch].min() >= 0.75 * most
    assert len(batches) <= len(plan_batches(lengths, budget))


def test_only_batches_that_equal_lengths_do_not_fill_are_padded() -> None:
    rows = np.repeat([10, 11, 12, 13], [100, 3, 100, 2])
    batches = plan_batches(rows, 500, may_pad=True)
    assert [(set(rows[batch].tolist()), len(batch)) for batch in batches] == [
        ({10}, 50), ({10}, 50), ({12}, 41), ({12}, 41), ({11, 12, 13}, 23),
    ]  # fmt: skip
    spread = np.random.default_rng(0).integers(3, 60, 872)
    few, many = plan_batches(spread, 16384, may_pad=True), plan_batches(spread, 16384)
    assert (len(few), len(many)) == (9, 57)
    padded = sum(len(batch) * int(spread[batch].max()) for batch in few)
    assert padded < 1.15 * spread.sum()


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


def test_plans_with_padding_have_a_digest_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {batching.plan_digest(), batching.plan_digest(True)}
    assert len(digests) == 2
    for name in ("FULL", "SHORTEST"):
        with monkeypatch.context() as patch:
            patch.setattr(batching, name, 0.6)
            batching.plan_digest.cache_clear()
            assert batching.plan_digest() in digests
            assert batching.plan_digest(True) not in digests
    batching.plan_digest.cache_clear()


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

"""Poolings that follow from stored ones are computed when they are read, to the same bits each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from src.features import derivation
from src.features.derivation import DerivedVectors, PoolerWeights
from src.features.on_demand import EncoderOnDemand
from src.pooling import poolings
from tests.helpers.extraction import make_column, make_extractor

DERIVED = [name for name, pooling in poolings.items() if pooling.of]


def make_vectors(name: str, rows: int, workers: int = 1) -> DerivedVectors:
    random = np.random.default_rng(0)
    stored = {each: random.standard_normal((rows, 24), np.float32) for each in poolings[name].of}
    weights = PoolerWeights(*(random.standard_normal(shape, np.float32) / 5 for shape in ((24, 24), (24, 24), (24,))))
    return DerivedVectors(name, stored, random.integers(2, 30, rows), weights, workers, lambda values: None)


def test_the_ladder_and_the_averages_are_not_stored() -> None:
    ladder = {"pooler", "pooler_preactivation", "pooler_inverse", "random_pooler"}
    assert set(DERIVED) == ladder | {"cls_mean", "mean_sqrt_len"}


@pytest.mark.parametrize("name", DERIVED)
def test_no_bit_depends_on_the_slice_or_on_the_workers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derivation, "BLOCK", 64)
    whole = make_vectors(name, 1000)[:]
    assert whole.shape == (1000, 24) and whole.dtype == np.float32
    parallel = make_vectors(name, 1000, workers=3)
    for rows in (slice(None), slice(0, 64), slice(100, 101), slice(63, 700), slice(990, 2000), slice(5, 5)):
        np.testing.assert_array_equal(parallel[rows], whole[rows])


def test_a_value_that_cannot_be_used_is_refused(bert: Path, tmp_path: Path) -> None:
    one = make_extractor(bert, tmp_path)
    weights = one.pooler_weights
    assert weights.pooler_weight is not None
    broken = PoolerWeights(weights.random_weight, weights.pooler_weight * np.float32(np.nan), weights.pooler_bias)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderOnDemand, "pooler_weights", broken)
        with pytest.raises(Exception, match="NaN"):
            _ = one.features(make_column(20), ("pooler", 2)).values


@pytest.mark.parametrize("damage", ["lost", "changed", "of another width"])
def test_weights_that_the_store_lost_are_taken_from_the_model(damage: str, bert: Path, tmp_path: Path) -> None:
    text = make_column(50)
    found = make_extractor(bert, tmp_path).features(text, ("pooler", 2)).values
    one = make_extractor(bert, tmp_path)
    folder = one.store.folder("poolers", one._info_key())
    if damage == "changed":
        (folder / "pooler_bias.npy").write_bytes((folder / "random_weight.npy").read_bytes())
    else:
        for path in folder.iterdir():
            path.unlink()
    if damage == "of another width":
        one.store.put("poolers", one._info_key(), {"random_weight": np.zeros((3, 3), np.float32)}, {})
    np.testing.assert_array_equal(one.features(text, ("pooler", 2)).values, found)
    assert one._encoder is not None  # loaded for its weights, and the next one reads them
    again = make_extractor(bert, tmp_path)
    np.testing.assert_array_equal(again.features(text, ("pooler", 2)).values, found)
    assert again._encoder is None

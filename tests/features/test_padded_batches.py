"""Batches of rows of similar lengths, which accelerators get, give the vectors of equal lengths."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput, PoolingTarget
from src.features.unstored import unstored_encoder
from src.models.encoder import Encoder
from src.models.finding import EMBEDDED_DIR
from src.models.options import EncodingOptions
from tests.conftest import SMALL
from tests.helpers.extraction import make_column, make_extractor

BUDGET = 512
LONGER = {**SMALL, "max_position_embeddings": 40}
FAMILIES: dict[str, dict[str, Any]] = {
    "Roberta": LONGER,
    "MPNet": LONGER,
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "ModernBert": {  # padding lies outside the window of every real token
        **LONGER, "local_attention": 2, "global_attn_every_n_layers": 2,
        "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3,
    },
}  # fmt: skip
TARGET = ("mean", 2)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool]]:
    """Plan as on an accelerator; return the list of the encoded batches' rows, tokens and whether padded."""
    monkeypatch.setattr(EncodingOptions, "may_pad", True)
    forward, found = Encoder.forward, list[tuple[int, int, bool]]()

    def recording(self: Encoder, *arguments: Any, **options: Any) -> object:
        if len(arguments) > 3:  # a batch of a column
            found.append((*arguments[0].shape, arguments[3] is not None))
        return forward(self, *arguments, **options)

    monkeypatch.setattr(Encoder, "forward", recording)
    return found


def all_vectors(one: FeatureExtractor, column: EncoderInput) -> dict[PoolingTarget, np.ndarray]:
    layers = range(one.info.layers + 1)
    return {
        target: np.array(one.features(column, target, layers).values) for target in one.supported_targets(list(layers))
    }


def check_all_poolings(folder: Path, root: Path, shapes: list[tuple[int, int, bool]]) -> None:
    """Check every pooling at every layer against batches of equal length."""
    column = make_column(80)
    found = all_vectors(make_extractor(folder, root / "padded", token_budget=BUDGET), column)
    assert any(padded for _, _, padded in shapes)
    assert all(rows * tokens <= BUDGET for rows, tokens, _ in shapes)
    padded_batches = len(shapes)
    shapes.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncodingOptions, "may_pad", False)
        expected = all_vectors(make_extractor(folder, root / "equal", token_budget=BUDGET), column)
    assert not any(padded for _, _, padded in shapes)
    assert padded_batches < 0.75 * len(shapes)
    assert found.keys() == expected.keys() and len(found) > 10
    for target, values in found.items():
        difference = np.abs(values - expected[target]).max() / np.abs(expected[target]).max()
        assert difference < 1e-5, target


def test_the_embedded_model_has_the_same_vectors(tmp_path: Path, shapes: list[tuple[int, int, bool]]) -> None:
    check_all_poolings(EMBEDDED_DIR / "bert-books", tmp_path, shapes)


def test_a_small_bert_has_the_same_vectors(bert: Path, tmp_path: Path, shapes: list[tuple[int, int, bool]]) -> None:
    check_all_poolings(bert, tmp_path, shapes)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_have_the_same_vectors(
    family: str,
    make_checkpoint: Callable[..., Path],
    vocabulary: list[str],
    tmp_path: Path,
    shapes: list[tuple[int, int, bool]],
) -> None:
    config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **FAMILIES[family])
    check_all_poolings(make_checkpoint(getattr(transformers, f"{family}Model")(config), family), tmp_path, shapes)


def test_shards_give_the_bits_of_the_whole_pass(
    bert: Path, tmp_path: Path, shapes: list[tuple[int, int, bool]]
) -> None:
    text = make_column(300)
    expected = np.array(make_extractor(bert, tmp_path / "a").features(text, TARGET).values)
    assert any(padded for _, _, padded in shapes)
    left = [make_extractor(bert, tmp_path / "b").encode_shard(text, TARGET, [], shard, 3) for shard in range(3)]
    assert left[0] and left[-1] == 0
    found = make_extractor(bert, tmp_path / "b").features(text, TARGET)
    assert found.hit
    np.testing.assert_array_equal(found.values, expected)


def test_an_interrupted_pass_continues(
    bert: Path, tmp_path: Path, shapes: list[tuple[int, int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_column(300)
    expected = np.array(make_extractor(bert, tmp_path / "a").features(text, TARGET).values)
    forward, calls, stop = Encoder.forward, itertools.count(), len(shapes) // 2

    def failing(self: Encoder, *arguments: Any, **options: Any) -> object:
        if next(calls) >= stop:
            raise RuntimeError("power cut")
        return forward(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "forward", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            make_extractor(bert, tmp_path / "b").features(text, TARGET)
    resumed = make_extractor(bert, tmp_path / "b")
    found = resumed.features(text, TARGET)
    assert 0 < resumed.encoded < 300
    assert found.timing["shards_resumed"] > 0
    np.testing.assert_array_equal(found.values, expected)


def test_features_of_the_two_plans_have_different_keys(bert: Path, tmp_path: Path) -> None:
    """A stored value's rows are read by the plan, so that neither may be taken for the other."""
    one, text = make_extractor(bert, tmp_path), make_column()
    key = one._key(text, TARGET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncodingOptions, "may_pad", True)
        assert one._key(text, TARGET) != key
    assert [EncodingOptions(device=device).may_pad for device in ("cpu", "cuda", "mps")] == [False, True, True]


def test_vectors_that_are_not_stored_are_the_same(
    bert: Path, tmp_path: Path, shapes: list[tuple[int, int, bool]]
) -> None:
    text, target = make_column(), ("concat(cls,mean_sqrt_len)", 2)
    one = make_extractor(bert, tmp_path)
    expected = np.array(one.features(text, target).values)
    shapes.clear()
    with unstored_encoder(one, target) as encoder:
        found, _ = encoder.encode(text, lambda rows: None)
    assert any(padded for _, _, padded in shapes)
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.abs(expected).max()))

"""One forward pass stores all poolings, and later runs read them bit-identically."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from src.errors import UserError
from src.features import loading, on_demand
from src.features.inputs import EncoderInput
from src.models import forward, kernels
from src.models.encoder import Encoder
from src.pooling import poolings
from tests.helpers.extraction import make_column, make_extractor


def test_features_equal_those_of_transformers_row_by_row(bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    text = make_column(60)
    found = make_extractor(bert, tmp_path).features(text, ("mean", 2)).values
    model, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    for row, sentence in enumerate(text.text.to_pylist()):
        hidden = model(**tokenizer(sentence, return_tensors="pt", truncation=True)).last_hidden_state[0]
        np.testing.assert_allclose(found[row], hidden.mean(0).detach().numpy(), atol=1e-5)


def test_a_miss_stores_every_pooling_and_a_hit_is_bit_identical(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_column()
    first = make_extractor(bert, tmp_path)
    made = first.features(text, ("cls", 2))
    assert not made.hit
    assert first.encoded == 200
    monkeypatch.setattr(Encoder, "forward", None)  # whatever follows is read
    for name, pooling in poolings.items():
        if pooling.at_least <= 2:
            later = make_extractor(bert, tmp_path)
            found = later.features(text, (name, 2))
            assert found.hit
            assert later.encoded == 0
            assert found.timing == made.timing
            assert later.clock.seconds()["encode"] == 0
    np.testing.assert_array_equal(make_extractor(bert, tmp_path).features(text, ("cls", 2)).values, made.values)


def test_every_identity_field_changes_the_key(bert: Path, tmp_path: Path) -> None:
    text = make_column()
    base = make_extractor(bert, tmp_path)
    keys = [
        base._key(text, ("mean", 2)),
        base._key(text, ("cls", 2)),
        base._key(text, ("mean", 1)),
        base._key(replace(text, digest="x"), ("mean", 2)),
    ]
    keys += [
        make_extractor(bert, tmp_path, **change)._key(text, ("mean", 2))
        for change in ({"token_budget": 128}, {"dtype": "bfloat16"}, {"attention": "eager"}, {"max_length": 8})
    ]
    assert len(set(keys)) == len(keys)
    # Where it runs and how fast is no part of the identity.
    assert make_extractor(bert, tmp_path / "elsewhere", workers=1)._key(text, ("mean", 2)) == keys[0]


def test_the_version_of_the_kernels_enters_the_key(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store says of a model must not outlive the kernels that it was found with."""
    first, second = make_extractor(bert, tmp_path), make_extractor(bert, tmp_path)
    first_key = first._key(make_column(), ("mean", 2))
    assert second._key(make_column(), ("mean", 2)) == first_key
    assert second._encoder is None
    for module in (kernels, forward, on_demand):
        monkeypatch.setattr(module, "VERSION", kernels.VERSION + 1)
    monkeypatch.setattr(loading, "_kept", {})
    assert make_extractor(bert, tmp_path)._key(make_column(), ("mean", 2)) != first_key


def test_a_tokenizer_of_another_model_is_refused_before_anything_is_encoded(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(bert, folder)
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["model"]["vocab"]["zebra"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    text = EncoderInput(pa.array(["the cat", "the zebra"], pa.large_string()), None, "zebra", "words/train")
    with pytest.raises(UserError, match="gives word piece 5000"):
        make_extractor(folder, tmp_path / "store").features(text, ("mean", 2))


def test_also_layers_are_stored_by_the_same_pass(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = make_column()
    make_extractor(bert, tmp_path).features(text, ("cls", 2), also_layers=[0, -2])
    monkeypatch.setattr(Encoder, "forward", None)
    layers = [make_extractor(bert, tmp_path).features(text, ("cls", layer)).values for layer in (0, 1, 2)]
    assert np.ptp(layers[0], axis=0).max() == 0, "layer-0 [CLS] is a constant"
    assert not np.array_equal(layers[1], layers[2])


def test_layers_and_poolings_that_a_model_lacks_are_refused(bert: Path, tmp_path: Path) -> None:
    one = make_extractor(bert, tmp_path)
    assert one.resolve_target("cls", -3) == ("cls", 0)
    for name, layer, message in (
        ("cls", 3, "out of range"),
        ("cls", -4, "out of range"),
        ("pooler", 1, "last layer only"),
        ("last4_mean", -1, "has 2 layers"),
        ("poler", -1, "did you mean 'pooler'"),
    ):
        with pytest.raises(UserError, match=message):
            one.resolve_target(name, layer)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_close_and_has_its_own_key(dtype: str, bert: Path, tmp_path: Path) -> None:
    text = make_column(40)
    full = make_extractor(bert, tmp_path).features(text, ("mean", 2)).values
    half = make_extractor(bert, tmp_path, dtype=dtype).features(text, ("mean", 2))
    assert not half.hit
    assert half.values.dtype == np.float32
    assert 0 < np.abs(half.values - full).max() < 0.1

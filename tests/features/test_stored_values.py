"""Stored values that cannot be right are computed again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.errors import UserError
from src.storage.files import file_digest
from src.storage.keys import content_key
from tests.helpers.extraction import make_column, make_extractor


@pytest.mark.parametrize("name", ["passes", "tokens"])
def test_damaged_values_are_computed_again_to_the_same_bits(
    name: str, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = make_column()
    values = np.array(make_extractor(bert, tmp_path).features(text, ("mean", 2)).values)
    for path in (tmp_path / name).rglob("*.npy"):
        data = bytearray(path.read_bytes())
        data[len(data) // 8 :: 64] = bytes(len(data[len(data) // 8 :: 64]))
        path.write_bytes(data)
    again = make_extractor(bert, tmp_path).features(text, ("mean", 2))
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.values, values)


def flip_bit_of_dtype(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes().replace(b"<f4", b"<i4", 1))


def give_another_shape(shard: Path) -> None:
    """Replace a shard by a sound file of another shape, under its own digest."""
    np.save(shard, np.zeros((2, 3, 4), np.float32))
    shard.rename(shard.with_name(f"{shard.name[:6]}-{file_digest(shard)}.npy"))


@pytest.mark.parametrize(
    "damage", [flip_bit_of_dtype, give_another_shape, Path.unlink, lambda path: os.truncate(path, 0)]
)
def test_a_shard_that_holds_another_array_is_encoded_again(
    damage: Callable[[Path], object], bert: Path, tmp_path: Path
) -> None:
    text = make_column(300)
    values = np.array(make_extractor(bert, tmp_path).features(text, ("mean", 2)).values)
    damage(min(tmp_path.glob("passes/*/*.npy")))
    for target in (("mean", 2), ("cls", 2)):  # each is stored of its own
        again = make_extractor(bert, tmp_path)
        again.features(text, target)
        assert again.encoded < 300  # sound shards are kept
    np.testing.assert_array_equal(make_extractor(bert, tmp_path).features(text, ("mean", 2)).values, values)


def test_a_shard_that_is_removed_between_check_and_reading_is_an_error(bert: Path, tmp_path: Path) -> None:
    found = make_extractor(bert, tmp_path).features(make_column(300), ("mean", 2))
    shard = min(tmp_path.glob("passes/*/*.npy"))
    shard.unlink()
    with pytest.raises(UserError, match="passes"):
        _ = found.values


INFO = [
    ("layers", "two"), ("layers", -1), ("width", 10**200), ("width", True), ("max_length", None),
    ("attention", 3), ("pooler", []),
    ("pooler", {}), ("pooler", {"status": 1}), ("unknown", 1),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), INFO)
def test_impossible_encoder_information_is_computed_again(
    field: str, value: Any, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = make_extractor(bert, tmp_path)
    sound = one.info
    path = one.store.folder("facts", one._info_key()) / "meta.json"
    record = json.loads(path.read_text())
    del record["digest"]
    for content in (json.dumps(asdict(sound) | {field: value}), "[" * 10_000, "3", "NaN", 5):
        record["meta"]["facts"] = content
        path.write_text(json.dumps({**record, "digest": content_key(record)}))
        caplog.clear()
        assert make_extractor(bert, tmp_path).info == sound
        assert caplog.text.count("is damaged") == 1


def test_impossible_features_and_tokens_are_computed_again(
    bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text, target = make_column(), ("mean", 2)
    expected = np.array(make_extractor(bert, tmp_path).features(text, target).values)
    one = make_extractor(bert, tmp_path)
    place = one.store.folder("features", one._key(text, target))
    sound = json.loads((place / "meta.json").read_text())
    for notes in (
        {},
        {"pass": []},
        {"pass": {}},
        {"pass": sound["meta"]["pass"] | {"encode": "x"}},
        {"pass": {"shards_resumed": None}},
        sound["meta"] | {"shards": "../elsewhere"},
        sound["meta"] | {"shards": "0" * 64},
        sound["meta"] | {"place": 99},
        sound["meta"] | {"place": (sound["meta"]["place"] + 1) % sound["meta"]["targets"]},
        {name: item for name, item in sound["meta"].items() if name != "sha256"},
    ):
        record = {"meta": notes, "sha256": sound["sha256"]}
        (place / "meta.json").write_text(json.dumps({**record, "digest": content_key(record)}))
        caplog.clear()
        np.testing.assert_array_equal(make_extractor(bert, tmp_path).features(text, target).values, expected)
        assert "is damaged" in caplog.text
    tokens = one.tokens(text)
    for path in (tmp_path / "tokens").glob("*/*"):
        shutil.rmtree(path)
        one.store.put("tokens", path.name, {"ids": tokens.ids[:3]}, {"truncated": 0})
    assert len(make_extractor(bert, tmp_path).tokens(text).offsets) == 201

"""Folders in the Hugging Face layout are read, or refused with the way out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.finding import find_checkpoint
from tests.helpers.checkpoints import (
    copy_checkpoint,
    edit_json,
    encode_sentences,
    key_of,
    load_encoder,
    open_checkpoint,
    scale_weights,
)


def test_weights_named_by_the_configuration_are_loaded(bert: Path, tmp_path: Path) -> None:
    found = []
    for side in "ab":
        folder = copy_checkpoint(bert, tmp_path / side, transformers_weights="x.safetensors")
        (
            scale_weights(bert, folder / "x.safetensors")
            if side == "a"
            else shutil.copy(bert / "model.safetensors", folder / "x.safetensors")
        )
        found.append(open_checkpoint(folder))
    assert key_of(found[0]) != key_of(found[1])
    plain = encode_sentences(open_checkpoint(bert))[-1]
    np.testing.assert_array_equal(encode_sentences(found[1])[-1], plain)
    assert not np.array_equal(encode_sentences(found[0])[-1], plain)


def test_an_adapter_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "adapted")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(UserError, match="merge_and_unload"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json", "tokenizer.json"])
def test_links_are_followed_and_pipes_are_refused(name: str, bert: Path, tmp_path: Path) -> None:
    linked = copy_checkpoint(bert, tmp_path / "linked")
    (linked / name).rename(tmp_path / name)
    (linked / name).symlink_to(tmp_path / name)
    assert key_of(open_checkpoint(linked)) == key_of(open_checkpoint(bert))
    np.testing.assert_array_equal(
        encode_sentences(open_checkpoint(linked))[-1], encode_sentences(open_checkpoint(bert))[-1]
    )
    (linked / name).unlink()
    os.mkfifo(linked / name)
    with pytest.raises(UserError):
        open_checkpoint(linked)


@pytest.mark.parametrize(
    "places", [[], {}, "x", {"a": 3}, {"a": "x.bin"}, {"a": "../x.safetensors"}, {"a": {"b": "c"}}, None]
)
def test_an_invalid_index_is_refused(places: Any, bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "index")
    (folder / "model.safetensors").unlink()
    (folder / "x.bin").touch()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        open_checkpoint(folder)


def test_damaged_or_missing_files_are_refused(bert: Path, tmp_path: Path) -> None:
    def broken(name: str, change: Callable[[Path], object]) -> Path:
        shutil.copytree(bert, tmp_path / name)
        change(tmp_path / name)
        return tmp_path / name

    weights = (bert / "model.safetensors").read_bytes()
    cases = {
        "no-config": (lambda f: (f / "config.json").unlink(), "no config.json"),
        "bad-config": (lambda f: (f / "config.json").write_text("{"), r"config\.json cannot be read"),
        "no-type": (lambda f: (f / "config.json").write_text("{}"), "no model_type"),
        "unknown-type": (lambda f: (f / "config.json").write_text('{"model_type": "wordbag"}'), "cannot be loaded"),
        "own-code": (
            lambda f: edit_json(f / "config.json", model_type="x", auto_map={"AutoConfig": "x.Config"}),
            "code is not run",
        ),
        "other-shapes": (lambda f: edit_json(f / "config.json", hidden_size=32), "other shapes than config.json says"),
        "no-layer": (
            lambda f: edit_json(f / "config.json", num_hidden_layers=0),
            "num_hidden_layers=0, and 1 to 1000 are possible",
        ),
        "a-million-layers": (
            lambda f: edit_json(f / "config.json", num_hidden_layers=10**6),
            "num_hidden_layers=1000000, and 1 to 1000",
        ),
        "short-limit": (
            lambda f: edit_json(f / "tokenizer_config.json", model_max_length=2),
            r"model_max_length=2 .* Set model\.max_length",
        ),
        "worded-limit": (
            lambda f: edit_json(f / "tokenizer_config.json", model_max_length="long"),
            "model_max_length=long",
        ),
        "no-weights": (lambda f: (f / "model.safetensors").unlink(), r"no model\.safetensors"),
        "pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "is a pickle"),
        "short": (
            lambda f: (f / "model.safetensors").write_bytes(weights[: len(weights) // 2]),
            "damaged or cut short",
        ),
        "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged or cut short"),
        "no-tokenizer": (lambda f: [p.unlink() for p in f.glob("token*")], "tokenizer"),
        "bad-index": (
            lambda f: [(f / "model.safetensors").unlink(), (f / "model.safetensors.index.json").write_text("[]")],
            "cannot be read",
        ),
        "lost-shard": (
            lambda f: [
                (f / "model.safetensors").unlink(),
                (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}'),
            ],
            "b.safetensors, named by",
        ),
        "climbing": (
            lambda f: [
                (f / "model.safetensors").unlink(),
                (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b.safetensors"}}'),
            ],
            "named by",
        ),
    }
    for name, (change, message) in cases.items():
        folder = broken(name, change)
        with pytest.raises(UserError, match=message) as caught:
            pytest.fail(f"{name}: {load_encoder(folder)}")
        assert len(str(caught.value).splitlines()) <= 3, name
    with pytest.raises(UserError, match="no such folder"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no model is named"):
        find_checkpoint(ModelConfig())

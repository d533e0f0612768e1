"""Weights' shapes are read from headers, and limit the size of the model."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.finding import find_checkpoint
from src.models.loading import load_model
from src.models.weights import read_shapes
from src.storage.files import Unreadable
from tests.helpers.checkpoints import (
    copy_checkpoint,
    load_encoder,
)


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "gpt2", "n_layer": 10**9, "n_embd": 16},
        {"model_type": "gpt2", "n_layer": 900, "n_embd": 16, "n_positions": 10**6},
        {"model_type": "gpt2", "n_layer": 2, "n_embd": 10**6}, {"model_type": "t5", "num_layers": 10**6},
        {"model_type": "albert", "num_hidden_groups": 10**6, "num_hidden_layers": 1},
        {"model_type": "albert", "inner_group_num": 10**6},
        {"model_type": "modernbert", "num_hidden_layers": 10**6}, {"model_type": "distilbert", "n_layers": 10**6},
        {"model_type": "xlnet", "n_layer": 10**6}, {"model_type": "funnel", "block_sizes": [10**6, 10**6]},
        {"model_type": "mamba", "num_hidden_layers": 900, "conv_kernel": 10**6},
        {"model_type": "wav2vec2", "conv_dim": [10**6]},
        {"model_type": "clip", "text_config": {"num_hidden_layers": 10**9}},
    ],
)  # fmt: skip
def test_building_a_model_larger_than_its_weights_is_stopped(
    settings: dict[str, Any], bert: Path, tmp_path: Path
) -> None:
    folder = copy_checkpoint(bert, tmp_path / "huge")
    (folder / "config.json").write_text(json.dumps(settings))
    start = time.process_time()
    with pytest.raises(UserError):
        load_encoder(folder)
    assert time.process_time() - start < 10


def test_shapes_are_read_and_damaged_headers_refused(bert: Path, tmp_path: Path) -> None:
    file = bert / "model.safetensors"
    assert read_shapes(file) == {name: tuple(value.shape) for name, value in load_file(file).items()}
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    damaged = {
        "empty": b"", "short": content[:-1], "half": content[:100], "length": b"\xff" * 8 + content[8:],
        "list": (2).to_bytes(8, "little") + b"[]", "deep": (200_000).to_bytes(8, "little") + b"[" * 200_000,
        "entry": (len(b'{"a": 1}')).to_bytes(8, "little") + b'{"a": 1}',
        "text": content[:8] + b"?" * length + content[8 + length :],
    }  # fmt: skip
    for name, broken in damaged.items():
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(Unreadable):
            pytest.fail(f"{name}: {read_shapes(tmp_path / name)}")


def test_hooks_are_removed_after_a_load(bert: Path, tmp_path: Path) -> None:
    load_model(find_checkpoint(ModelConfig(path=str(bert))))
    with pytest.raises(UserError):
        load_model(
            find_checkpoint(ModelConfig(path=str(copy_checkpoint(bert, tmp_path / "wide", intermediate_size=10**6))))
        )
    assert torch.nn.Linear(10**5, 2000, device="meta").weight.numel() == 2 * 10**8

"""Open, load, copy and change small checkpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from src.config.schema import ModelConfig
from src.models.checkpoint import Checkpoint
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tokenizer import Tokenizer
from src.storage.keys import content_key
from tests.conftest import SENTENCES

Weights = dict[str, torch.Tensor]


def open_checkpoint(folder: Path, **model: Any) -> Checkpoint:
    """Find the checkpoint in a folder, with further fields of `ModelConfig`."""
    return find_checkpoint(ModelConfig(path=str(folder), **model))


def load_encoder(folder: Path, **options: Any) -> Encoder:
    """Load the encoder in a folder, with fields of `EncodingOptions`."""
    return Encoder(open_checkpoint(folder), EncodingOptions(**options))


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of the object in a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def copy_checkpoint(
    folder: Path, to: Path, change: Callable[[Weights], Weights | None] | None = None, **config: Any
) -> Path:
    """Copy a checkpoint; `change` returns other weights or changes them in place, `config` changes config.json."""
    shutil.copytree(folder, to)
    if change is not None:
        weights = load_file(to / "model.safetensors")
        save_file(change(weights) or weights, to / "model.safetensors", {"format": "pt"})
    edit_json(to / "config.json", **config)
    return to


def copy_with_tokenizer(folder: Path, to: Path, **changes: Any) -> Path:
    """Copy a checkpoint with other values of some keys of its tokenizer.json."""
    edit_json(copy_checkpoint(folder, to) / "tokenizer.json", **changes)
    return to


def scale_weights(folder: Path, file: Path) -> None:
    """Write a checkpoint's weights, 5 % larger, into a file."""
    weights = {name: value * 1.05 for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, file, {"format": "pt"})


def key_of(checkpoint: Checkpoint) -> str:
    """Return the key of what decides a checkpoint's features."""
    return content_key({"model": checkpoint.identity, "tokenizer": checkpoint.tokenizer})


def encode_sentences(checkpoint: Checkpoint) -> list[np.ndarray]:
    """Return the word pieces of four sentences, their special marks, and the last hidden states of the first."""
    tokens = Tokenizer(checkpoint, 16)(pa.array(SENTENCES[:4]), None)
    ids = tokens.ids[: tokens.offsets[1]][None]
    output = Encoder(checkpoint, EncodingOptions()).forward(ids, ids * 0, ids < 4)
    return [tokens.ids, tokens.special, output.hidden[-1].numpy()]

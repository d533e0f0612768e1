"""The library sees the digested files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from src.errors import UserError
from tests.helpers.checkpoints import (
    copy_checkpoint,
    encode_sentences,
    open_checkpoint,
    scale_weights,
)


def test_a_file_changed_after_its_digest_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "changing")
    found = open_checkpoint(folder)
    scale_weights(bert, folder / "model.safetensors")
    with pytest.raises(UserError, match="has changed"):
        encode_sentences(found)


def test_shards_are_loaded_by_their_headers_and_not_by_the_index(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "shards")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: weights[name] for name in part}, folder / f"part-{number}.safetensors", {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part-0.safetensors", "b": "part-1.safetensors"}}))
    np.testing.assert_array_equal(
        encode_sentences(open_checkpoint(folder))[-1], encode_sentences(open_checkpoint(bert))[-1]
    )
    save_file({names[0]: weights[names[0]]}, folder / "part-1.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=names[0]):
        encode_sentences(open_checkpoint(folder))
    (folder / "part-1.safetensors").write_bytes(b"no header")
    for _ in range(2):  # what a try that failed has left does not change the reason
        with pytest.raises(UserError, match=r"part-1\.safetensors"):
            encode_sentences(open_checkpoint(folder))

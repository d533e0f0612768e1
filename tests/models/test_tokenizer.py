"""Columns are tokenized with the given limit."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from src.config.schema import ModelConfig
from src.models.finding import find_checkpoint
from src.models.tokenizer import Tokenizer
from tests.helpers.checkpoints import open_checkpoint


def test_truncation_is_counted_and_stored_truncation_is_overridden(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    shutil.copytree(bert, folder)
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    settings["padding"] = {
        "strategy": {"Fixed": 6},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    column = pa.array(["cat", "cat sat on mat", "the cat sat on the mat", ""], pa.large_string())
    tokens = Tokenizer(open_checkpoint(folder), 6)(column, None)
    assert tokens.lengths.tolist() == [3, 6, 6, 2]
    assert tokens.truncated == 1, "four words and two special tokens fit exactly"
    assert tokens.special.tolist()[:3] == [True, False, True]
    pairs = Tokenizer(open_checkpoint(folder), 9)(column, column)
    assert pairs.lengths.tolist() == [5, 9, 9, 3]
    assert pairs.truncated == 2
    assert pairs.segments[:5].tolist() == [0, 0, 0, 1, 1]


def test_shorter_rows_of_a_batch_are_padded_and_their_lengths_given(bert: Path) -> None:
    column = pa.array(["cat", "the cat sat", "the mat sat"], pa.large_string())
    tokens = Tokenizer(open_checkpoint(bert), 6)(column, None)
    ids, segments, special, lengths = tokens.batch(np.array([1, 0, 2]))
    assert ids.shape == segments.shape == special.shape == (3, 5)
    assert lengths is not None and lengths.tolist() == [5, 3, 5]
    assert ids[1, :3].tolist() == tokens.ids[:3].tolist()
    assert ids[1, 3:].tolist() == [ids[1, 2]] * 2
    assert ids[0].tolist() == tokens.ids[3:8].tolist()
    assert tokens.batch(np.array([1, 2]))[3] is None


def test_the_garbage_collector_is_enabled_again_after_tokenizing(bert: Path) -> None:
    tokenizer = Tokenizer(find_checkpoint(ModelConfig(path=str(bert))), 6)
    tokenizer(pa.array(["cat"]), None)
    assert gc.isenabled()
    with pytest.raises(pa.ArrowException):
        tokenizer(pa.array([1]), None)
    assert gc.isenabled()

"""A checkpoint that several tests of models share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.checkpoints import copy_checkpoint


@pytest.fixture(scope="module")
def plain(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small BERT with a vocabulary of one word piece a line in place of a tokenizer.json."""
    folder = copy_checkpoint(bert, tmp_path_factory.mktemp("plain") / "model")
    pieces = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 32}')
    return folder

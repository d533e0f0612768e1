"""All files of all tokenizer classes are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.models.tokenizer_files import TOKENIZER_FILES
from tests.helpers.checkpoints import (
    copy_checkpoint,
    edit_json,
    encode_sentences,
    open_checkpoint,
)


def test_saved_paths_that_are_not_read_change_nothing(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "saved")
    edit_json(
        folder / "tokenizer_config.json",
        name_or_path="/gone/model",
        tokenizer_file="/gone/tokenizer.json",
        special_tokens_map_file="/gone/x",
    )
    for one, other in zip(
        encode_sentences(open_checkpoint(folder)), encode_sentences(open_checkpoint(bert)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_every_file_of_a_tokenizer_class_is_digested() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    unread = {"dict.txt"}  # of BARTpho, an encoder-decoder; RoBERTa's folder has one that nothing reads
    for name in {name for name in TOKENIZER_MAPPING_NAMES.values() if name}:
        try:
            files = getattr(tokenizer_class_from_name(name), "vocab_files_names", None) or {}
        except ImportError:  # a tokenizer that needs a library that is not installed
            continue
        assert {file for file in files.values() if file} <= {*TOKENIZER_FILES, *unread}, name

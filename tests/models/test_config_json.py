"""Configurations that name other files, or are no JSON, are refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.errors import UserError
from tests.helpers.checkpoints import (
    copy_checkpoint,
    edit_json,
    load_encoder,
    open_checkpoint,
)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"transformers_weights": "../other/model.safetensors"}),
        ("config.json", {"transformers_weights": "x.bin"}),
        ("config.json", {"transformers_weights": ["model.safetensors"]}),
        ("config.json", {"text": {"transformers_weights": "x"}}),
        ("config.json", {"configuration_files": ["config.4.0.0.json"]}),
        ("config.json", {"quantization_config": {"bits": 4}}),
        ("config.json", {"fusion_config": {"x": True}}), ("config.json", {"_attn_implementation": "owner/kernel"}),
        ("tokenizer_config.json", {"vocab": "../other/vocab.txt"}),
        ("tokenizer_config.json", {"merges": "merges.txt"}),
        ("tokenizer_config.json", {"vocab_file": "other.txt"}),
        ("tokenizer_config.json", {"sp_model_file": "/x/y.model"}),
        ("tokenizer_config.json", {"init_inputs": ["vocab.txt"]}),
        ("tokenizer_config.json", {"mecab_kwargs": {"mecab_dic": "/x/dic"}}),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}),
    ],
)  # fmt: skip
def test_keys_that_name_other_files_are_refused(file: str, change: dict[str, Any], bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "led")
    edit_json(folder / file, **change)
    with pytest.raises(UserError) as caught:
        open_checkpoint(folder)
    assert str(next(iter(change))) in str(caught.value) or "transformers_weights" in str(caught.value)
    assert str(caught.value).count("\n") <= 2


BROKEN: dict[str, str | Callable[[str], str]] = {
    "deep": "[" * 100_000, "deep object": '{"a":' * 5000 + "1" + "}" * 5000, "list": "[]", "text": "{",
    "empty": "", "number": "3",
    "nan": lambda text: text[:-1] + ', "x": NaN}', "huge": lambda text: text[:-1] + f', "hidden_size": {"9" * 5000}}}',
    "infinite": lambda text: text[:-1] + ', "layer_norm_eps": 1e999}',
}  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("case", BROKEN)
def test_invalid_json_is_refused_with_its_file(name: str, case: str, bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "broken")
    broken = BROKEN[case]
    (folder / name).write_text(broken if isinstance(broken, str) else broken((folder / name).read_text().strip()))
    with pytest.raises(UserError, match=name) as caught:
        open_checkpoint(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9), ("num_hidden_layers", -1), ("num_attention_heads", -1),
        ("num_attention_heads", 0),
        ("num_attention_heads", 5), ("intermediate_size", 10**6), ("intermediate_size", -4),
        ("intermediate_size", 10**30),
        ("num_labels", 10**9), ("vocab_size", 10**12), ("vocab_size", 10**6), ("max_position_embeddings", 10**8),
        ("max_position_embeddings", -2), ("type_vocab_size", 10**6), ("hidden_size", 10**9), ("hidden_size", "wide"),
        ("hidden_size", 2.5), ("hidden_size", None), ("hidden_act", 3), ("layer_norm_eps", "small"),
        ("chunk_size_feed_forward", 3),
        ("task_specific_params", {"x": {"n_layer": 10**9}}), ("model_type", ["bert"]),
        ("_attn_implementation", "owner/kernel"),
        ("is_encoder_decoder", True),
    ],
)  # fmt: skip
def test_impossible_sizes_are_refused_at_once(key: str, value: Any, bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "odd", **{key: value})
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        load_encoder(folder)
    assert time.process_time() - start < 5
    assert str(caught.value).count("\n") <= 2

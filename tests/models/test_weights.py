"""Weights are held against the model before and after it is built: heads may be left over, no part of the encoder may."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.loading import load_model
from src.models.options import EncodingOptions
from src.models.weight_names import find_prefix_mismatch
from src.models.weights import read_shapes
from src.storage.files import Unreadable
from tests.conftest import SMALL

HEADS = ("PreTraining", "MaskedLM", "NextSentencePrediction", "SequenceClassification", "TokenClassification", "QuestionAnswering",
         "MultipleChoice", "CausalLM")  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": {},
    "Roberta": {"max_position_embeddings": 40},
    "Albert": {"embedding_size": 8},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "Electra": {"embedding_size": 8},
    "MPNet": {"max_position_embeddings": 40},
    "ModernBert": {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
}
PAIRS = [(family, head) for family in FAMILIES for head in HEADS if hasattr(transformers, f"{family}For{head}")]

Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


def load(folder: Path, **options: Any) -> Encoder:
    return Encoder(find_checkpoint(ModelConfig(path=str(folder))), EncodingOptions(**options))


def changed(folder: Path, to: Path, weights: Change | None = None, **settings: Any) -> Path:
    """A copy of a checkpoint with other weights or settings."""
    shutil.copytree(folder, to)
    if weights is not None:
        save_file(weights(load_file(folder / "model.safetensors")), to / "model.safetensors", {"format": "pt"})
    file = to / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return to


def with_head(family: str, head: str, words: int) -> Any:
    settings: dict[str, Any] = {} if family == "DistilBert" else dict(SMALL)
    config = getattr(transformers, f"{family}Config")(vocab_size=words, **{**settings, **FAMILIES[family]})
    torch.manual_seed(0)
    return getattr(transformers, f"{family}For{head}")(config)


@pytest.mark.parametrize(("family", "head"), PAIRS)
def test_a_model_with_any_head_gives_the_states_of_its_encoder(
    family: str, head: str, make_checkpoint: Any, vocabulary: list[str]
) -> None:
    model = with_head(family, head, len(vocabulary)).eval()
    folder = make_checkpoint(model, f"{family}-{head}".lower())
    encoder = load(folder, dtype="float32", device="cpu")
    ids = np.array([[10, 7, 8, 9]])
    expected = model.base_model(torch.from_numpy(ids)).last_hidden_state
    torch.testing.assert_close(
        encoder.forward(ids, np.zeros_like(ids), ids < 4).hidden[-1], expected, atol=1e-5, rtol=1e-4
    )


def test_old_names_and_old_tables_load(bert: Path, tmp_path: Path) -> None:
    def aged(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        old = {}
        for name, value in weights.items():
            for new, former in names.items():
                name = name.replace(new, former)
            old[f"bert.{name}"] = value
        return old | {"bert.embeddings.position_ids": torch.arange(32)[None], "cls.predictions.bias": torch.zeros(4)}

    ids = np.array([[2, 7, 8, 3]])
    states = [
        load(folder).forward(ids, np.zeros_like(ids), ids < 4).hidden[-1]
        for folder in (bert, changed(bert, tmp_path / "old", aged))
    ]
    torch.testing.assert_close(*states, atol=0, rtol=0)


LEFT_OVER: dict[str, tuple[str, str]] = {
    "relative": ("encoder.layer.0.attention.self.distance_embedding.weight", "relative"),
    "layer": ("encoder.layer.2.output.dense.weight", "2 layers"),
    "adapter": ("encoder.layer.0.attention.self.query.lora_A.default.weight", "merge"),
    "bottleneck": ("encoder.layer.1.output.adapters.x.adapter_down.0.weight", "merge"),
    "embeddings": ("embeddings.language_embeddings.weight", "config.json"),
    "tower": ("tower.encoder.layer.0.attention.self.query.weight", "config.json"),
    "wrapped": ("base_model.model.encoder.layer.0.attention.self.query.lora_A.weight", "merge"),
}


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("case", LEFT_OVER)
def test_weights_of_the_encoder_that_no_layer_takes_are_refused(
    case: str, prefix: str, bert: Path, tmp_path: Path
) -> None:
    name, way = LEFT_OVER[case]

    def more(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        named = {prefix + key: value for key, value in weights.items()}
        alone = case in ("tower", "wrapped")
        return named | {name if alone else prefix + name: torch.zeros(16, 16), "cls.predictions.bias": torch.zeros(4)}

    with pytest.raises(UserError) as caught:
        load(changed(bert, tmp_path / "more", more))
    assert name in str(caught.value) and way in str(caught.value) and "cls.predictions" not in str(caught.value)
    assert str(caught.value).count("\n") <= 2


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.bert.", "0.auto_model.", "bert.bert."])
def test_a_prefix_is_named_with_the_lines_that_remove_it(
    prefix: str, bert: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = changed(
        bert, tmp_path / "wrapped", lambda weights: {prefix + key: value for key, value in weights.items()}
    )
    with pytest.raises(UserError, match="before their names") as caught:
        load(folder)
    _, *lines = str(caught.value).splitlines()
    assert len(lines) == 2
    monkeypatch.chdir(folder)
    exec("\n".join(lines), {})  # the advice works as it stands
    assert load(folder).layers == 2


def test_a_prefix_that_is_lacking_is_added(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def shorter(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}

    assert find_prefix_mismatch(
        list(shorter(load_file(bert / "model.safetensors"))), ["encoder.layer.0.output.dense.bias"], "bert."
    ) == (
        "add",
        "encoder.",
    )


def test_one_weight_under_two_names_is_refused(bert: Path, tmp_path: Path) -> None:
    def both(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return weights | {f"bert.{key}": value + 1 for key, value in weights.items()}

    with pytest.raises(UserError, match="both"):
        load(changed(bert, tmp_path / "both", both))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9), ("num_hidden_layers", -1), ("num_attention_heads", -1), ("num_attention_heads", 0),
        ("num_attention_heads", 5), ("intermediate_size", 10**6), ("intermediate_size", -4), ("intermediate_size", 10**30),
        ("num_labels", 10**9), ("vocab_size", 10**12), ("vocab_size", 10**6), ("max_position_embeddings", 10**8),
        ("max_position_embeddings", -2), ("type_vocab_size", 10**6), ("hidden_size", 10**9), ("hidden_size", "wide"),
        ("hidden_size", 2.5), ("hidden_size", None), ("hidden_act", 3), ("layer_norm_eps", "small"), ("chunk_size_feed_forward", 3),
        ("task_specific_params", {"x": {"n_layer": 10**9}}), ("model_type", ["bert"]), ("_attn_implementation", "owner/kernel"),
        ("is_encoder_decoder", True),
    ],
)  # fmt: skip
def test_numbers_that_no_model_has_are_refused_at_once(key: str, value: Any, bert: Path, tmp_path: Path) -> None:
    folder = changed(bert, tmp_path / "odd", **{key: value})
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        load(folder)
    assert time.process_time() - start < 5
    assert str(caught.value).count("\n") <= 2


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "gpt2", "n_layer": 10**9, "n_embd": 16}, {"model_type": "gpt2", "n_layer": 900, "n_embd": 16, "n_positions": 10**6},
        {"model_type": "gpt2", "n_layer": 2, "n_embd": 10**6}, {"model_type": "t5", "num_layers": 10**6},
        {"model_type": "albert", "num_hidden_groups": 10**6, "num_hidden_layers": 1}, {"model_type": "albert", "inner_group_num": 10**6},
        {"model_type": "modernbert", "num_hidden_layers": 10**6}, {"model_type": "distilbert", "n_layers": 10**6},
        {"model_type": "xlnet", "n_layer": 10**6}, {"model_type": "funnel", "block_sizes": [10**6, 10**6]},
        {"model_type": "mamba", "num_hidden_layers": 900, "conv_kernel": 10**6}, {"model_type": "wav2vec2", "conv_dim": [10**6]},
        {"model_type": "clip", "text_config": {"num_hidden_layers": 10**9}},
    ],
)  # fmt: skip
def test_a_model_larger_than_its_weights_is_stopped_while_it_is_built(
    settings: dict[str, Any], bert: Path, tmp_path: Path
) -> None:
    folder = changed(bert, tmp_path / "huge")
    (folder / "config.json").write_text(json.dumps(settings))
    start = time.process_time()
    with pytest.raises(UserError):
        load(folder)
    assert time.process_time() - start < 10


def test_headers_are_read_and_damaged_ones_refused(bert: Path, tmp_path: Path) -> None:
    file = bert / "model.safetensors"
    assert read_shapes(file) == {name: tuple(value.shape) for name, value in load_file(file).items()}
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    damaged = {
        "empty": b"", "short": content[:-1], "half": content[:100], "length": b"\xff" * 8 + content[8:],
        "list": (2).to_bytes(8, "little") + b"[]", "deep": (200_000).to_bytes(8, "little") + b"[" * 200_000,
        "entry": (len(b'{"a": 1}')).to_bytes(8, "little") + b'{"a": 1}', "text": content[:8] + b"?" * length + content[8 + length :],
    }  # fmt: skip
    for name, broken in damaged.items():
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(Unreadable):
            pytest.fail(f"{name}: {read_shapes(tmp_path / name)}")


def test_no_hook_outlives_a_load(bert: Path, tmp_path: Path) -> None:
    load_model(find_checkpoint(ModelConfig(path=str(bert))))
    with pytest.raises(UserError):
        load_model(find_checkpoint(ModelConfig(path=str(changed(bert, tmp_path / "wide", intermediate_size=10**6)))))
    assert torch.nn.Linear(10**5, 2000, device="meta").weight.numel() == 2 * 10**8


def test_weights_of_another_family_are_not_renamed(bert: Path, tmp_path: Path) -> None:
    folder = changed(bert, tmp_path / "mixed", model_type="roberta")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {f"bert.{name}": value for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match="model_type=roberta") as caught:
        load(folder)
    assert "save_file" not in str(caught.value) and "bert" in str(caught.value)

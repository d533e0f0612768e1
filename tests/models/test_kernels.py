"""Exchanged kernels give the hidden states of the plain model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from src.config.schema import ModelConfig
from src.models import kernels
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 80,
}


def load(folder: Path, **options: Any) -> Encoder:
    return Encoder(find_checkpoint(ModelConfig(path=str(folder))), EncodingOptions(**options))


@pytest.fixture(scope="module")
def folder(make_checkpoint: Any, vocabulary: list[str]) -> Path:
    """A BERT whose weights are large enough for attention to be uneven and GELU to bend."""
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), intermediate_size=48, **SMALL))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    place: Path = make_checkpoint(model, "uneven")
    return place


LENGTHS = [1, 2, kernels.LANES - 1, kernels.LANES, kernels.LANES + 1, kernels.SHORT - 1, kernels.SHORT, 80]


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("masked", [False, True])
def test_hidden_states_are_those_of_the_plain_model(
    tokens: int, masked: bool, folder: Path, vocabulary: list[str]
) -> None:
    encoder = load(folder)
    assert (encoder.info.kernel, encoder.info.attention) == (f"packed-{kernels.VERSION}", kernels.ATTENTION)
    assert not any(isinstance(module, transformers.activations.GELUActivation) for module in encoder.model.modules())
    plain = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    rows = 5
    ids = np.random.default_rng(tokens).integers(0, len(vocabulary), (rows, tokens))
    lengths = np.maximum(1, tokens - np.arange(rows)) if masked else None
    found = encoder.forward(ids, np.zeros_like(ids), np.zeros_like(ids), lengths)
    with torch.inference_mode():
        mask = found.mask.long()
        expected = plain(torch.from_numpy(ids), mask, output_hidden_states=True).hidden_states
    for ours, theirs in zip(found.hidden, expected, strict=True):
        torch.testing.assert_close(ours[found.mask], theirs[found.mask], atol=1e-5, rtol=1e-5)


def test_large_scores_give_finite_attention_weights() -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 8).mul(1e4).unbind()
    module = torch.nn.Module()
    found, _ = kernels.attention(module, query, key, value, None, scaling=1.0)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2)
    torch.testing.assert_close(found, expected)


def test_runtime_attention_is_used(folder: Path) -> None:
    assert load(folder, attention="sdpa").info.attention == "sdpa"
    assert load(folder, attention="eager").info.attention == "eager"


def test_other_activations_and_models_are_not_changed(make_checkpoint: Any, vocabulary: list[str]) -> None:
    settings = {"vocab_size": len(vocabulary), "intermediate_size": 48, **SMALL}
    bent = load(
        make_checkpoint(transformers.BertModel(transformers.BertConfig(hidden_act="gelu_new", **settings)), "bent")
    )
    assert any(type(module).__name__ == "NewGELUActivation" for module in bent.model.modules())
    roberta = load(make_checkpoint(transformers.RobertaModel(transformers.RobertaConfig(**settings)), "roberta"))
    assert roberta.info.attention == "sdpa"
    assert any(isinstance(module, transformers.activations.GELUActivation) for module in roberta.model.modules())


def test_half_precision_uses_plain_kernels(folder: Path) -> None:
    info = load(folder, dtype="bfloat16").info
    assert (info.kernel, info.attention) == ("plain", "sdpa")

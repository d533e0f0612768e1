"""Encoders of any family are loaded, frozen and described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from src.errors import UserError
from tests.conftest import SMALL
from tests.helpers.checkpoints import load_encoder

LONGER = {**SMALL, "max_position_embeddings": 40}


FAMILIES = {
    "Roberta": {},
    "Albert": {"embedding_size": 8},
    "Electra": {"embedding_size": 8},
    "MPNet": {},
    "ModernBert": {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_all_layers_and_a_diagnosed_pooler(
    family: str, make_checkpoint: Any, vocabulary: list[str]
) -> None:
    settings = {} if family == "DistilBert" else LONGER
    config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **settings, **FAMILIES[family])
    torch.manual_seed(0)
    encoder = load_encoder(make_checkpoint(getattr(transformers, f"{family}Model")(config), family))
    expected = {"Roberta": "untrained", "Albert": "untrained", "MPNet": "untrained"}.get(family, "absent")
    assert encoder.info.pooler["status"] == expected
    ids = np.array([[2, 7, 8, 9, 3], [2, 9, 7, 7, 3]])
    output = encoder.forward(ids, np.zeros_like(ids), ids < 4)
    assert len(output.hidden) == 3
    assert output.hidden[-1].shape == (2, 5, 16)
    assert not encoder.model.training
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    if expected != "absent":
        assert output.pooled is not None
        weight, bias = output.pooler_weight, output.pooler_bias
        torch.testing.assert_close(output.pooled, torch.tanh(output.hidden[-1][:, 0] @ weight.T + bias))


def test_word_pieces_without_an_embedding_are_refused(bert: Path, vocabulary: list[str]) -> None:
    encoder = load_encoder(bert)
    encoder.check_ids(np.array([0, len(vocabulary) - 1]))
    with pytest.raises(
        UserError, match=f"gives word piece {len(vocabulary)}, and its weights embed {len(vocabulary)} of them"
    ):
        encoder.check_ids(np.array([2, len(vocabulary), 3]))


def test_max_length_is_the_smaller_of_position_table_and_tokenizer_limit(
    bert: Path, make_checkpoint: Any, vocabulary: list[str]
) -> None:
    assert load_encoder(bert).info.max_length == 32
    assert load_encoder(bert, max_length=12).info.max_length == 12
    with pytest.raises(UserError, match="positions for 32 word pieces"):
        load_encoder(bert, max_length=33)
    roberta = transformers.RobertaModel(
        transformers.RobertaConfig(vocab_size=len(vocabulary), **{**SMALL, "max_position_embeddings": 20})
    )
    assert load_encoder(make_checkpoint(roberta, "short")).info.max_length == 18, (
        "positions start after the padding index"
    )

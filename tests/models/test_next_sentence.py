"""Next-sentence heads are measured."""

from __future__ import annotations

from typing import Any

import transformers

from src.models.next_sentence import sentence_pairs
from tests.conftest import SMALL
from tests.helpers.checkpoints import load_encoder


def test_next_sentence_accuracy_is_evidence(make_checkpoint: Any, vocabulary: list[str]) -> None:
    config = transformers.BertConfig(vocab_size=len(vocabulary), **{**SMALL, "max_position_embeddings": 40})
    encoder = load_encoder(make_checkpoint(transformers.BertForPreTraining(config), "pretraining"))
    accuracy = encoder.info.pooler["evidence"]["next_sentence_accuracy"]
    assert 0 <= accuracy <= 1
    pairs = sentence_pairs()
    assert sum(consecutive for *_, consecutive in pairs) * 2 == len(pairs) == len(set(pairs))

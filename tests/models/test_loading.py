"""Models are loaded with exactly their weights, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from src.errors import UserError
from tests.conftest import SMALL
from tests.helpers.checkpoints import (
    copy_checkpoint,
    encode_sentences,
    load_encoder,
    open_checkpoint,
)


def test_a_configuration_that_asks_for_tuples_loads(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(
        bert, tmp_path / "tuples", return_dict=False, use_return_dict=False, output_hidden_states=True
    )
    for one, other in zip(
        encode_sentences(open_checkpoint(folder)), encode_sentences(open_checkpoint(bert)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


HEADS = (
    "PreTraining", "MaskedLM", "NextSentencePrediction", "SequenceClassification", "TokenClassification",
    "QuestionAnswering", "MultipleChoice", "CausalLM",
)  # fmt: skip


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


def with_head(family: str, head: str, words: int) -> Any:
    settings: dict[str, Any] = {} if family == "DistilBert" else dict(SMALL)
    config = getattr(transformers, f"{family}Config")(vocab_size=words, **{**settings, **FAMILIES[family]})
    torch.manual_seed(0)
    return getattr(transformers, f"{family}For{head}")(config)


@pytest.mark.parametrize(("family", "head"), PAIRS)
def test_models_with_heads_have_the_hidden_states_of_their_encoder(
    family: str, head: str, make_checkpoint: Any, vocabulary: list[str]
) -> None:
    model = with_head(family, head, len(vocabulary)).eval()
    folder = make_checkpoint(model, f"{family}-{head}".lower())
    encoder = load_encoder(folder, dtype="float32", device="cpu")
    ids = np.array([[10, 7, 8, 9]])
    expected = model.base_model(torch.from_numpy(ids)).last_hidden_state
    torch.testing.assert_close(
        encoder.forward(ids, np.zeros_like(ids), ids < 4).hidden[-1], expected, atol=1e-5, rtol=1e-4
    )


def test_old_names_and_stored_tables_load(bert: Path, tmp_path: Path) -> None:
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
        load_encoder(folder).forward(ids, np.zeros_like(ids), ids < 4).hidden[-1]
        for folder in (bert, copy_checkpoint(bert, tmp_path / "old", aged))
    ]
    torch.testing.assert_close(*states, atol=0, rtol=0)


def test_only_the_poolers_weights_may_be_missing(bert: Path, tmp_path: Path) -> None:
    def drop(*starts: str) -> Callable[[dict[str, torch.Tensor]], None]:
        return lambda weights: [weights.pop(key) for key in list(weights) if key.startswith(starts)] and None

    missing = load_encoder(copy_checkpoint(bert, tmp_path / "missing", drop("pooler.")))
    assert missing.info.pooler["status"] == "missing"
    assert not missing.info.has_pooler
    with pytest.raises(UserError, match=r"lacks 1 of its weights \(encoder.layer.1.output.dense.weight\)"):
        load_encoder(copy_checkpoint(bert, tmp_path / "lost", drop("encoder.layer.1.output.dense.weight")))


def test_remote_code_is_not_run(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    shutil.copytree(bert, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}, "model_type": "evil"}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError):
        load_encoder(folder)
    assert not (tmp_path / "ran").exists()

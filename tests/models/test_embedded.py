"""The embedded checkpoint is small and complete, with a pooler that next-sentence prediction trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.studies import random_weights
from src import run
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.encoder import Encoder
from src.models.finding import EMBEDDED_DIR, find_checkpoint
from src.models.options import EncodingOptions
from tests.cli.refusals import Command
from tests.config.test_conf import composed

NAMES = sorted(path.name for path in EMBEDDED_DIR.iterdir() if path.is_dir())


@pytest.fixture(scope="module", params=NAMES)
def embedded(request: pytest.FixtureRequest) -> Path:
    return EMBEDDED_DIR / str(request.param)


def test_an_embedded_model_is_small_and_described(embedded: Path) -> None:
    assert sum(path.stat().st_size for path in embedded.iterdir()) <= 20e6
    assert {path.suffix for path in embedded.iterdir()} <= {".json", ".safetensors", ".md"}
    card = (embedded / "README.md").read_text(encoding="utf-8")
    assert all(f"## {title}" in card for title in ("Data", "Recipe", "Held-out figures", "Pooler", "Limits", "Licence"))


def test_an_embedded_model_is_a_complete_bert_with_both_heads(embedded: Path) -> None:
    from transformers import AutoTokenizer, BertForPreTraining

    model, info = BertForPreTraining.from_pretrained(embedded, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(embedded)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.model_max_length == model.config.max_position_embeddings


def test_an_embedded_pooler_is_trained_and_a_random_one_is_not(embedded: Path, tmp_path: Path) -> None:
    pooler = Encoder(find_checkpoint(ModelConfig(path=f"embedded:{embedded.name}")), EncodingOptions()).info.pooler
    assert pooler["status"] == "trained"
    evidence = pooler["evidence"]
    assert (
        not evidence["bias_is_zero"] and not evidence["spectrum_is_random"] and evidence["next_sentence_accuracy"] > 0.5
    )
    random_weights.main([f"output={tmp_path}", f"model.path=embedded:{embedded.name}"])
    random = Encoder(find_checkpoint(ModelConfig(path=str(tmp_path))), EncodingOptions()).info.pooler
    assert random["status"] == "untrained"


def test_an_unknown_embedded_model_is_refused() -> None:
    with pytest.raises(UserError, match="bert-books"):
        find_checkpoint(ModelConfig(path="embedded:bert-book"))
    with pytest.raises(UserError):
        find_checkpoint(ModelConfig(path="embedded:../conf"))


def test_a_run_with_all_defaults_needs_no_network(run_main: Command) -> None:
    ended = run_main(run.main, "tracker=none", "runtime.progress=false", "hydra.run.dir=out")
    assert ended.status == 0, ended.err
    record = json.loads(Path("out/result.json").read_text())
    assert (
        record["model"] in NAMES and record["dataset"].startswith("demo_") and record["pooler"]["status"] == "trained"
    )
    assert np.isfinite(record["score"]["value"])


OPTIONS = {
    "": "bert-books",
    "model.max_length=64": "bert-books",
    "model=bert-tiny": "bert-tiny",
    "model.path=some/other": "checkpoint",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_a_model_with_another_path_is_recorded_as_checkpoint(words: str) -> None:
    assert composed(*words.split()).model.name == OPTIONS[words]

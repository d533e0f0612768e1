"""Whole models: parameters, evidence, memory, time and scores."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from src import run
from src.config.schema import ModelConfig
from src.models.encoder import Encoder
from src.models.finding import EMBEDDED_DIR, find_checkpoint
from src.models.options import EncodingOptions
from src.models.tensorflow.checksum import crc32c
from src.models.tokenizer import load_tokenizer
from tests.cli.refusals import Command
from tests.helpers import bundles
from tests.helpers.google import CHECKPOINT, FIXTURES, TANH, load_google_encoder, model_config, read_variables


def test_an_absent_pooler_is_missing_and_a_random_one_untrained(checkpoint_copy: Path) -> None:
    stored = {name: values for name, values in read_variables().items() if not name.startswith("bert/pooler/")}
    bundles.write(checkpoint_copy / "bert_model.ckpt", stored)
    assert load_google_encoder(checkpoint_copy).info.pooler["status"] == "missing"
    fresh = {"bert/pooler/dense/kernel": np.random.default_rng(0).normal(0, 0.02, (24, 24)).astype(np.float32)}
    bundles.write(
        checkpoint_copy / "bert_model.ckpt", stored | fresh | {"bert/pooler/dense/bias": np.zeros(24, np.float32)}
    )
    assert load_google_encoder(checkpoint_copy).info.pooler["status"] == "untrained"


def test_evidence_holds_next_sentence_accuracy_and_activation() -> None:
    evidence = load_google_encoder(CHECKPOINT).info.pooler["evidence"]
    assert 0 <= evidence["next_sentence_accuracy"] <= 1
    assert "by the error function" in evidence["activation"] and TANH in evidence["activation"]
    assert (
        load_google_encoder(CHECKPOINT, hidden_act=TANH)
        .info.pooler["evidence"]["activation"]
        .startswith(f"{TANH}, which Google's own code")
    )
    assert (
        load_google_encoder(CHECKPOINT, hidden_act="relu")
        .info.pooler["evidence"]["activation"]
        .startswith("relu, as chosen")
    )
    assert load_google_encoder(FIXTURES / "hub").info.pooler["evidence"]["next_sentence_accuracy"] is None


def test_a_run_records_the_activation_that_it_used(run_main: Command, files: list[str]) -> None:
    words = ["model=google", f"model.path={CHECKPOINT}", *files[1:], "pooling=pooler", "hydra.run.dir=out"]
    ended = run_main(run.main, *words)
    assert ended.status == 0, ended.err
    record = json.loads(Path("out/result.json").read_text())
    assert record["model"] == "checkpoint" and record["pooler"]["status"] == "trained"
    assert TANH in record["pooler"]["evidence"]["activation"]
    assert set(record["provenance"]["model"]["weights"]) == {
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    }
    assert str(FIXTURES) not in json.dumps(record)
    again = run_main(run.main, *words, f"model.hidden_act={TANH}", "hydra.run.dir=tanh")
    assert again.status == 0, again.err
    other = json.loads(Path("tanh/result.json").read_text())
    assert other["key"] != record["key"] and other["timing"]["cache"] == "miss"


def as_google(folder: Path, output: Path) -> Path:
    """A BERT in the Hugging Face layout as a checkpoint of google-research/bert, by this test's own writer."""
    from tests.helpers import tensorflow_fixtures

    settings, vocabulary, stored = tensorflow_fixtures.exported(str(folder))
    output.mkdir()
    (output / "bert_config.json").write_text(json.dumps(settings))
    (output / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    bundles.write(output / "bert_model.ckpt", stored)
    return output


def test_the_embedded_model_is_bit_identical_in_googles_format(tmp_path: Path) -> None:
    given = EMBEDDED_DIR / "bert-books"
    original = model_config(as_google(given, tmp_path / "original"))
    plain = ModelConfig(path=str(given))
    mine, theirs = (Encoder(find_checkpoint(model), EncodingOptions()) for model in (original, plain))
    text = ["It was the best of times.", "Call me Ishmael, stated the café's owner."]
    for sentence in text:
        row = load_tokenizer(mine.checkpoint)(sentence, return_special_tokens_mask=True)
        assert row["input_ids"] == load_tokenizer(theirs.checkpoint)(sentence)["input_ids"]
        batch = [np.array([row[name]]) for name in ("input_ids", "token_type_ids", "special_tokens_mask")]
        ours, others = mine.forward(*batch), theirs.forward(*batch)
        assert torch.equal(ours.hidden[-1], others.hidden[-1])
        assert ours.pooled is not None and others.pooled is not None and torch.equal(ours.pooled, others.pooled)
        assert torch.equal(ours.random_weight, others.random_weight)
    evidence = mine.info.pooler["evidence"]
    evidence.pop("activation")
    assert evidence == theirs.info.pooler["evidence"]
    assert mine.info.max_length == theirs.info.max_length


def test_reading_needs_little_more_memory_than_the_file(tmp_path: Path) -> None:
    given = as_google(EMBEDDED_DIR / "bert-books", tmp_path / "original")
    size = (given / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    original = find_checkpoint(model_config(given)).original
    assert original is not None
    crc32c(b"\0" * (1 << 20))  # its tables
    tracemalloc.start()
    stored = original.parameters()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stored) == len(original.sources) - 7, "the heads are apart"
    assert peak < 1.3 * size


@pytest.mark.skipif(not os.environ.get("PROBES_TENSORFLOW"), reason="runs TensorFlow: set PROBES_TENSORFLOW=1")
def test_bert_base_is_read_in_three_seconds(tmp_path: Path) -> None:
    from tests.helpers import tensorflow_fixtures

    sizes = {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    shape = {**sizes, "max_position_embeddings": 512, "type_vocab_size": 2}
    tensorflow_fixtures.write(tmp_path, None, shape, 0, ["checkpoint"])
    size = (tmp_path / "checkpoint" / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    began = time.perf_counter()
    original = find_checkpoint(model_config(tmp_path / "checkpoint")).original
    assert original is not None
    stored = original.parameters()
    assert time.perf_counter() - began < 3
    assert sum(values.nbytes for values in stored.values()) > 0.99 * size - 4 * 768 * 768
    tracemalloc.start()
    stored = original.parameters()
    assert tracemalloc.get_traced_memory()[1] < 1.3 * size
    tracemalloc.stop()


@pytest.mark.skipif(not os.environ.get("PROBES_TENSORFLOW"), reason="runs TensorFlow: set PROBES_TENSORFLOW=1")
def test_the_embedded_model_written_by_tensorflow_has_the_same_scores(run_main: Command, tmp_path: Path) -> None:
    from tests.helpers import tensorflow_fixtures

    tensorflow_fixtures.write(tmp_path / "forms", "embedded:bert-books", {}, 0, ["checkpoint"])
    records = []
    for words in (["model=google", f"model.path={tmp_path / 'forms' / 'checkpoint'}"], []):
        ended = run_main(
            run.main,
            *words,
            "pooling=pooler",
            "tracker=none",
            "runtime.progress=false",
            f"hydra.run.dir=out{len(records)}",
        )
        assert ended.status == 0, ended.err
        records.append(json.loads(Path(f"out{len(records)}/result.json").read_text()))
    assert records[0]["score"] == records[1]["score"] and records[0]["metrics"] == records[1]["metrics"]

"""What the benchmark times the suite against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import encoder, peers, probe
from src.errors import UserError
from tests.conftest import SENTENCES


def test_the_quickest_batch_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def encode(texts: list[str], batch_size: int) -> None:
        clock[0] += abs(batch_size - 64) + 1

    monkeypatch.setattr(peers.time, "perf_counter", lambda: clock[0])
    assert peers.best_batch(encode, ["a"]) == 64


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "optimum" else object())
    reason = peers.missing_onnx()
    assert reason is not None and "optimum" in reason and "onnxruntime " not in reason
    monkeypatch.setattr(peers, "find_spec", lambda name: object())
    assert peers.missing_onnx() is None
    with pytest.raises(UserError, match=r"benchmark"):
        peers.require("no-such-package")


def test_a_comparison_takes_turns_and_its_ratio_is_their_median(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(folder: Path, sample: list[str]) -> tuple[list[peers.Peer], dict[str, str]]:
        return [peers.Peer("zeros", lambda texts: np.ones((len(texts), 16)))], {"ONNX": "not measured"}

    monkeypatch.setattr(encoder, "find_peers", found)
    monkeypatch.setattr(encoder, "product_rates", lambda *_: {"slow": 1e8, "fast": 1e9})
    monkeypatch.setattr(encoder, "has_amx", lambda: False)
    figures = encoder.compare("tiny", bert, list(SENTENCES))
    assert len(figures.ours) == len(figures.peers["zeros"]) == encoder.TURNS and figures.rows == len(SENTENCES)
    ratios = sorted(np.divide(figures.ours, figures.peers["zeros"]))
    record = figures.record()
    assert figures.ratio("zeros") == record["ratio"] == record["peers"]["zeros"]["ratio"] == ratios[1]
    assert record["ours"] == sum(figures.ours) and record["unmeasured"] == {"ONNX": "not measured"}
    assert (record["product"], record["rate"]) == ("fast", 1e9) and record["mixed"] is None
    assert "zeros" in figures.lines() and "not measured" in figures.lines()


def test_mixed_is_timed_where_the_cpu_has_amx(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "find_peers", lambda *_: ([peers.Peer("ones", lambda t: np.ones((len(t), 16)))], {}))
    monkeypatch.setattr(encoder, "product_rates", lambda *_: {"product": 1e9})
    monkeypatch.setattr(encoder, "has_amx", lambda: True)
    figures = encoder.compare("tiny", bert, list(SENTENCES), turns=1)
    assert figures.mixed is not None and len(figures.mixed) == 1
    assert figures.record()["mixed"] == figures.mixed[0] and "mixed" in figures.lines()


def test_plain_transformers_averages_without_padding(bert: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    texts = [*SENTENCES, f"{SENTENCES[0]} {SENTENCES[0]}"]
    found = peers.plain_transformers(bert)(texts)
    model, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    for text, vector in zip(texts, found, strict=True):
        alone = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0).detach().numpy()
        assert np.allclose(vector, alone, atol=1e-5)


def test_the_probe_is_timed_in_turns() -> None:
    figures = probe.compare(2, 400, 16)
    assert len(figures.ratios) == probe.TURNS and figures.ratio == sorted(figures.ratios)[1]
    assert figures.gap <= probe.ALLOWED_GAP and figures.processor_ratio > 0

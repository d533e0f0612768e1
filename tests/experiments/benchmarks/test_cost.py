"""Tests of the costs: measurements in turns, passes that stop, a file without paths."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import cost
from experiments.benchmarks.passes import POOLINGS, forward_to, stops_early
from experiments.benchmarks.timing import measure
from src.config.schema import Config, Generated
from src.models.encoder import Encoder
from src.pipeline.prepare import PreparedRun

BATCH = (np.arange(10, 26).reshape(2, 8), np.zeros((2, 8), np.int8), np.zeros((2, 8), np.bool_))


def test_measurements_take_turns() -> None:
    done: list[str] = []
    clock = iter(range(1000))
    doing = {name: (lambda name=name: done.append(name)) for name in "abcdefgh"}
    found = measure(doing, 4, now=lambda: float(next(clock)))
    rounds = [done[start : start + 8] for start in range(0, len(done), 8)]
    assert len(rounds) == 5 and all(sorted(each) == list("abcdefgh") for each in rounds)
    assert len({tuple(each) for each in rounds[1:]}) > 1
    assert all(each == {"median": 1.0, "low": 1.0, "high": 1.0} for each in found.values())


def test_a_pass_that_stops_gives_the_states_of_the_whole_one(encoder: Encoder) -> None:
    whole = encoder.forward(*BATCH)
    part = forward_to(encoder, BATCH, 1)
    assert not any(states.numel() for states in part.hidden[2:])
    assert np.allclose(part.hidden[1], whole.hidden[1], atol=1e-6)
    after = encoder.forward(*BATCH)
    assert len(after.hidden) == 3 and np.array_equal(after.hidden[2], whole.hidden[2])


def test_a_pass_that_cannot_stop_is_recognised(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stops_early(encoder, BATCH)
    whole = encoder.forward(*BATCH)
    monkeypatch.setattr(encoder, "forward", lambda *batch, layers=None: whole)
    assert not stops_early(encoder, BATCH)


def test_the_file_holds_every_cost(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = cost.open_run

    def small(config: Config) -> PreparedRun:
        grammar = config.dataset.generated
        assert grammar is not None
        generated = Generated(grammar.grammar, 0, {"train": 80, "test": 20})
        return original(replace(config, dataset=replace(config.dataset, generated=generated)))

    monkeypatch.setattr(cost, "open_run", small)
    quick = ["rows=6", "fit_rows=60", "repeats=1", f"cache_dir={tmp_path / 'store'}"]
    cost.main([f"model.path={bert}", f"output={tmp_path / 'new' / 'tiny.json'}", *quick])
    text = (tmp_path / "new" / "tiny.json").read_text()
    figures = json.loads(text)
    assert (
        text == json.dumps(figures, indent=1, sort_keys=True) + "\n"
        and str(tmp_path) not in text
        and str(bert.parent) not in text
    )
    single, pair = figures["tasks"]["demo_sentiment"], figures["tasks"]["demo_coherence"]
    assert set(single["seconds"]["forward"]) == {"joint"} and set(pair["seconds"]["forward"]) == {"joint", "separate"}
    assert set(pair["seconds"]["forward"]["joint"]) == {"1", "2"} and figures["early_exit"]["supported"]
    assert set(pair["seconds"]["pool"]["joint"]) == set(POOLINGS)
    assert pair["bytes"]["joint"]["pooler"] == {"float32": 64, "float16": 32} == single["bytes"]["joint"]["mean"]
    assert pair["bytes"]["joint"]["cls_and_mean"]["float32"] == pair["bytes"]["separate"]["mean"]["float32"] == 128
    widths = (
        single["width"]["joint"]["mean"],
        single["width"]["joint"]["cls_and_mean"],
        pair["width"]["separate"]["mean"],
    )
    assert widths == (16, 32, 64)
    assert set(single["seconds"]["fit"]["joint"]) == set(single["width"]["joint"])
    assert figures["provenance"]["threads"] == 1 and figures["provenance"]["cpu"]
    assert "demo_coherence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("rows=0", "at least 2"),
        ("repeats=x", "repeats=x"),
        ("dataset=sst22", "did you mean 'sst2'"),
        ("outputs=x", "output"),
        ("output=", "not set"),
    ],
)
def test_a_refusal_names_the_option(word: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cost.main([f"output={tmp_path / 'x.json'}", word])
    assert ended.value.code == 1 and said in capsys.readouterr().err

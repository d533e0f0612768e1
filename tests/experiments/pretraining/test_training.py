"""Tests of the training: equal weights after an interruption, and both tasks learnt."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from experiments import pretrain
from experiments.pretraining import training
from experiments.pretraining.corpus import Corpus
from experiments.pretraining.evaluation import evaluate
from experiments.pretraining.examples import Examples, Vocabulary
from experiments.pretraining.model import new_model
from experiments.pretraining.recipe import Pace, Schedule, Shape, rate_at
from src.errors import UserError
from tests.cli.refusals import Command, assert_refused
from tests.experiments.pretraining.conftest import VOCABULARY


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=100, warmup=10, decay=20, rate=0.5)
    rates = [rate_at(step, schedule) for step in range(100)]
    assert (
        (np.diff(rates[:10]) > 0).all()
        and set(rates[10:80]) == {0.5}
        and (np.diff(rates[80:]) < 0).all()
        and 0 < rates[-1] < 0.03
    )


TINY = Shape(layers=2, width=32, heads=2, positions=64, vocab_size=VOCABULARY)
QUICK = Schedule(steps=8, tokens=512, lengths={32: 0.5, 64: 0.5}, warmup=2, decay=2, rate=0.003)
PACE = Pace(evaluate=4, held_out_rows=64, held_out_length=32, save=2, workers=1, progress=False)


def learn(
    output: Path, parts: tuple[Corpus, Corpus, Path], schedule: Schedule, pace: Pace = PACE
) -> dict[str, torch.Tensor]:
    from transformers import AutoTokenizer

    output.mkdir(exist_ok=True)
    training.train(output, parts[:2], AutoTokenizer.from_pretrained(parts[2]), TINY, schedule, pace, device="cpu")
    return load_file(output / "state.safetensors")


def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(tmp_path / "whole", parts, QUICK)
    draw = training.draw

    def kill(examples: Examples, schedule: Schedule, step: int, *rest: int) -> object:
        if step == 5:
            raise KeyboardInterrupt
        return draw(examples, schedule, step, *rest)

    monkeypatch.setattr(training, "draw", kill)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut", parts, QUICK)
    monkeypatch.setattr(training, "draw", draw)
    cut = learn(tmp_path / "cut", parts, QUICK)
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)

    def scores(name: str) -> list[dict[str, str]]:
        with (tmp_path / name / "training.csv").open() as file:
            return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]

    assert scores("whole") == scores("cut")
    for other in ({"seed": 1}, {"objective": "mlm"}, {"negatives": "same_document"}, {"dtype": "bfloat16"}):
        with pytest.raises(UserError, match="another schedule"):
            learn(tmp_path / "cut", parts, replace(QUICK, **other))


def test_an_interrupted_training_with_dropout_ends_with_the_same_weights(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path]
) -> None:
    dropping = replace(QUICK, dropout=0.1, decay=1)  # the rate of a step does not depend on the last step
    whole = learn(tmp_path / "whole", parts, dropping)
    learn(tmp_path / "cut", parts, replace(dropping, steps=4))
    cut = learn(tmp_path / "cut", parts, dropping)
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    undisturbed = learn(tmp_path / "kept", parts, replace(QUICK, decay=1))
    assert any(not torch.equal(whole[name], undisturbed[name]) for name in whole)


@pytest.mark.parametrize(("rate", "steps"), [(1e30, QUICK.steps), (1e30, 1), (1e39, 1)])  # 1e39: infinite weights
def test_a_training_that_diverges_keeps_its_last_state(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path], rate: float, steps: int
) -> None:
    wild = replace(QUICK, rate=rate, steps=steps, clip=1e30, warmup=0, decay=0)
    with pytest.raises(UserError, match=r"diverged.*schedule\.rate"):
        learn(tmp_path, parts, wild)
    assert not (tmp_path / "model.safetensors").exists()
    for path in tmp_path.glob("state.safetensors"):
        assert all(torch.isfinite(value).all() for name, value in load_file(path).items() if "exp_avg" not in name)


def test_the_objective_mlm_leaves_the_pooler_unchanged(tmp_path: Path, parts: tuple[Corpus, Corpus, Path]) -> None:
    words = learn(tmp_path / "words", parts, replace(QUICK, objective="mlm"))
    both = learn(tmp_path / "both", parts, QUICK)
    pieces = len(both["weight.bert.embeddings.word_embeddings.weight"])
    fresh = dict(new_model(replace(TINY, vocab_size=pieces), 0.0, 0).named_parameters())
    for name in ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "cls.seq_relationship.weight"):
        assert torch.equal(words[f"weight.{name}"], fresh[name]) and not torch.equal(
            both[f"weight.{name}"], fresh[name]
        )
    query = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(words[f"weight.{query}"], fresh[query])
    with (tmp_path / "words" / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["nsp_accuracy"] == "" and float(row["mlm_accuracy"]) >= 0 for row in rows)
    again = learn(tmp_path / "words", parts, replace(QUICK, objective="mlm", steps=10))
    assert torch.equal(again["weight.bert.pooler.dense.weight"], fresh["bert.pooler.dense.weight"])


def test_a_training_continues_from_a_checkpoint(
    run_main: Command, books: Path, parts: tuple[Corpus, Corpus, Path], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, BertModel

    begun = new_model(replace(TINY, vocab_size=len(AutoTokenizer.from_pretrained(parts[2]))), 0.0, 7).bert
    begun.save_pretrained(tmp_path / "begun")
    AutoTokenizer.from_pretrained(parts[2]).save_pretrained(tmp_path / "begun")
    words = [
        f"text={books}", f"model.path={tmp_path}/begun", "held_out=0.1", "tracker=none", "pace.workers=1",
        "pace.threads=1",
        "pace.held_out_rows=32", "pace.held_out_length=32", "pace.progress=false",
        "schedule.lengths={128:0,256:0,64:1}",
        "schedule.tokens=256", "pace.device=cpu", "schedule.steps=2", "schedule.warmup=0",
        f"pace.prepared={tmp_path}/prepared",
    ]  # fmt: skip
    done = run_main(pretrain.main, *words, "output=out", "schedule.rate=0.0")
    assert done.status == 0, done.err
    given, kept = (dict(BertModel.from_pretrained(tmp_path / name).named_parameters()) for name in ("begun", "out"))
    assert given.keys() == kept.keys() and all(torch.equal(given[name], kept[name]) for name in given)
    moved = run_main(pretrain.main, *words, "output=moved", "schedule.objective=mlm", "schedule.dropout=0.1")
    assert moved.status == 0, moved.err
    learnt = dict(BertModel.from_pretrained(tmp_path / "moved").named_parameters())
    assert torch.equal(learnt["pooler.dense.weight"], given["pooler.dense.weight"])
    assert not torch.equal(learnt["embeddings.word_embeddings.weight"], given["embeddings.word_embeddings.weight"])
    assert_refused(run_main(pretrain.main, *words, "output=deep", "shape.layers=2"), "shape", "model.path")
    assert_refused(
        run_main(pretrain.main, *words, "output=long", "schedule.lengths={128:1}"), "64 positions", "schedule.lengths"
    )


def test_training_learns_both_tasks_and_the_checkpoint_is_whole(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path]
) -> None:
    from transformers import AutoTokenizer, BertForPreTraining

    steps = 150
    learn(
        tmp_path,
        parts,
        replace(QUICK, steps=steps, tokens=1024, decay=50),
        replace(PACE, evaluate=steps, held_out_rows=256, snapshots=[4]),
    )
    with (tmp_path / "training.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    # Four themes: a piece that its theme tells is one of six, and a chance pair never shares one.
    assert float(last["nsp_accuracy"]) > 0.9 and float(last["mlm_accuracy"]) > 0.3
    for folder in (tmp_path, tmp_path / "snapshots" / "000004"):
        model, info = BertForPreTraining.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size <= VOCABULARY
    held_out = Examples(parts[1], Vocabulary.of_size(model.config.vocab_size))
    again = evaluate(
        BertForPreTraining.from_pretrained(tmp_path, dtype="float32"), held_out, rows=256, length=32, device="cpu"
    )
    assert abs(again["nsp_accuracy"] - float(last["nsp_accuracy"])) < 0.02  # stored in half precision


def test_two_workers_continue_a_training(run_main: Command, books: Path) -> None:
    words = [
        f"text={books}", "output=out", "held_out=0.1", "tracker=none", "pace.workers=2", "pace.evaluate=2",
        "pace.held_out_rows=32",
        "pace.held_out_length=32", "pace.progress=false", "shape.width=32", "shape.heads=2", "shape.positions=64",
        f"shape.vocab_size={VOCABULARY}", "schedule.lengths={128:0,256:0,64:1}", "schedule.tokens=256",
        "pace.device=cpu",
    ]  # fmt: skip
    first = run_main(pretrain.main, *words, "schedule.steps=2")
    assert first.status == 0, first.err
    again = run_main(pretrain.main, *words, "schedule.steps=4")
    assert again.status == 0 and "checkpoint: out" in again.out
    with Path("out/training.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]

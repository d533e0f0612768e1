"""Tests of fine-tuning: trained weights, order of rows, rate, and a record like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.bundles import read_records
from experiments.cli import read_options
from experiments.configurations import dataset_config
from experiments.studies import finetune
from experiments.studies.finetuning import datasets, rates, trials
from experiments.studies.finetuning.batches import TokenRows, shuffled_batches
from experiments.studies.finetuning.datasets import TokenisedDataset, open_dataset
from experiments.studies.finetuning.model import PooledModel, predict
from experiments.studies.finetuning.options import HEADS, Options, Schedule
from experiments.studies.finetuning.trials import Trial, fit, run_trial
from experiments.tasks import paired_tasks
from src.config.schema import DatasetConfig
from src.errors import UserError
from src.evaluation.estimates import evaluate
from src.results.result import Result, read_predictions
from tests.conftest import SENTENCES, write_csv


@pytest.fixture
def words(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the arguments of a quick tuning on ``toy``, or on the regression ``graded``."""
    for name, number in (("train", 80), ("test", 40)):
        texts = [
            SENTENCES[place % 5] + " the" * (place % 3) + (" cat cat" if place % 2 else " dog")
            for place in range(number)
        ]
        write_csv(
            tmp_path / f"{name}.csv",
            [(text, "ny"["cat cat" in text], len(text.split())) for text in texts],
            ("text", "label", "size"),
        )
    paths = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}

    def config(name: str) -> DatasetConfig:
        if name == "graded":
            return DatasetConfig(name=name, task="regression", text="text", label="size", **paths)
        if name == "folds":
            return DatasetConfig(name=name, text="text", label="label", selection="nested", train=paths["train"])
        return DatasetConfig(name=name, text="text", label="label", **paths)

    monkeypatch.setattr(datasets, "dataset_config", config)
    quick = [
        "runtime.threads=1",
        "runtime.progress=false",
        f"runtime.cache_dir={tmp_path / 'store'}",
        "resamples=100",
        "rate=0.01",
    ]
    return [f"model.path={bert}", f"output={tmp_path / 'out'}", "dataset=toy", "epochs=4", "seeds=0,1", *quick]


def toy(words: list[str]) -> tuple[Options, TokenisedDataset]:
    options = read_options(Options, words)
    return options, open_dataset(options, "toy")


def test_a_record_reads_like_any_other(words: list[str], tmp_path: Path) -> None:
    finetune.main([*words, "dataset=toy,graded"])
    records = {(record.result.dataset, record.result.pooling): record for record in read_records(tmp_path / "out")}
    assert len(records) == 6 and {record.result.probe for record in records.values()} == {"finetune"}
    toy, graded = sorted(paired_tasks(records.values()), key=lambda task: task.classes, reverse=True)
    assert (toy.name, graded.name) == ("toy", "graded") and set(toy.predictions) == set(graded.predictions) == set(
        HEADS
    )
    assert all(drawn.shape == (2, 40) for task in (toy, graded) for drawn in task.predictions.values())
    for (name, pooling), record in records.items():
        task = toy if name == "toy" else graded
        drawn = [
            evaluate(task.metric, task.labels, each, classes=task.classes, resamples=100).value
            for each in task.predictions[pooling]
        ]
        assert record.result.score["value"] == pytest.approx(np.mean(drawn)) and record.result.score["value"] > 0.7
        assert record.result.draws == 2 and record.result.config["probe"]["learning_rate"] == 0.01
        assert read_predictions(tmp_path / "out" / f"{name}-{pooling}")["decision"].shape[:2] == (2, 40)
    assert str(tmp_path) not in (tmp_path / "out" / "toy-cls" / "result.json").read_text()


def test_equal_seeds_give_equal_decisions(words: list[str]) -> None:
    options, _ = toy(words)
    first, again, other = (run_trial(options, Trial("toy", "pooler", 0.01, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first.decisions["test"], again.decisions["test"])
    assert not np.allclose(first.decisions["test"], other.decisions["test"])


@pytest.mark.parametrize("pooling", ["cls", "pooler"])
def test_the_pooler_is_tuned_under_its_own_head_alone(words: list[str], pooling: str) -> None:
    _, dataset = toy(words)
    model, *_ = fit(dataset, Trial("toy", pooling, 0.01, 0), dataset.chosen)
    before, after = dict(dataset.encoder.named_parameters()), dict(model.encoder.named_parameters())
    same = {name for name in before if torch.equal(before[name], after[name])}
    pooler = {name for name in before if name.startswith("pooler.")}
    assert not same & {name for name in before if "layer.0" in name and "key.bias" not in name}
    assert pooler and same & pooler == (set() if pooling == "pooler" else pooler)


@pytest.mark.parametrize("pooling", HEADS)
def test_a_row_scores_the_same_alone_and_padded(words: list[str], pooling: str) -> None:
    _, dataset = toy(words)
    model = PooledModel(dataset.new_encoder(), pooling, 2, segments=True).eval()
    lengths = dataset.train.tokens.lengths
    assert len(set(lengths[:6].tolist())) > 1
    with torch.inference_mode():
        together = model(*dataset.train.batch(np.arange(6)))
        alone = torch.cat([model(*dataset.train.batch(np.array([row]))) for row in range(6)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert np.allclose(predict(model, dataset.train)[:6], alone.numpy(), atol=1e-5)


def test_an_epoch_takes_every_row_once_in_batches_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 1000)
    batches = list(shuffled_batches(lengths, 32, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000)) and max(map(len, batches)) == 32
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()
    again, other = (list(shuffled_batches(lengths, 32, np.random.default_rng(seed))) for seed in (1, 2))
    assert all(map(np.array_equal, batches, again)) and not all(map(np.array_equal, batches, other))


@pytest.mark.parametrize("rows", [1, 33, 5000])
def test_the_rate_rises_to_its_peak_and_falls_to_the_end(rows: int) -> None:
    schedule = Schedule(epochs=3, batch=32, rows=None)
    steps = schedule.steps(rows)
    shares = [schedule.rate_share(step, steps) for step in range(steps)]
    peak = int(np.argmax(shares))
    assert max(shares) == 1 and min(shares) > 0 and peak <= 0.1 * steps
    assert (np.diff(shares[: peak + 1]) > 0).all() and (np.diff(shares[peak:]) < 0).all()


def test_the_rate_is_chosen_on_training_rows_that_were_held_out(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    original = trials.fit

    def watched(dataset: TokenisedDataset, trial: Trial, rows: np.ndarray) -> tuple[PooledModel, float, float]:
        seen.append(rows)
        return original(dataset, trial, rows)

    monkeypatch.setattr(trials, "fit", watched)
    asked = [*words, "rate=0.00001,0.01", "pooling=cls", "seeds=0"]
    finetune.main(asked)
    _, dataset = toy(asked)
    held = dataset.chosen[dataset.holdout_mask()]
    assert 0 < len(held) < 40 and len(seen) == 2 + 1
    assert not any(np.isin(held, rows).any() for rows in seen[:-1]) and len(seen[-1]) == 80
    (kept,) = json.loads((tmp_path / "out" / rates.FILE).read_text()).values()
    assert kept["value"] == 0.01 == min(kept["grid"], key=lambda entry: entry["loss"])["value"]
    result = Result.read(tmp_path / "out" / "toy-cls")
    assert (
        result.chosen["grid"] == kept["grid"]
        and result.chosen["at_edge"] == "last"
        and result.config["probe"]["chosen_on"] == "toy"
    )
    finetune.main([*asked, "pooling=mean,cls"])
    assert len(seen) == 3 + 3  # each pooling has its own choice, and that of [CLS] is kept


def test_a_rate_that_diverges_is_not_chosen(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = trials.fit

    def diverging(dataset: TokenisedDataset, trial: Trial, rows: np.ndarray) -> tuple[PooledModel, float, float]:
        if trial.rate > 0.01:
            raise trials.DivergenceError("the loss is not finite")
        return original(dataset, trial, rows)

    monkeypatch.setattr(trials, "fit", diverging)
    asked = [*words, "pooling=cls", "seeds=0"]
    finetune.main([*asked, "rate=0.01,0.9"])
    assert Result.read(tmp_path / "out" / "toy-cls").config["probe"]["learning_rate"] == 0.01
    with pytest.raises(SystemExit):
        finetune.main([*asked, "rate=0.8,0.9", f"output={tmp_path}/other"])
    assert "any rate" in capsys.readouterr().err


@pytest.mark.parametrize("kept", ["[1", '{"a": {"value": 1, "grid": ["a"]}}', "{}"])
def test_damaged_rates_are_chosen_again(kept: str, words: list[str], tmp_path: Path) -> None:
    asked = [*words, "rate=0.00001,0.01", "pooling=cls", "seeds=0"]
    finetune.main(asked)
    path = tmp_path / "out" / rates.FILE
    chosen = path.read_text()
    (key,) = json.loads(chosen)
    path.write_text(kept.replace('"a":', f'"{key}":'))
    finetune.main(asked)
    assert path.read_text() == chosen


def test_the_held_out_rows_are_a_fifth_of_those_in_use(words: list[str]) -> None:
    _, dataset = toy([*words, "rows=30"])
    assert dataset.holdout_mask().sum() == 6


def test_rows_limits_the_training_rows(words: list[str]) -> None:
    _, whole = toy(words)
    _, part = toy([*words, "rows=30"])
    assert len(whole.chosen) == 80 and len(part.chosen) == len(set(part.chosen.tolist())) == 30
    assert part.data.identity() == whole.data.identity() and part.identity() != whole.identity()


def test_take_returns_the_chosen_rows(words: list[str]) -> None:
    _, dataset = toy(words)
    chosen = np.array([7, 2, 30])
    taken: TokenRows = dataset.train.take(chosen)
    assert all(map(torch.equal, taken.batch(np.arange(3)), dataset.train.batch(chosen)))
    assert np.array_equal(taken.label, dataset.train.label[chosen])


def test_a_finished_cell_is_not_tuned_again(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*words, "pooling=cls", "seeds=0", "epochs=1"]
    finetune.main(asked)

    def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(trials, "fit", never)
    finetune.main(asked)
    with pytest.raises(SystemExit):
        finetune.main([*asked, "seeds=3"])
    assert "another tuning" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("output=", "output is not set"),
        ("pooling=max", "Known: cls, mean, pooler"),
        ("seeds=a", "seeds=a"),
        ("seeds=-1", "seeds=-1"),
        ("rate=3", "between 0 and 1"),
        ("rate=0.1,2", "between 0 and 1"),
        ("epochs=0", "at least 1"),
        ("batch=many", "batch=many"),
        ("epochs=null", "epochs=null"),
        ("runtime.threads=all", "runtime.threads=all"),
        ("epoch=1", "did you mean 'epochs'"),
        ("dataset=folds", "scored in folds"),
        ("model.path=nowhere/at/all", "no such folder"),
    ],
)
def test_a_refusal_names_the_option(
    words: list[str], changed: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        finetune.main([*words, changed])
    error = capsys.readouterr().err
    assert ended.value.code == 1 and said in error and error.startswith("error: ") and len(error.splitlines()) <= 3


def test_a_head_that_the_checkpoint_lacks_is_refused(
    make_checkpoint: Callable[..., Path], vocabulary: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import BertConfig, BertForMaskedLM

    from tests.conftest import SMALL

    bare = make_checkpoint(BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), **SMALL)), "no-pooler")
    with pytest.raises(SystemExit):
        finetune.main([*words, f"model.path={bare}"])
    assert "no trained pooler" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_the_rate(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, dataset = toy(words)
    monkeypatch.setattr(trials, "cross_entropy", lambda output, _: output.sum() * float("nan"))
    with pytest.raises(UserError, match=r"Lower rate=0\.01"):
        fit(dataset, Trial("toy", "cls", 0.01, 0), dataset.chosen)


def test_a_dataset_is_named_as_in_conf() -> None:
    assert dataset_config("demo_sentiment").task == "classification"
    with pytest.raises(UserError, match="did you mean 'sst2'"):
        dataset_config("sst22")

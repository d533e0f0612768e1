"""Bad data and bad models are refused in one to three lines, before anything is computed or downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src import extract, run
from tests.cli.refusals import Command, assert_refused
from tests.conftest import SENTENCES, SMALL, write_csv


def edited(name: str, rows: Callable[[], list[tuple[str, object]]]) -> Callable[[Path], None]:
    return lambda folder: write_csv(folder / f"{name}.csv", rows())


def labelled(*labels: object) -> Callable[[], list[tuple[str, object]]]:
    return lambda: [(SENTENCES[place % 5], label) for place, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("spoil", "words", "named"),
    [
        (lambda folder: (folder / "train.csv").unlink(), [], ["no file 'train.csv'"]),
        (lambda folder: (folder / "test.csv").unlink(), [], ["no file 'test.csv'"]),
        (lambda folder: (folder / "train.csv").write_bytes(b""), [], ["'train.csv' is empty"]),
        (lambda folder: (folder / "train.csv").write_bytes(b"text,label\n"), [], ["'train.csv' has no rows"]),
        (
            lambda folder: (folder / "train.csv").write_bytes(b"text,label\ncaf\xe9,a\n"),
            [],
            ["'train.csv' line 2", "UTF-8", "iconv"],
        ),
        (edited("train", labelled(*"aaaa")), [], ["'train'", "one label 'a'"]),
        (edited("test", labelled("no", "maybe")), [], ["'test'", "label 'maybe'", "'train' lacks"]),
        (edited("train", labelled("a", "b", "nan")), [], ["'train.csv': row 3", "'nan'"]),
        (edited("train", labelled("a", "b", "")), [], ["'train.csv': row 3", "no label"]),
        (edited("train", labelled(*"aabb")), ["dataset.selection=folds"], ["4 rows", "10 folds"]),
        (edited("train", labelled(*"aabb")), ["dataset.selection=nested", "dataset.test=null"], ["4 rows", "10 folds"]),
        (
            edited("train", labelled(*["no", "yes"] * 20)),
            ["dataset.selection=folds"],
            ["distinct training rows", "10 folds"],
        ),
        (edited("train", lambda: [("yes", "no"), ("a dog", "yes")] * 3), [], ["2 of them distinct", "too few"]),
        (
            edited("train", labelled(1.5, 2, "high")),
            ["dataset.task=regression"],
            ["'train.csv': row 3", "'high'", "number"],
        ),
        (None, ["dataset.text=sentence"], ["no column 'sentence'", "text, label"]),
        (None, ["dataset.label=gold"], ["no column 'gold'", "text, label"]),
        (None, ["dataset.train=null"], ["dataset.train=<file>"]),
        (None, ["dataset.test=null"], ["dataset.test=<file>", "dataset.test_fraction"]),
        (None, ["dataset.test_fraction=0.2"], ["dataset.test"]),
        (None, ["dataset.selection=nested"], ["dataset.selection=nested"]),
        (None, ["dataset.selection=development"], ["dataset.selection=development"]),
        (None, ["dataset=mr"], ["mr: dataset.train is for your own files"]),
        (
            None,
            ["dataset=rte", "dataset.train=null", "dataset.test=null", "data_root=nowhere"],
            ["data_root 'nowhere'"],
        ),
    ],
)
def test_bad_data_is_refused_before_a_model_is_loaded(
    run_main: Command,
    files: list[str],
    tmp_path: Path,
    no_forward_pass: None,
    spoil: Any,
    words: list[str],
    named: list[str],
) -> None:
    if spoil:
        spoil(tmp_path)
    assert_refused(run_main(run.main, *files, *words), *named)


def test_local_data_is_read_before_a_model_is_downloaded(run_main: Command, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "test.csv").unlink()
    assert_refused(run_main(run.main, *files, "model.path=owner/name"), "'test.csv'")


def test_a_local_model_is_read_before_a_dataset_is_downloaded(run_main: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(
        run_main(run.main, f"model.path={tmp_path / 'empty'}", "dataset=rte", "tracker=none"), "empty", "config.json"
    )


def test_no_network_names_the_way_out(run_main: Command, files: list[str], bert: Path) -> None:
    assert_refused(run_main(run.main, *files, "model.path=owner/name"), "'owner/name'", "model.path=<folder>")
    assert_refused(run_main(run.main, f"model.path={bert}", "dataset=rte", "tracker=none"), "rte", "data_root=")


def test_online_without_a_key_is_refused(run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: "no W&B API key was found")
    assert_refused(
        run_main(run.main, *files, "tracker=wandb", "tracker.mode=online"),
        "tracker.mode=online",
        "tracker.mode=offline",
        "tracker=none",
    )


@pytest.fixture(scope="module")
def broken(
    make_checkpoint: Callable[..., Path], bert: Path, vocabulary: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of checkpoints, each with something wrong."""
    from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertModel

    folder = tmp_path_factory.mktemp("broken")
    small = BertConfig(vocab_size=len(vocabulary), **SMALL)
    distilled = DistilBertConfig(
        vocab_size=len(vocabulary), dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=32
    )
    shutil.copytree(make_checkpoint(BertForMaskedLM(small)), folder / "missing")
    shutil.copytree(make_checkpoint(DistilBertModel(distilled)), folder / "absent")
    for name, size in (("cut", 2000), ("torn", 5)):
        shutil.copytree(bert, folder / name)
        os.truncate(folder / name / "model.safetensors", size)
    shutil.copytree(bert, folder / "mute", ignore=shutil.ignore_patterns("tokenizer*"))
    (folder / "nothing").mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("missing", ["has no trained pooler", "pooler.dense.weight", "Choose another pooling"]),
        ("absent", ["has no pooler", "Choose another pooling"]),
        ("cut", ["cannot be loaded", "cut short"]),
        ("torn", ["cannot be loaded", "cut short"]),
        ("mute", ["tokenizer"]),
        ("nothing", ["is no model", "config.json"]),
        ("cut model.revision=main", ["model.revision=main", "model.revision=null"]),
        ("nowhere", ["no such folder", "hub id"]),
    ],
)
def test_bad_models_are_refused(run_main: Command, files: list[str], broken: Path, name: str, named: list[str]) -> None:
    folder, *words = name.split(" ")
    ended = run_main(run.main, *files, f"model.path={broken / folder}", *words, "pooling=pooler")
    assert_refused(ended, folder, *named)


def test_extract_refuses_like_run(run_main: Command, files: list[str], broken: Path) -> None:
    for words in (["pooling=clss"], ["seed=abc"], [f"model.path={broken / 'cut'}"], ["dataset.train=nowhere.csv"]):
        assert_refused(
            run_main(extract.main, *files, *words, "output=out"), words[0].rpartition("=")[2].rpartition("/")[2]
        )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["layer=3"], ["layer=3 is out of range", "0 (embeddings) to 2"]),
        (["layer=-4"], ["layer=-4 is out of range"]),
        (["pooling=pooler", "layer=1"], ["'pooler'", "layer=1", "pooling=cls"]),
        (["pooling=last4_mean"], ["'last4_mean'", "2 layers"]),
        (["runtime.also_layers=[9]"], ["layer=9 is out of range"]),
        (["model.max_length=99"], ["model.max_length=99", "32"]),
        (["runtime.attention=nowhere"], ["runtime.attention=nowhere"]),
    ],
)
def test_settings_that_the_checkpoint_does_not_support_are_refused(
    run_main: Command, files: list[str], words: list[str], named: list[str]
) -> None:
    assert_refused(run_main(run.main, *files, *words), *named)

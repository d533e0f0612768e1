"""Bad input ends with exit status 1 and one to three lines that name it; nothing is computed, downloaded or lost on the way."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src import extract, run
from src.cli.messages import exit_with_error, format_crash, format_error, print_text
from src.cli.overrides import GROUPS
from src.cli.streams import PrintableFormatter, TolerantFile, open_streams
from src.errors import UserError, printable
from tests.conftest import SENTENCES, SMALL, Ended, write_csv

ROOT = Path(__file__).resolve().parents[2]
Door = Callable[..., Ended]


@pytest.fixture
def no_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("src.features.extractor.load_encoder", refuse)


def refused(ended: Ended, *named: str) -> None:
    """The law of every refusal."""
    assert ended.status == 1, ended
    assert ended.lines[0].startswith("error: ")
    assert 1 <= len(ended.lines) <= 3, ended.err
    assert max(map(len, ended.lines)) < 400
    assert "Traceback" not in ended.err
    assert ended.err == printable(ended.err)
    assert not ended.out
    for text in named:
        assert text in ended.err, ended.err


OPTIONS = {
    "pooling": "pooling=clss",
    "dataset": "dataset=rt",
    "model": "model=bert-base-uncase",
    "probe": "probe=logistc",
    "tracker": "tracker=wand",
    "runtime": "runtime=aut",
}


@pytest.mark.parametrize("group", GROUPS)
def test_an_unknown_option_names_the_nearest(door: Door, group: str) -> None:
    refused(
        door(run.main, OPTIONS[group]), f"unknown {group} ", OPTIONS[group].partition("=")[2], "did you mean", "Known: "
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        # keys
        ("trackr=none", ["unknown key 'trackr'", "did you mean 'tracker'"]),
        ("dataset.txt=a", ["dataset: unknown key 'txt'", "did you mean 'text'"]),
        ("runtime.thread=2", ["runtime: unknown key 'thread'", "did you mean 'threads'"]),
        ("probe.grid.alpah=[1.0]", ["probe.grid: unknown key 'alpah'", "did you mean 'alpha'"]),
        ("dataset=cola dataset.local.encodng=ascii", ["dataset.local: unknown key 'encodng'", "did you mean 'encoding'"]),
        ("hydra.run.dr=x", ["hydra.run: unknown key 'dr'", "did you mean 'dir'"]),
        ("+new=1", ["unknown key 'new'"]),
        # values
        ("seed=abc", ["seed: a whole number", "'abc'"]),
        ("seed=-1", ["seed=-1", "at least 0"]),
        ("seed=\x1b[2J", [r"\x1b"]),
        ("pooling='a\u202eb\x07'", [r"unknown pooling 'a\u202eb\x07'"]),
        ("seed=null", ["seed: a whole number"]),
        ("seed=???", ["seed", "Missing"]),
        ("seed=${nowhere}", ["seed", "'nowhere'"]),
        ("layer=x", ["layer: a whole number", "'x'"]),
        ("draws=0", ["draws=0", "at least 1"]),
        ("draws=1001", ["draws=1001", "at most 1,000"]),
        ("dataset.folds=1001", ["dataset.folds=1001", "at most 1,000"]),
        ("probe.resamples=1000001", ["probe.resamples=1000001", "at most 1,000,000"]),
        ("runtime.threads=-1", ["runtime.threads=-1", "at least 1"]),
        ("runtime.progress=maybe", ["runtime.progress: true or false", "'maybe'"]),
        ("runtime.device=gpu", ["unknown runtime.device 'gpu'", "cuda"]),
        ("dataset.classes=abc", ["dataset.classes: a list"]),
        ("dataset.hub=3", ["dataset.hub: a mapping"]),
        ("dataset.metric=acuracy", ["'acuracy'", "did you mean 'accuracy'"]),
        ("dataset.metric=pearson", ["'pearson' is for regression", "Allowed: accuracy"]),
        ("dataset.task=ranking", ["unknown dataset.task 'ranking'", "classification"]),
        ("tracker.mode=of", ["unknown tracker.mode 'of'", "offline"]),
        ("dataset=cola pairing=separate", ["pairing=separate", "cola", "dataset.text_pair"]),
        ("pooling=pooler layer=1 model.path=/nowhere", ["/nowhere"]),
        ("pooling=pooler layer=-2", ["'pooler'", "layer=-2", "pooling=cls"]),
        ("probe=ridge", ["probe=ridge", "probe=logistic"]),
        ("probe.grid.alpha=[]", ["probe.grid", "alpha"]),
        ("+probe.grid.beta=[1]", ["probe.grid.beta", "Known: alpha"]),
        ("probe.grid.alpha=[x]", ["probe.grid.alpha", "'x'"]),
        ("probe=logistic +probe.grid.beta=[1]", ["probe.grid", "beta", "probe.grid.alpha=null"]),
        ("probe.estimator._target_=os.system", ["os.system", "no estimator"]),
        ("probe.estimator._target_=nowhere.Thing", ["nowhere.Thing", "cannot be found"]),
        ("probe.estimator._target_=collections.OrderedDict", ["collections.OrderedDict", "fit and predict"]),
        ("probe=logistic +probe.estimator.shape=1", ["'shape'", "cannot be made"]),
        ("probe.estimator._target_=sklearn.cluster.KMeans", ["KMeans", "alpha", "n_clusters"]),
        ("probe.estimator._target_=sklearn.linear_model.Ridge", ["sklearn.linear_model.Ridge", "classifier"]),
        # Hydra's own refusals
        ("dataset.train=a=b", ["'dataset.train=a=b'", "quoted twice"]),
        ("dataset.train=a,b", ["'dataset.train=a,b'", "-m", "quoted twice"]),
        ('dataset.train="abc', ["dataset.train=", "quoted twice"]),
        ("dataset.train=[a", ["'dataset.train=[a'", "quoted twice"]),
        ("seed", ["'seed'", "key=value"]),
        ("=3", ["'=3'", "no key"]),
        ("~seed", ["'~seed'", "every run needs"]),
        ("~tracker", ["'~tracker'", "every run needs"]),
        ("tracker=null", ["'tracker=null'", "one of its options"]),
        ("hydra/launcher=nowhere", ["hydra/launcher", "'nowhere'", "basic"]),
        ("experiment=nope", ["experiment", "+experiment=nope"]),
        ("+experiment=nope", ["experiment", "'nope'"]),
        ("--config-dir nowhere", ["nowhere"]),
        ("--config-name nope", ["'nope'"]),
        ("--config-dir", ["--config-dir", "--help"]),
        ("--run -m", ["--multirun"]),
        ("-m pooling=cls,clss", ["unknown pooling 'clss'"]),
        ("-m seed=0,x", ["seed: a whole number", "'x'"]),
        # folders
        ("hydra.run.dir=/dev/null/x", ["'/dev/null/x'", "hydra.run.dir"]),
        ("hydra.run.dir=/proc/x", ["'/proc/x'", "hydra.run.dir"]),
        ("-m hydra.sweep.dir=/dev/null/x seed=0,1", ["'/dev/null/x'", "hydra.sweep.dir"]),
        ("runtime.cache_dir=/dev/null/x model.path=x", ["/dev/null/x", "runtime.cache_dir"]),
        ("runtime.cache_dir=/proc/x model.path=x", ["/proc/x", "runtime.cache_dir"]),
        ("tracker=none model=checkpoint", ["no model is named", "model.path"]),
    ],
)  # fmt: skip
def test_bad_words_are_refused_before_anything_is_read(
    door: Door, no_forward_pass: None, words: str, named: list[str]
) -> None:
    refused(door(run.main, *words.split(" ")), *named)


@pytest.mark.parametrize("place", ["hydra.run.dir", "runtime.cache_dir"])
@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_where_a_folder_belongs(door: Door, files: list[str], place: str, below: str) -> None:
    refused(door(run.main, *files, f"{place}=train.csv{below}"), f"train.csv{below}", place)


def test_a_folder_where_a_file_belongs(door: Door, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0" / "failure.json").mkdir(parents=True)
    ended = door(run.main, "-m", *files, "layer=9", "hydra.sweep.dir=sweep")
    assert ended.status == 1 and "0 done, 0 skipped, 1 failed" in ended.out and "Traceback" not in ended.err


def test_a_path_with_a_space_that_is_no_folder_and_no_hub_id(door: Door) -> None:
    refused(door(run.main, "model.path=a b"), "'a b'", "hub id")


SECRET = "s3cr3t"
ADDRESS = f"https://user:{SECRET}@host/rows.csv"


def holding(folder: Path, text: str) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]


@pytest.mark.parametrize("main", [run.main, extract.main])
@pytest.mark.parametrize("sweeps", [[], ["-m", "pooling=cls,mean"]])
@pytest.mark.parametrize(
    "word",
    [
        f'dataset.train="{ADDRESS}"',
        f'model.path="https://{SECRET}@host/model"',
        f'dataset.name="s3://key:{SECRET}@bucket"',
        f'+hydra.job.env_set.PROXY="http://u:{SECRET}@proxy"',
        f'data_root="https://host/x?sig={SECRET}"',
        f'output="{ADDRESS}"',
        f"seed={ADDRESS}",
        f"--config-dir={ADDRESS}",
    ],
)
def test_credentials_are_refused_before_anything_is_written(
    door: Door, files: list[str], tmp_path: Path, main: Callable[[], None], sweeps: list[str], word: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    refused(ended := door(main, *sweeps, *files, word), "***")
    assert SECRET not in ended.err and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "key", ["dataset.name", "dataset.train", "model.path", "data_root", "tracker.project", "dataset.text"]
)
def test_what_an_interpolation_stands_for_is_not_written_down(
    door: Door, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_forward_pass: None, key: str
) -> None:
    monkeypatch.setenv("DATA_URL", ADDRESS)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    word = f'{key}="${{oc.env:DATA_URL}}"'
    one = door(run.main, *files, "tracker=wandb", word, "hydra.run.dir=one")
    several = door(run.main, "-m", *files, "tracker=wandb", word, "hydra.sweep.dir=several", "pooling=cls,mean")
    for ended in (one, several):
        assert ended.status == 1 and "Traceback" not in ended.err and SECRET not in ended.err + ended.out
    assert not holding(tmp_path, SECRET)
    assert holding(tmp_path, "oc.env:DATA_URL")


@pytest.mark.parametrize("key", ["hydra.sweep.dir", "hydra.run.dir"])
def test_a_folder_is_not_called_by_a_secret(
    door: Door, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("DATA_URL", ADDRESS)
    refused(door(run.main, *(["-m"] * ("sweep" in key)), *files, f"{key}=${{oc.env:DATA_URL}}"), key, "***")
    assert not holding(tmp_path, SECRET)


@pytest.mark.parametrize("main", [run.main, extract.main])
@pytest.mark.parametrize(
    "sweeps", [[], ["-m", "pooling=cls,mean"], ["-m", "pooling=cls,mean", "hydra/launcher=joblib"]]
)
@pytest.mark.parametrize(
    "word",
    [
        "output=${nope}",
        'dataset.name="${nope}"',
        'dataset.train="${oc.env:NOT_SET_ANYWHERE}"',
        "layer=${dataset.nope}",
        "seed=${a.b}",
        "hydra.sweep.dir=${nope}",
        'dataset.name="${dataset.name}"',
        'dataset.name="${nope:3}"',
        "dataset.train=\udcff",
    ],
)
def test_what_cannot_be_resolved_is_one_line(
    door: Door, files: list[str], no_forward_pass: None, main: Callable[[], None], sweeps: list[str], word: str
) -> None:
    if "sweep" in word and not sweeps:
        word = word.replace("sweep", "run")
    ended = door(
        main,
        *sweeps,
        *files,
        *([] if word.startswith("output") else ["output=features"] * (main is extract.main)),
        word,
    )
    refused(ended)
    assert len(ended.lines) == 1


@pytest.mark.parametrize(
    "word", ["pooling=glob(zzz*)", "seed=range(5,1)", "seed=range(0,1000000000)", "seed=range(0,1,0.000001)"]
)
def test_a_sweep_of_no_jobs_or_of_too_many_is_refused(door: Door, files: list[str], tmp_path: Path, word: str) -> None:
    refused(door(run.main, "-m", *files, "hydra.sweep.dir=here", word), word)
    assert not (tmp_path / "here").exists()


def test_a_long_word_is_not_repeated_whole(door: Door) -> None:
    refused(door(run.main, "x" * 5000))
    refused(door(run.main, f"hydra.run.dir={'x' * 3000}"))


@pytest.mark.parametrize("sweeps", [[], ["-m", "pooling=cls,mean"]])
def test_a_job_that_changes_its_folder_reads_the_paths_of_the_command(
    door: Door, files: list[str], tmp_path: Path, sweeps: list[str]
) -> None:
    words = ["hydra.job.chdir=True", "runtime.cache_dir=store", f"hydra.{'sweep' if sweeps else 'run'}.dir=here"]
    ended = door(run.main, *sweeps, *files, *words)
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "here").rglob("result.json"))) == (2 if sweeps else 1) and (tmp_path / "store").is_dir()
    ended = door(extract.main, *sweeps, *files, *words, "output=features/${pooling.name}")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "features").rglob("train.safetensors"))) == (2 if sweeps else 1)


@pytest.mark.parametrize("main", [run.main, extract.main])
@pytest.mark.parametrize("word", ["--nope", "-x", "--multirunn"])
def test_an_unknown_flag_ends_with_status_2(door: Door, main: Callable[[], None], word: str) -> None:
    ended = door(main, "pooling=cls", word)
    assert ended.status == 2
    assert len(ended.lines) == 1 and word in ended.err and "--help" in ended.err


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
    door: Door, files: list[str], tmp_path: Path, no_forward_pass: None, spoil: Any, words: list[str], named: list[str]
) -> None:
    if spoil:
        spoil(tmp_path)
    refused(door(run.main, *files, *words), *named)


def test_data_that_is_here_is_read_before_a_model_is_fetched(door: Door, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "test.csv").unlink()
    refused(door(run.main, *files, "model.path=owner/name"), "'test.csv'")


def test_a_model_that_is_here_is_read_before_a_dataset_is_fetched(door: Door, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(door(run.main, f"model.path={tmp_path / 'empty'}", "dataset=rte", "tracker=none"), "empty", "config.json")


def test_no_network_names_the_way_out(door: Door, files: list[str], bert: Path) -> None:
    refused(door(run.main, *files, "model.path=owner/name"), "'owner/name'", "model.path=<folder>")
    refused(door(run.main, f"model.path={bert}", "dataset=rte", "tracker=none"), "rte", "data_root=")


def test_online_without_a_key(door: Door, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: "no W&B API key was found")
    refused(
        door(run.main, *files, "tracker=wandb", "tracker.mode=online"),
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
        ("missing", ["'missing' has no trained pooler", "pooler.dense.weight", "Choose another pooling"]),
        ("absent", ["'absent'", "has no pooler", "Choose another pooling"]),
        ("cut", ["'cut' cannot be loaded", "cut short"]),
        ("torn", ["'torn' cannot be loaded", "cut short"]),
        ("mute", ["mute", "tokenizer"]),
        ("nothing", ["nothing is no model", "config.json"]),
        ("cut model.revision=main", ["model.revision=main", "a folder has no revision", "model.revision=null"]),
        ("nowhere", ["nowhere: no such folder", "hub id"]),
    ],
)
def test_bad_models(door: Door, files: list[str], broken: Path, name: str, named: list[str]) -> None:
    folder, *words = name.split(" ")
    refused(door(run.main, *files, f"model.path={broken / folder}", *words, "pooling=pooler"), *named)


def test_the_second_door_refuses_alike(door: Door, files: list[str], broken: Path) -> None:
    for words in (["pooling=clss"], ["seed=abc"], [f"model.path={broken / 'cut'}"], ["dataset.train=nowhere.csv"]):
        refused(door(extract.main, *files, *words, "output=out"), words[0].rpartition("=")[2].rpartition("/")[2])


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
def test_what_only_the_checkpoint_can_tell(door: Door, files: list[str], words: list[str], named: list[str]) -> None:
    refused(door(run.main, *files, *words), *named)


def test_paths_with_commas_equals_signs_and_spaces(door: Door, files: list[str], tmp_path: Path, bert: Path) -> None:
    odd = tmp_path / "we,ird =dir"
    shutil.copytree(bert, odd / "bert")
    shutil.copy(tmp_path / "train.csv", odd / "tr,ain =x.csv")
    words = [
        f'model.path="{odd / "bert"}"',
        f'dataset.train="{odd / "tr,ain =x.csv"}"',
        f'runtime.cache_dir="{odd / "cache"}"',
    ]
    assert door(run.main, *files, *words, f'hydra.run.dir="{odd / "out"}"').status == 0
    assert (odd / "out" / "result.json").is_file()
    assert door(run.main, "-m", *files, *words, f'hydra.sweep.dir="{odd / "sweep"}"', "pooling=cls,max").status == 0
    assert (odd / "sweep" / "1" / "result.json").is_file()


def test_a_flag_may_stand_amid_the_overrides(door: Door, files: list[str], tmp_path: Path) -> None:
    ended = door(run.main, *files, "-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", "pooling=cls")
    assert ended.status == 0 and "1 done" in ended.out


def test_a_bug_of_ours_keeps_its_traceback(door: Door, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("src.pipeline.run.prepare", fail)
    with pytest.raises(RuntimeError, match="unforeseen"):
        door(run.main, *files)


def test_a_folder_that_fails_midway_takes_one_line(
    door: Door, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")

    monkeypatch.setattr("src.pipeline.run.prepare", fail)
    refused(door(run.main, *files), "'/somewhere'", "No space left")


def test_an_interruption_takes_one_line(door: Door, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("src.pipeline.run.prepare", interrupt)
    ended = door(run.main, *files)
    assert ended.status == 130 and len(ended.lines) == 1 and "goes on from there" in ended.err


def test_an_interrupted_pass_keeps_its_shards(
    door: Door, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.storage.shards import ShardStore

    write_csv(
        tmp_path / "train.csv",
        [(SENTENCES[place % 5] + f" {place}" * 9, ("no", "yes")[place % 2]) for place in range(2_000)],
    )
    write = ShardStore.commit

    def interrupted(self: ShardStore, number: int) -> Path:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started with it ignored
        signal.raise_signal(signal.SIGINT)
        return write(self, number)

    with monkeypatch.context() as stopped:
        stopped.setattr(
            ShardStore,
            "commit",
            lambda self, number: (interrupted if any(self.folder.glob("*.npy")) else write)(self, number),
        )
        assert door(run.main, *files, "runtime.token_budget=256").status == 130
    assert len(list(tmp_path.glob("cache/*/partial/*/*.npy"))) == 1
    ended = door(run.main, *files, "runtime.token_budget=256")
    assert ended.status == 0, ended.err
    assert "cache                        partial" in ended.out


def test_what_nobody_foresaw_still_has_a_line() -> None:
    assert format_error(ValueError()) == "ValueError"
    assert format_error(ValueError("one\ntwo:\nthree")) == "one"
    assert format_error(UserError("a\nb")) == "a\nb"
    assert format_crash(KeyError("x")) == "KeyError: 'x'"


def test_a_reader_that_leaves_stops_no_work() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with TolerantFile(writing, "w") as stream:
        assert stream.write(b"unheard") == 7


def test_closed_streams_are_opened_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
        monkeypatch.setattr(sys, f"__{name}__", None)
    open_streams()
    try:
        assert sys.stdin.read() == ""
        assert sys.stdout.write("unheard") == sys.stderr.write("unheard") == 7
        assert not sys.stdout.isatty()
    finally:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.close()


def test_what_reaches_a_terminal_cannot_command_it(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2J\rb\x9b\u2028\ud800\nc é 数 \u200d"
    harmless = "a\\x1b[2J\\rb\\x9b\\u2028\\ud800\nc é 数 \u200d"
    print_text(evil)
    with pytest.raises(SystemExit):
        exit_with_error(evil)
    captured = capsys.readouterr()
    assert captured.out == f"{harmless}\n"
    assert captured.err == f"error: {harmless}\n"
    assert PrintableFormatter().format(logging.LogRecord("src", logging.INFO, "", 0, "%s", (evil,), None)) == harmless


# The real thing: a process of its own -------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache"), "WANDB_MODE": "disabled"}


@pytest.mark.parametrize("name", ["src.run", "src.extract"])
def test_help_is_quick_and_imports_no_torch(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    code = f"import runpy, sys as s; s.argv = ['', '--help']\ntry: runpy.run_module('{name}', run_name='__main__')\nfinally: print(*s.modules)"
    environment = {
        name: value for name, value in environment.items() if not name.startswith("COV")
    }  # measuring takes longer than helping
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stderr
    assert "pooling: " in ended.stdout and "first_last_mean" in ended.stdout
    heavy = {"torch", "transformers", "sklearn", "datasets", "wandb", "pandas", "scipy"}
    assert not heavy & set(ended.stdout.splitlines()[-1].split())
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_a_broken_pipe_shows_no_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "src.run", "--help"]
    piped = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert piped.stdout is not None and piped.stderr is not None
    piped.stdout.close()
    assert piped.stderr.read() == ""
    assert piped.wait() == 0


def test_a_good_run_says_nothing_that_is_not_ours(
    environment: dict[str, str], files: list[str], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "src.run", *files], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.split(":")[0].split(" ")[0] for line in ended.stderr.splitlines()] == [
        "loading",
        "files/train",
        "files/test",
    ]

"""Credentials, and interpolations that resolve to them, are refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from src import extract, run
from tests.cli.refusals import Command, assert_refused

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
    run_main: Command, files: list[str], tmp_path: Path, main: Callable[[], None], sweeps: list[str], word: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert_refused(ended := run_main(main, *sweeps, *files, word), "***")
    assert SECRET not in ended.err and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "key", ["dataset.name", "dataset.train", "model.path", "data_root", "tracker.project", "dataset.text"]
)
def test_a_resolved_interpolation_is_not_written_down(
    run_main: Command,
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_forward_pass: None,
    key: str,
) -> None:
    monkeypatch.setenv("DATA_URL", ADDRESS)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    word = f'{key}="${{oc.env:DATA_URL}}"'
    one = run_main(run.main, *files, "tracker=wandb", word, "hydra.run.dir=one")
    several = run_main(run.main, "-m", *files, "tracker=wandb", word, "hydra.sweep.dir=several", "pooling=cls,mean")
    for ended in (one, several):
        assert ended.status == 1 and "Traceback" not in ended.err and SECRET not in ended.err + ended.out
    assert not holding(tmp_path, SECRET)
    assert holding(tmp_path, "oc.env:DATA_URL")


@pytest.mark.parametrize("key", ["hydra.sweep.dir", "hydra.run.dir"])
def test_a_folder_with_credentials_in_its_name_is_refused(
    run_main: Command, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("DATA_URL", ADDRESS)
    assert_refused(run_main(run.main, *(["-m"] * ("sweep" in key)), *files, f"{key}=${{oc.env:DATA_URL}}"), key, "***")
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
def test_an_interpolation_that_cannot_be_resolved_is_one_line(
    run_main: Command, files: list[str], no_forward_pass: None, main: Callable[[], None], sweeps: list[str], word: str
) -> None:
    if "sweep" in word and not sweeps:
        word = word.replace("sweep", "run")
    ended = run_main(
        main,
        *sweeps,
        *files,
        *([] if word.startswith("output") else ["output=features"] * (main is extract.main)),
        word,
    )
    assert_refused(ended)
    assert len(ended.lines) == 1

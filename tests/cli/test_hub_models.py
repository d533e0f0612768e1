"""A model of the hub is an option of its own: model=OWNER/NAME, in runs, sweeps and experiments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src import extract, predict, run
from src.config.paths import CONF
from src.runtime.hub import is_hub_id
from tests.cli.refusals import Command, assert_refused
from tests.config.test_conf import composed
from tests.helpers.hub import COMMIT, cache_repository


@pytest.fixture
def cached(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the tests' BERT into a cache of the hub, and return its id."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cache_repository(tmp_path / "hub", "models", "me/tiny-bert", bert)
    return "me/tiny-bert"


@pytest.fixture
def rows(files: list[str]) -> list[str]:
    """The overrides of a quick run, without a model."""
    return [word for word in files if not word.startswith("model.path=")]


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "result.json").read_text()))


@pytest.mark.parametrize("name", ["google-bert/bert-base-uncased", "01-ai/Yi-6B", "a/b_c.d", "_x/1"])
def test_an_id_is_the_path_of_a_checkpoint(name: str) -> None:
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(name)
    model = composed(f"model={name}").model
    assert (model.name, model.path, model.revision) == ("checkpoint", name, None)
    assert composed(f"model={name}", "model.revision=v1", "model.max_length=64").model.max_length == 64


@pytest.mark.parametrize(
    "name",
    ["../x/y", "a/b/c", "./folder", "/abs/folder", "a/..", "a/.b", "a--b/c", "a/b.git", "a/", "a/b-"],
)
def test_what_is_no_id_names_the_path(run_main: Command, no_forward_pass: None, name: str) -> None:
    assert not is_hub_id(name)
    assert_refused(run_main(run.main, f"model={name}"), f"model={name}", f"model.path={name}")
    assert_refused(run_main(run.main, "-m", f"model=bert-books,{name}"), f"model={name}", f"model.path={name}")


@pytest.mark.parametrize("word", ["dataset=../model/bert-tiny", "pooling=./mean", "probe=/etc/passwd"])
def test_no_option_is_named_by_a_path(run_main: Command, no_forward_pass: None, word: str) -> None:
    assert_refused(run_main(run.main, word), word)


def test_a_typo_of_an_option_still_gets_a_suggestion(run_main: Command) -> None:
    assert_refused(run_main(run.main, "model=bert-bas-uncased"), "did you mean 'bert-base-uncased'", "OWNER/NAME")


def test_a_cached_model_needs_no_network(
    run_main: Command, rows: list[str], cached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run_main(run.main, *rows, f"model={cached}", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    made = result(tmp_path / "run")
    assert made["model"] == cached and made["provenance"]["model"]["commit"] == COMMIT
    ended = run_main(extract.main, *rows, f"model={cached}", "output=features")
    assert ended.status == 0, ended.err
    ended = run_main(predict.main, "record=run", "input=test.csv", "output=out.csv")
    assert ended.status == 0, ended.err


def test_a_model_that_is_not_cached_fails_at_once(run_main: Command, rows: list[str], cached: str) -> None:
    assert_refused(run_main(run.main, *rows, "model=me/nothing"), "'me/nothing'", "model.path=")


def test_an_experiment_names_ids_beside_options(
    run_main: Command, rows: list[str], cached: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "fixed.yaml").write_text(f"# @package _global_\ndefaults:\n  - override /model: {cached}\n")
    swept = f"# @package _global_\nhydra:\n  sweeper:\n    params:\n      model: bert-books,{cached}\n"
    (folder / "swept.yaml").write_text(swept)
    place = ["--config-dir", str(folder.parent)]
    ended = run_main(run.main, *place, *rows, "+experiment=fixed", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    assert result(tmp_path / "run")["model"] == cached
    ended = run_main(run.main, "-m", *place, *rows, "+experiment=swept", "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.err
    assert [result(tmp_path / "sweep" / str(job))["model"] for job in range(2)] == ["bert-books", cached]
    assert "0 failed" in ended.out and cached in ended.out and "bert-books" in ended.out


def test_ids_reach_the_workers_of_joblib(rows: list[str], cached: str, bert: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    cache_repository(tmp_path / "hub", "models", "you/copy", bert)
    command = [
        sys.executable, "-m", "src.run", "-m", *rows, f"model=you/copy,{cached}", "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={tmp_path / 'sweep'}", f"runtime.cache_dir={tmp_path / 'store'}",
    ]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(CONF.parent), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub"),
    }  # fmt: skip
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=570
    )
    assert ended.returncode == 0, ended.stderr
    assert {result(tmp_path / "sweep" / str(job))["model"] for job in range(2)} == {"you/copy", cached}


def test_other_applications_do_not_search_for_models(tmp_path: Path, run_main: Callable[..., Any]) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import MissingConfigException

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.yaml").write_text("size: 1\n")
    (tmp_path / "config.yaml").write_text("defaults: [{model: own}]\n")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose("config").model.size == 1
        with pytest.raises(MissingConfigException):
            compose("config", ["model=a/b"])

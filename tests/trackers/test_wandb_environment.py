"""Environment variables of W&B in runs and sweeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from src import run
from tests.conftest import SENTENCES, Ended, write_csv
from tests.helpers.wandb import head, process, read, runs

ABOUT = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_RUN_GROUP": "night",
    "WANDB_TAGS": "first, second",
    "WANDB_NOTES": "a note",
    "WANDB_JOB_TYPE": "trial",
}
ONE = {"WANDB_RUN_ID": "chosen", "WANDB_NAME": "mine", "WANDB_RESUME": "allow"}


@pytest.fixture
def words(tmp_path: Path, bert: Path) -> list[str]:
    """The words of a quick run in W&B, in the test's folder."""
    (tmp_path / "home").mkdir()
    for name, number in (("train", 20), ("test", 10)):
        write_csv(
            tmp_path / f"{name}.csv",
            [(SENTENCES[place % 5], "no" if place % 5 < 2 else "yes") for place in range(number)],
        )
    quick = ["runtime.threads=1", "runtime.progress=false", "probe.resamples=100", "tracker=wandb"]
    return [f"model.path={bert}", "dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", *quick]


def test_the_environment_applies_to_a_single_run_unless_an_option_does(words: list[str], tmp_path: Path) -> None:
    ended = process(tmp_path, *words, "hydra.run.dir=one", **ABOUT, **ONE)
    assert ended.returncode == 0, ended.stderr
    (run,) = runs(tmp_path / "one")
    about = head(read(run))
    assert {
        name: about[name] for name in ("project", "entity", "run_group", "notes", "job_type", "run_id", "display_name")
    } == {
        "project": "theirs",
        "entity": "team",
        "run_group": "night",
        "notes": "a note",
        "job_type": "trial",
        "run_id": "chosen",
        "display_name": "mine",
    }
    assert about["tags"] == ["files", "mean", "tiny-bert", "logistic", "first", "second"]
    asked = ["tracker.project=ours", "tracker.entity=us", "tracker.group=day", "hydra.run.dir=two"]
    assert process(tmp_path, *words, *asked, **ABOUT).returncode == 0
    about = head(read(*runs(tmp_path / "two")))
    assert (about["project"], about["entity"], about["run_group"]) == ("ours", "us", "day")


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_variables_of_a_single_run_are_ignored_in_a_sweep_with_one_warning(
    words: list[str], tmp_path: Path, launcher: str
) -> None:
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    sweep = [
        "-m",
        "hydra.sweep.dir=sweep",
        "pooling=cls,mean,max",
        f"hydra/launcher={launcher}",
        "hydra/callbacks=wandb",
    ]
    ended = process(tmp_path, *words, *sweep, **ABOUT, **ONE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("WANDB_RUN_ID") == 1 and all(name in ended.stderr for name in ONE)
    jobs = [head(read(*runs(tmp_path / "sweep" / str(number)))) for number in range(3)]
    whole = head(read(*runs(tmp_path / "sweep")))
    assert len({about["run_id"] for about in [*jobs, whole]} - {"chosen"}) == 4
    assert len({about["display_name"] for about in [*jobs, whole]} - {"mine"}) == 4
    assert {about["run_group"] for about in [*jobs, whole]} == {"night"} and {about["project"] for about in jobs} == {
        "theirs"
    }


def test_runs_in_the_environments_folder_are_found_again(words: list[str], tmp_path: Path) -> None:
    sweep, far = ["-m", "hydra.sweep.dir=sweep", "pooling=cls,mean"], tmp_path / "far away"
    for _ in range(2):
        ended = process(tmp_path, *words, *sweep, WANDB_DIR=str(far))
        assert ended.returncode == 0, ended.stderr
    assert len(runs(far)) == 2 + 1 and not list((tmp_path / "sweep").rglob("wandb"))
    assert "2 offline runs" in ended.stdout and f"'{far}/wandb'/offline-run-*" in ended.stdout
    other = process(tmp_path, *words, "-m", "hydra.sweep.dir=other", "pooling=cls,mean", WANDB_DIR=str(far))
    assert other.returncode == 0 and len(runs(far)) == 2 * (2 + 1)


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_PROJECT", "a/b"), ("WANDB_ENTITY", "a b#c"), ("WANDB_PROJECT", "x" * 200)]
)
def test_a_name_in_the_environment_that_wandb_refuses_is_one_line(
    words: list[str], clean: pytest.MonkeyPatch, run_main: Callable[..., Ended], name: str, value: str
) -> None:
    clean.setenv(name, value)
    for sweep in ([], ["-m", "pooling=cls,mean"]):
        ended = run_main(run.main, *words, *sweep)
        assert ended.status == 1 and name in ended.err and "Traceback" not in ended.err


def test_online_in_the_environment_alone_sends_nothing_and_is_reported(words: list[str], tmp_path: Path) -> None:
    for sweep in ([], ["-m", "pooling=cls,mean"]):
        ended = process(tmp_path, *words, *sweep, WANDB_MODE="online")
        assert ended.returncode == 0 and (ended.stdout + ended.stderr).count("WANDB_MODE=online") == 1

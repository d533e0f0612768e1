"""Missing data are found before the first job, and each reason is given once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from src import run
from src.results.result import RECORD
from src.sweeps.jobs import find_jobs, read_job
from tests.conftest import Ended

Command = Callable[..., Ended]


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("a job was started")


def test_a_sweep_without_data_is_refused_once_per_reason(
    run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.run.run_job", forbid)
    words = ["-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max", "seed=range(0,5)"]
    ended = run_main(run.main, *words, "dataset.test=nowhere.csv")
    assert ended.status == 1 and len(ended.lines) == 2 and ended.err.count("nowhere.csv") == 1
    assert "15 jobs" in ended.err and not Path("sweep").exists()


def test_tasks_with_one_reason_share_a_line(
    run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.run.run_job", forbid)
    model = [word for word in files if word.startswith(("model.", "tracker"))]
    ended = run_main(run.main, "-m", *model, "dataset=cola,mrpc", "pooling=cls,mean", "data_root=nowhere")
    assert ended.status == 1 and len(ended.lines) == 2, ended.err
    assert "4 jobs (cola, mrpc)" in ended.err and "nowhere" in ended.err


def test_jobs_with_data_run_beside_those_without(
    run_main: Command, files: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = ["-m", *files, "hydra.sweep.dir=sweep", "tracker=wandb", "pooling=cls,mean"]
    ended = run_main(run.main, *words, "dataset.test=nowhere.csv,test.csv")
    assert ended.status == 1 and "2 done, 0 skipped, 2 failed" in ended.out, ended.err
    assert sum("there is no file" in record.getMessage() for record in caplog.records) == 1
    jobs = [read_job(folder) for folder in find_jobs(Path("sweep"))]
    statuses = {job.folder.name: job.status for job in jobs}
    assert statuses == {"0": "failed", "1": "failed", "2": "done", "3": "done"}
    assert not any((job.folder / "wandb").exists() for job in jobs if job.status == "failed")
    assert [(job.folder / RECORD).is_file() for job in jobs] == [job.status == "done" for job in jobs]
    failure = json.loads((jobs[0].folder / "failure.json").read_text())
    assert failure["kind"] == "user" and "nowhere.csv" in failure["error"]


def test_a_model_that_is_missing_is_found_too(
    run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.run.run_job", forbid)
    words = [word for word in files if not word.startswith("model.path")]
    ended = run_main(run.main, "-m", *words, "model.path=./nowhere", "pooling=cls,mean")
    assert ended.status == 1 and ended.err.count("./nowhere") == 1 and "2 jobs" in ended.err


def test_another_fault_of_a_job_is_left_to_the_job(run_main: Command, files: list[str]) -> None:
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean", "probe.carve=2,0.2", "seed=1")
    assert ended.status == 1 and "2 done, 0 skipped, 2 failed" in ended.out and "probe.carve=2" in ended.out


@pytest.mark.parametrize("words", [["pooling=concat"], ["pooling=cls,mean", "probe=mteb", "draws=3"]], ids=str)
def test_a_fault_of_every_job_is_refused_once(
    words: list[str], run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.run.run_job", forbid)
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "seed=range(0,4)", *words)
    assert ended.status == 1 and len(ended.lines) == 1 and not Path("sweep").exists(), ended.err

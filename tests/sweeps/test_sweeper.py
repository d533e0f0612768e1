"""A sweep counts all its jobs and keeps earlier results, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

from src import run
from src.results.result import PREDICTIONS, PROBE, RECORD
from src.sweeps.jobs import find_jobs, read_job
from src.sweeps.status import STATUS, read_mapping
from tests.conftest import Ended

Command = Callable[..., Ended]


def basic_launcher() -> Any:
    """Return the class of Hydra's basic launcher."""
    return next(each for each in Plugins.instance().discover(Launcher) if each.__name__ == "BasicLauncher")


def test_repeated_jobs_run_once(run_main: Command, files: list[str]) -> None:
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,cls", "seed=0,0,1")
    assert ended.status == 0 and "2 done, 4 skipped, 0 failed" in ended.out


def test_jobs_that_never_start_count_as_failed(
    run_main: Command, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    basic = basic_launcher()
    launch = basic.launch

    def launch_one_and_fail(self: Any, job_overrides: Any, initial_job_idx: int) -> Any:
        launch(self, job_overrides[:1], initial_job_idx)
        raise RuntimeError("the launcher broke")

    with monkeypatch.context() as broken:
        broken.setattr(basic, "launch", launch_one_and_fail)
        ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max")
    assert ended.status == 1 and "the launcher broke" in ended.err
    assert "1 done, 0 skipped, 2 failed" in ended.out and "was not started" in ended.out
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max")
    assert ended.status == 0 and "2 done, 1 skipped, 0 failed" in ended.out
    assert all(
        (tmp_path / "sweep" / str(job) / name).is_file()
        for job in range(3)
        for name in (RECORD, PREDICTIONS, PROBE, STATUS)
    )
    records = [(tmp_path / "sweep" / str(job) / RECORD).read_bytes() for job in range(3)]
    with monkeypatch.context() as broken:
        broken.setattr(basic, "launch", launch_one_and_fail)
        ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max", "seed=5")
    # jobs 1 and 2 count as failed, though their folders hold records of the earlier sweep
    assert ended.status == 1 and "1 done, 0 skipped, 2 failed" in ended.out
    jobs = [read_job(tmp_path / "sweep" / str(job)) for job in range(3)]
    assert [job.status for job in jobs] == ["done"] * 3  # the earlier results are kept
    unchanged = [(tmp_path / "sweep" / str(job) / RECORD).read_bytes() == records[job] for job in range(3)]
    assert unchanged == [False, True, True]
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,meen,max")
    assert ended.status == 1 and "failed" not in ended.out  # no job was started
    assert [read_job(tmp_path / "sweep" / str(job)).status for job in range(3)] == ["done"] * 3


def test_an_interrupted_sweep_keeps_earlier_results(
    files: list[str], run_main: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ["-m", *files, "hydra.sweep.dir=sweep", "hydra.sweep.subdir=job_${hydra.job.num}", "pooling=cls,mean,max"]
    assert run_main(run.main, *sweep).status == 0

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("src.results.cache.ResultCache.get", interrupt)
        assert run_main(run.main, *sweep).status == 130
    assert [read_job(job).status for job in find_jobs(Path("sweep"))] == ["done"] * 3
    with monkeypatch.context() as interrupted:
        interrupted.setattr("src.pipeline.run.run_probe", interrupt)
        assert run_main(run.main, *sweep, "seed=7").status == 130
    # job 0 has failed, because its folder holds the record of another seed
    assert [read_job(job).status for job in find_jobs(Path("sweep"))] == ["failed", "done", "done"]


def test_an_interrupted_sweep_reports_the_jobs_it_has_started(
    files: list[str], run_main: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.pipeline import run as pipeline

    run_probe = pipeline.run_probe

    def stop_at_the_second(prepared: Any, estimator: Any) -> Any:
        if prepared.target[0] == "mean":
            raise KeyboardInterrupt
        return run_probe(prepared, estimator)

    monkeypatch.setattr("src.pipeline.run.run_probe", stop_at_the_second)
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max")
    assert ended.status == 130 and "1 done, 0 skipped, 1 failed" in ended.out and "stopped" in ended.err
    assert not Path("sweep/2").exists()


def test_every_status_has_the_identifier_of_the_sweep(files: list[str], run_main: Command) -> None:
    assert run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean", "layer=9,-1").status == 1
    identifier = read_mapping(Path("sweep/sweep.json"))["identifier"]
    statuses = [read_mapping(job / STATUS) for job in find_jobs(Path("sweep"))]
    assert [(each["status"], each["sweep"]) for each in statuses] == [("failed", identifier), ("done", identifier)] * 2


def test_parameters_of_an_experiment_and_batches_are_swept_over(
    files: list[str], run_main: Command, tmp_path: Path
) -> None:
    experiment = tmp_path / "more" / "experiment" / "two.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text("# @package _global_\nhydra: {sweeper: {params: {seed: '0,1', pooling: max}}}\n")
    overrides = [f"hydra.searchpath=[file://{tmp_path}/more]", "+experiment=two", "hydra.sweeper.max_batch_size=3"]
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean", *overrides)
    assert ended.status == 0 and "4 done, 0 skipped, 0 failed" in ended.out, ended.err
    assert Path("sweep/multirun.yaml").is_file()


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_without_a_job_is_refused_before_the_first_job(files: list[str], run_main: Command, size: int) -> None:
    words = ["hydra.sweep.dir=sweep", f"hydra.sweeper.max_batch_size={size}", "pooling=cls,mean"]
    ended = run_main(run.main, "-m", *files, *words)
    assert ended.status == 1 and f"hydra.sweeper.max_batch_size={size}" in ended.err
    assert not Path("sweep").exists()


def test_hydras_basic_sweeper_runs_without_a_report(files: list[str], run_main: Command) -> None:
    sweep = ["-m", *files, "hydra.sweep.dir=sweep", "hydra/sweeper=basic", "pooling=cls"]
    ended = run_main(run.main, *sweep)
    assert ended.status == 0 and read_job(Path("sweep/0")).status == "done", ended.err
    ended = run_main(run.main, *sweep, "layer=9")
    assert ended.status == 1 and "layer" in ended.err


def test_hydras_basic_sweeper_ignores_the_plan_of_an_earlier_sweep(files: list[str], run_main: Command) -> None:
    sweep = ["-m", *files, "hydra.sweep.dir=sweep", "pooling=cls"]
    assert run_main(run.main, *sweep).status == 0
    ended = run_main(run.main, *sweep, "hydra/sweeper=basic", "layer=9")
    assert ended.status == 1 and "layer" in ended.err


def test_callbacks_of_a_sweep_with_a_failed_job_are_called(
    files: list[str], run_main: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended_sweeps: list[str] = []
    monkeypatch.setattr(
        "experiments.sweep_run.SweepRun.on_multirun_end",
        lambda self, config, **_: ended_sweeps.append(config.hydra.sweep.dir),
    )
    overrides = ["hydra/callbacks=wandb", "hydra.sweep.dir=sweep"]
    assert run_main(run.main, "-m", *files, *overrides, "layer=9,-1").status == 1
    assert run_main(run.main, "-m", *files, *overrides, "layer=-1").status == 0
    assert ended_sweeps == ["sweep", "sweep"]

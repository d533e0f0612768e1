"""A run leaves its record; a sweep goes on where it stopped, and its records do not depend on the order of its jobs."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments.benchmarks.launching import stable_files
from src import extract, predict, run
from src.config.schema import ProbeConfig
from src.errors import UserError
from src.results.result import PREDICTIONS, PROBE, RECORD, Result
from tests.conftest import SENTENCES, Ended, write_csv

RunMain = Callable[..., Ended]


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / RECORD).read_text())
    return content


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("work was done twice")

        monkeypatch.setattr("src.features.on_demand.load_encoder", refuse)
        monkeypatch.setattr("src.pipeline.run.run_probe", refuse)

    return forbid


def test_a_run_leaves_its_record_and_another_pooling_is_a_hit(
    run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    ended = run_main(run.main, *files, "hydra.run.dir=first")
    assert ended.status == 0, ended.err
    assert "accuracy" in ended.out and "baseline" in ended.out and "seconds" in ended.out
    first = record(tmp_path / "first")
    assert set(first) == set(Result.FIELDS)
    names = ("model", "dataset", "pooling", "probe", "layer", "pairing", "seed", "draws")
    assert [first[name] for name in names] == ["tiny-bert", "files", "mean", "logistic", 2, "joint", 0, 1]
    assert (
        first["score"]["metric"] == "accuracy"
        and first["score"]["low"] <= first["score"]["value"] <= first["score"]["high"]
    )
    assert first["pooler"]["status"] == "trained"
    assert first["timing"]["cache"] == "miss"
    counts = {"train": 40, "test": 20, "classes": 2, "width": 16}
    assert {name: first["counts"][name] for name in counts} == counts
    assert str(tmp_path) not in json.dumps(first)

    predictions, probe = load_file(tmp_path / "first" / PREDICTIONS), load_file(tmp_path / "first" / PROBE)
    assert {"row", "fold", "label", "prediction", "decision"} <= set(predictions)
    assert all(len(array) == 20 for array in predictions.values())
    assert np.mean(predictions["label"] == predictions["prediction"]) == pytest.approx(first["score"]["value"])
    assert probe and all(np.isfinite(array).all() for array in probe.values())

    assert run_main(run.main, *files, "hydra.run.dir=second", "pooling=pooler").status == 0
    second = record(tmp_path / "second")
    assert second["timing"]["cache"] == "hit" and second["timing"]["rows_encoded"] == 0
    assert second["key"] != first["key"]


def test_a_probe_is_changed_without_being_named(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    assert run_main(run.main, *files, "hydra.run.dir=out", "probe.grid.alpha=1", "probe.features=none").status == 0
    result = record(tmp_path / "out")
    assert result["probe"] == "logistic"
    assert result["config"]["probe"]["grid"] == {"alpha": [1.0]} and result["config"]["probe"]["features"] == "none"


def test_another_parameter_is_tried_without_naming_a_probe(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    words = [
        "probe.estimator._target_=sklearn.linear_model.LogisticRegression",
        "probe.grid.alpha=null",
        "+probe.grid.C=[0.1,1]",
    ]
    assert run_main(run.main, *files, *words, "hydra.run.dir=out").status == 0
    probe = record(tmp_path / "out")["config"]["probe"]
    assert probe["grid"] == {"C": [0.1, 1.0]} and probe["features"] == "standardise"


def test_one_forward_pass_serves_a_sweep_over_layers(
    run_main: RunMain, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.features.passes import ForwardPass

    passes: list[str] = []
    whole = ForwardPass.run

    def counted(self: ForwardPass, keys: Any) -> None:
        passes.append(self.column.label)
        whole(self, keys)

    monkeypatch.setattr(ForwardPass, "run", counted)
    ended = run_main(run.main, "-m", *files, "layer=0,-1,7", "hydra.sweep.dir=sweep")
    assert sorted(passes) == ["files/test", "files/train"]
    assert "2 done, 0 skipped, 1 failed" in ended.out  # a layer that the model lacks costs its own job alone
    run_main(run.main, *files, "runtime.cache_dir=alone", "hydra.run.dir=alone")
    assert stable_files(tmp_path / "alone") == stable_files(tmp_path / "sweep" / "1")


def test_a_stopped_sweep_does_what_is_missing(
    run_main: RunMain, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_work: Callable[[], None]
) -> None:
    from src.pipeline import run as pipeline

    done = pipeline.run_probe

    def stop_at_the_second(prepared: pipeline.PreparedRun, estimator: Any) -> pipeline.Run:
        if prepared.target[0] == "mean":
            raise KeyboardInterrupt
        return done(prepared, estimator)

    sweep = ["-m", *files, "pooling=cls,mean,max"]
    with monkeypatch.context() as stopped:
        stopped.setattr("src.pipeline.run.run_probe", stop_at_the_second)
        assert run_main(run.main, *sweep, "hydra.sweep.dir=one").status == 130
    ended = run_main(run.main, *sweep, "hydra.sweep.dir=two")
    assert ended.status == 0 and "2 done, 1 skipped, 0 failed" in ended.out
    assert stable_files(tmp_path / "two" / "0") == stable_files(tmp_path / "one" / "0")
    no_work()
    ended = run_main(run.main, *sweep, "hydra.sweep.dir=three")
    assert ended.status == 0 and "0 done, 3 skipped, 0 failed" in ended.out
    with (tmp_path / "three" / "comparison.csv").open() as table:
        assert [row["pooling"] for row in csv.DictReader(table)] == ["cls", "mean", "max"]


def test_records_do_not_depend_on_the_order_of_jobs(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    for name, poolings in (("there", "cls,pooler"), ("back", "pooler,cls")):
        words = [f"pooling={poolings}", f"hydra.sweep.dir={name}", f"runtime.cache_dir={name}-cache"]
        assert run_main(run.main, "-m", *files, *words).status == 0
    assert stable_files(tmp_path / "there" / "0") == stable_files(tmp_path / "back" / "1")
    assert stable_files(tmp_path / "there" / "1") == stable_files(tmp_path / "back" / "0")


def test_a_bad_job_is_written_down_and_the_others_go_on(
    run_main: RunMain, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.pipeline import run as pipeline

    done = pipeline.run_probe

    def fail_at_max(prepared: pipeline.PreparedRun, estimator: Any) -> pipeline.Run:
        if prepared.target[0] == "max":
            raise RuntimeError("unforeseen")
        return done(prepared, estimator)

    monkeypatch.setattr("src.pipeline.run.run_probe", fail_at_max)
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=last4_mean,max,cls")
    assert ended.status == 1
    assert "1 done, 0 skipped, 2 failed" in ended.out
    notes = [json.loads((tmp_path / "sweep" / job / "failure.json").read_text()) for job in "01"]
    assert [note["kind"] for note in notes] == ["user", "crash"]
    assert "2 layers" in notes[0]["error"] and "unforeseen" in notes[1]["error"]
    assert (tmp_path / "sweep" / "2" / RECORD).is_file()


def test_a_sweep_that_cannot_be_compared_says_why(
    run_main: RunMain, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UserError("the table cannot be had")

    monkeypatch.setattr("src.sweeps.sweeper.write_report", fail)
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep")
    assert ended.status == 1 and ended.lines[-1] == "error: the table cannot be had"


def test_a_result_folder_that_is_lost_costs_no_work(
    run_main: RunMain, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_work: Callable[[], None]
) -> None:
    from src.pipeline import run as pipeline

    done = pipeline.run_probe

    def lose_the_folder(prepared: pipeline.PreparedRun, estimator: Any) -> pipeline.Run:
        shutil.rmtree(tmp_path / "out")
        (tmp_path / "out").write_text("in the way")
        return done(prepared, estimator)

    with monkeypatch.context() as losing:
        losing.setattr("src.pipeline.run.run_probe", lose_the_folder)
        ended = run_main(run.main, *files, "hydra.run.dir=out")
    assert ended.status == 1 and "cannot write the record" in ended.err and "hydra.run.dir" in ended.err
    no_work()
    assert "1 skipped" in run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep").out


def test_a_damaged_record_in_the_store_is_made_again(
    run_main: RunMain, files: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_main(run.main, *files).status == 0
    (kept,) = tmp_path.glob(f"cache/*/records/*/*/{RECORD}")
    kept.write_text(kept.read_text()[:100])
    assert "1 done, 0 skipped" in run_main(run.main, "-m", *files, "hydra.sweep.dir=one").out
    assert "is damaged" in caplog.text
    for name in (PREDICTIONS, PROBE):
        path = kept.with_name(name)
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
        caplog.clear()
        assert "1 done, 0 skipped" in run_main(run.main, "-m", *files, f"hydra.sweep.dir={name}").out
        assert "have changed since they were written" in caplog.text
    assert "0 done, 1 skipped" in run_main(run.main, "-m", *files, "hydra.sweep.dir=whole").out
    kept.unlink()
    assert "1 done, 0 skipped" in run_main(run.main, "-m", *files, "hydra.sweep.dir=two").out


def test_a_store_that_takes_no_record_costs_the_copy_alone(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "bert-pooling-probes"
    folder.mkdir(parents=True)
    (folder / "records").write_text("in the way")
    assert run_main(run.main, *files, "hydra.run.dir=out").status == 0
    assert (tmp_path / "out" / RECORD).is_file()


@pytest.mark.parametrize("selection", ["carve", "folds", "nested"])
def test_every_selection_runs_on_own_files(run_main: RunMain, files: list[str], tmp_path: Path, selection: str) -> None:
    rows = [(f"{'dog' if place % 2 else 'cat'} {'the ' * (place // 2)}", place % 2) for place in range(20)]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", rows)
    words = ["dataset.test=null"] if selection == "nested" else []
    assert (
        run_main(
            run.main, *files, *words, "dataset.folds=4", f"dataset.selection={selection}", "hydra.run.dir=out"
        ).status
        == 0
    )
    fold = load_file(tmp_path / "out" / PREDICTIONS)["fold"]
    assert set(fold.tolist()) == (set(range(4)) if selection == "nested" else {-1})


def test_regression_picks_ridge(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_csv(tmp_path / f"{name}.csv", [("cat " * (place % 25), 0.5 * (place % 25)) for place in range(50)])
    assert run_main(run.main, *files, "dataset.task=regression", "hydra.run.dir=out").status == 0
    result = record(tmp_path / "out")
    assert result["probe"] == "ridge" and result["score"]["metric"] == "pearson"
    assert result["baseline"]["constant"] is None or result["baseline"]["constant"]["value"] is None


def test_offline_runs_of_a_sweep_are_told_once(
    run_main: RunMain, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Offline:
        def start(self, config: dict[str, Any], *, folder: Path, **_: Any) -> None:
            kept = folder / "wandb" / f"offline-run-1-{folder.name}"
            kept.mkdir(parents=True)
            (kept / "run-1.wandb").write_bytes(b"more than the header")
            assert config["layer"] == 2, "resolved"

        def log(self, result: Result) -> None:
            assert result.score

        def finish(self, failed: bool) -> str:
            return f"hint, failed={failed}"

    monkeypatch.setattr("src.trackers.registry.build_tracker", lambda _: Offline())
    assert "hint, failed=False" in run_main(run.main, *files).out
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=one", "pooling=cls")
    assert "W&B: 1 offline run; send it with: wandb sync one/*/wandb/offline-run-*" in ended.out
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=max,cls_mean")
    assert "hint" not in ended.out
    assert ended.out.count("W&B: 2 offline runs; send them with: wandb sync sweep/*/wandb/offline-run-*") == 1


def test_an_estimator_is_checked_before_it_is_used() -> None:
    grid = {"alpha": [0.1]}
    assert run.instantiate(ProbeConfig(estimator={"_target_": "src.solvers.LogisticRegression"}, grid=grid))
    foreign = run.instantiate(
        ProbeConfig(estimator={"_target_": "sklearn.linear_model.SGDClassifier", "loss": "log_loss"}, grid=grid)
    )
    assert foreign.loss == "log_loss"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"probe\.grid\.C: LogisticRegression has no such parameter\. Known: alpha"):
        run.instantiate(ProbeConfig(estimator={"_target_": "src.solvers.LogisticRegression"}, grid={"C": [1.0]}))


def test_a_column_of_texts_given_as_label_is_noticed_before_anything_is_encoded(
    run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    write_csv(tmp_path / "train.csv", [(SENTENCES[place % 5], f"a text of its own {place}") for place in range(60)])
    ended = run_main(run.main, *files)
    assert ended.status == 1 and len(ended.lines) <= 3 and "dataset.label" in ended.err and "60" in ended.err, ended.err
    assert not (tmp_path / "cache" / "bert-pooling-probes" / "features").exists()


@pytest.mark.parametrize("name", ["result.json", "digests.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "deep"])
def test_an_unreadable_record_in_the_store_is_made_again(
    kind: str, name: str, run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    assert run_main(run.main, "-m", *files, "hydra.sweep.dir=one").status == 0
    (path,) = tmp_path.glob(f"cache/*/records/*/*/{name}")
    content = path.read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    path.unlink()
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("[" * 99_999)
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=two")
    assert ended.status == 0 and "1 done, 0 skipped" in ended.out, ended.err
    assert (tmp_path / "elsewhere").read_bytes() == content and not path.is_symlink()
    assert "0 done, 1 skipped" in run_main(run.main, "-m", *files, "hydra.sweep.dir=three").out


@pytest.mark.parametrize("probe", ["probe=logistic", "probe=mdl", "probe=mteb"])
def test_the_number_of_threads_changes_no_bit_of_a_record(
    probe: str, run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    quick = [word for word in files if not word.startswith("runtime.threads")]
    for number in (1, 3):
        words = [probe, f"runtime.threads={number}", f"hydra.run.dir={number}", f"runtime.cache_dir={number}-store"]
        ended = run_main(run.main, *quick, *words)
        assert ended.status == 0, ended.err
    assert stable_files(tmp_path / "1") == stable_files(tmp_path / "3")
    assert record(tmp_path / "3")["provenance"]["threads"] == 3


def test_a_concatenation_is_run_extracted_compared_and_predicts(
    run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    words = ["pooling=cls,concat", "'pooling.of=[cls,mean],[cls,pooler]'", "hydra.sweep.dir=sweep"]
    ended = run_main(run.main, "-m", *files, *(word.strip("'") for word in words))
    assert ended.status == 0, ended
    alone, mean, pooler = (Result.read(tmp_path / "sweep" / str(number)) for number in range(3))
    assert (mean.pooling, mean.config["pooling"]) == ("concat", {"of": ["cls", "mean"]})
    assert [each.pooling_label for each in (alone, pooler)] == ["cls", "concat(cls,pooler)"]
    assert [each.counts["width"] for each in (alone, mean, pooler)] == [16, 32, 32]
    assert "pooling" not in alone.config and len({each.key for each in (alone, mean, pooler)}) == 3
    assert (mean.timing["cache"], pooler.timing["cache"]) == ("hit", "hit")
    assert "saturated_entries" in pooler.pooler and "saturated_entries" not in mean.pooler
    comparison = (tmp_path / "sweep" / "comparison.md").read_text()
    assert "concat(cls,mean)" in comparison and "wider" in comparison
    with (tmp_path / "sweep" / "comparison.csv").open(newline="") as file:
        assert [(row["width"], row["wider"]) for row in csv.DictReader(file)] == [
            ("16", ""),
            ("32", "yes"),
            ("32", "yes"),
        ]
    ended = run_main(predict.main, f"record={tmp_path}/sweep/1", "input=test.csv", "output=out.csv")
    assert ended.status == 0 and "concat(cls,mean)" in ended.out, ended
    ended = run_main(extract.main, *files, "pooling=concat", "pooling.of=[cls,mean]", "output=features")
    assert ended.status == 0, ended
    assert load_file("features/train.safetensors")["features"].shape == (40, 32)

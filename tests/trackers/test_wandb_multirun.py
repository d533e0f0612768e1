"""A whole sweep in W&B: one run per job; the same command continues the run of a killed job."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from experiments.sweep_charts import figures, tables
from experiments.sweep_run import SweepRun
from src.results.result import PREDICTIONS, PROBE, RECORD, Result
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import find_jobs
from src.trackers.wandb_artifacts import artifact_name
from tests.conftest import SENTENCES, write_csv
from tests.helpers.records import make_four
from tests.helpers.wandb import KEY, ROOT, config, exits, head, history, inspect, merged, process, read, runs

JOBS, KILLED = 12, 2
SWEEP = ["-m", "hydra.sweep.dir=sweep", "dataset.label=first,second", "pooling=cls,pooler,mean", "seed=0,1"]
KILL = f"""
import os, signal, sys, time
from hydra.core.hydra_config import HydraConfig
from src.pipeline import run as pipeline
from src import run
whole = pipeline.run_probe
def killed(*arguments):
    if HydraConfig.get().job.num == {KILLED}:
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments)
pipeline.run_probe = killed
run.main()
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Iterator[SimpleNamespace]:
    """Jobs on two tasks, one of them killed; then the same command."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "home").mkdir()
    for name, number in (("train", 40), ("test", 20)):
        texts = [SENTENCES[place % 5] + " the" * (place % 7) for place in range(number)]
        labels = [("no" if place % 5 < 2 else "yes", "odd" if place % 7 % 2 else "even") for place in range(number)]
        write_csv(
            folder / f"{name}.csv",
            [(text, *both) for text, both in zip(texts, labels, strict=True)],
            ("text", "first", "second"),
        )
    quick = [
        "runtime.threads=1",
        "runtime.progress=false",
        "probe.resamples=200",
        "tracker.mode=auto",
        "tracker.examples=true",
        "tracker.artifacts=true",
    ]
    words = [f"model.path={bert}", "dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", *quick, *SWEEP]
    first = process(folder, *words, script=KILL)
    before = {job.name: runs(job) for job in find_jobs(folder / "sweep")}
    second = process(folder, *words)
    yield SimpleNamespace(
        folder=folder, first=first, before=before, second=second, words=words, jobs=find_jobs(folder / "sweep")
    )


def test_the_kill_leaves_the_runs_that_were_done_and_the_one_it_hit(swept: SimpleNamespace) -> None:
    assert swept.first.returncode < 0
    assert [len(found) for found in swept.before.values()] == [1] * (KILLED + 1)
    records = read(swept.before[str(KILLED)][0])
    logged = config(records)
    assert [logged[name] for name in ("seed", "pooling", "dataset")] == [0, "pooler", "files"]
    assert not exits(records) and "score" not in merged(records, "summary")


def test_the_same_command_completes_the_killed_run_and_repeats_nothing(swept: SimpleNamespace) -> None:
    assert f"{JOBS - KILLED} done, {KILLED} skipped, 0 failed" in swept.second.stdout, swept.second.stderr
    for job in swept.jobs:
        assert len(runs(job)) == 1 + (job.name == str(KILLED))
    before, after = (head(read(run)) for run in runs(swept.jobs[KILLED]))
    assert before["run_id"] == after["run_id"] and after["resume"]


def test_each_run_has_its_own_config_and_score(swept: SimpleNamespace) -> None:
    ids = set()
    for job in swept.jobs:
        records, result = read(runs(job)[-1]), Result.read(job)
        found, shown, about = merged(records, "summary"), config(records), head(records)
        ids.add(about["run_id"])
        assert exits(records) == [0]
        assert found["score"] == pytest.approx(result.score["value"]) and found["score_low"] == pytest.approx(
            result.score["low"]
        )
        assert (shown["pooling"], shown["seed"], shown["layer"], shown["key"]) == (
            result.pooling,
            result.seed,
            2,
            result.key,
        )
        assert shown["settings"]["dataset"]["classes"] == result.config["dataset"]["classes"]
        assert about["display_name"] == f"files-tiny-bert-{result.pooling}-L2-logistic-s{result.seed}"
        assert (about["run_group"], about["job_type"]) == ("sweep", "probe")
        assert about["tags"] == ["files", result.pooling, "tiny-bert", "logistic"]
        assert shown["provenance"]["packages"]["torch"] == result.provenance["packages"]["torch"]
        assert shown["provenance"]["device"] == result.provenance["device"] == "cpu"
    assert len(ids) == len(swept.jobs) == JOBS


def test_the_commands_reader_says_the_same(swept: SimpleNamespace) -> None:
    assert inspect(runs(swept.jobs[0])[0]) == read(runs(swept.jobs[0])[0])


def test_the_score_is_a_point_of_the_history_by_layer(swept: SimpleNamespace) -> None:
    for job in swept.jobs[::4]:
        result = Result.read(job)
        (point,) = [row for row in history(runs(job)[-1]) if "score" in row]
        assert point["layer"] == result.layer == 2
        assert [point[name] for name in ("score", "score_low", "score_high")] == pytest.approx(
            [result.score[name] for name in ("value", "low", "high")]
        )
        assert point["metric/accuracy"] == pytest.approx(result.metrics["accuracy"]["value"])


def test_the_files_of_a_run_are_an_artifact(swept: SimpleNamespace) -> None:
    job = swept.jobs[7]
    key = Result.read(job).key
    (found,) = [
        record["artifact"] for record in read(runs(job)[-1])
        if record["type"] == "artifact" and record["artifact"]["type"] == "record"
    ]  # fmt: skip
    assert found["name"] == artifact_name(key) and key in json.dumps(found["metadata"])
    staged = {path.read_bytes() for path in runs(job)[-1].glob("artifacts/staging/*") if path.is_file()}
    for name in (PREDICTIONS, PROBE, RECORD):
        assert name in json.dumps(found["manifest"]) and (job / name).read_bytes() in staged


def test_grid_and_examples_are_tables(swept: SimpleNamespace) -> None:
    (run,) = runs(swept.jobs[5])
    (grid,) = (json.loads(path.read_text()) for path in run.glob("files/media/table/grid*.json"))
    assert {"value", "loss", "converged"} <= {*grid["columns"]} and len(grid["data"]) > 7
    (examples,) = (json.loads(path.read_text()) for path in run.glob("files/media/table/examples*.json"))
    right = [row[examples["columns"].index("correct")] for row in examples["data"]]
    assert len(right) == 20 and sum(right) / 20 == pytest.approx(
        Result.read(swept.jobs[5]).metrics["accuracy"]["value"]
    )
    assert SENTENCES[0] not in str(examples) and "text" not in examples["columns"]


def test_the_sweep_has_a_run_of_its_own(swept: SimpleNamespace) -> None:
    (run,) = runs(swept.folder / "sweep")
    records = read(run)
    assert head(records)["tags"] == ["comparison", "files"]
    assert (head(records)["run_group"], head(records)["job_type"], exits(records)) == ("sweep", "comparison", [0])
    assert Counter({name: value for name, value in merged(records, "summary").items() if name.startswith("jobs/")}) == {
        "jobs/done": JOBS - KILLED, "jobs/skipped": KILLED, "jobs/failed": 0,
    }  # fmt: skip
    (comparison,) = (json.loads(path.read_text()) for path in run.glob("files/media/table/comparison*.json"))
    with (swept.folder / "sweep" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    place = comparison["columns"].index("value")
    assert [row[place] for row in comparison["data"]] == [float(row["value"]) for row in rows]
    (differences,) = (json.loads(path.read_text()) for path in run.glob("files/media/table/differences*.json"))
    assert {row[differences["columns"].index("a")] for row in differences["data"]} == {"pooler", "mean"}
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    (image,) = run.glob("files/media/images/figures/scores*.png")
    assert image.read_bytes().startswith(b"\x89PNG")
    assert f"W&B: {JOBS} offline runs; send them with: wandb sync " in swept.second.stdout
    assert "sweep/*/wandb/offline-run-* sweep/wandb/offline-run-*" in swept.second.stdout


def test_the_key_is_in_no_file_and_on_no_stream(swept: SimpleNamespace) -> None:
    files = [path for path in swept.folder.rglob("*") if path.is_file()]
    assert len(files) > JOBS * 4
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in swept.first.stdout + swept.first.stderr + swept.second.stdout + swept.second.stderr


def test_no_path_of_the_machine_would_be_sent(swept: SimpleNamespace) -> None:
    for folder in (swept.jobs[0], swept.folder / "sweep"):
        # These two name what is to be uploaded.
        sent = json.dumps([record for record in read(runs(folder)[0]) if record["type"] not in ("artifact", "files")])
        assert not [path for path in (str(swept.folder), str(ROOT), os.path.expanduser("~")) if path in sent]


def test_a_refused_job_has_one_failed_run_which_the_next_attempt_replaces(tmp_path: Path, bert: Path) -> None:
    (tmp_path / "home").mkdir()
    rows = [(SENTENCES[place % 5] + " the" * (place % 7), "no" if place % 5 < 2 else "yes") for place in range(40)]
    write_csv(tmp_path / "train.csv", rows, ("text", "label"))
    words = [
        "-m",
        f"model.path={bert}",
        "dataset=files",
        "dataset.train=train.csv",
        "dataset.test=test.csv",
        "hydra.sweep.dir=sweep",
    ]
    words += ["runtime.threads=1", "probe.resamples=200", "runtime.progress=false"]
    bad = process(tmp_path, *words, "seed=-1,-2")  # each job for a reason of its own, before a file is read
    words.append("layer=1,7")
    missing = process(tmp_path, *words)
    write_csv(tmp_path / "test.csv", rows[:20], ("text", "label"))
    (
        tmp_path / "sweep" / "0" / "wandb" / "offline-run-20260131_120000-refused_00000000"
    ).mkdir()  # killed before anything was written
    good = process(tmp_path, *words)
    assert [each.returncode for each in (bad, missing, good)] == [
        1,
        1,
        1,
    ] and "1 done, 0 skipped, 1 failed" in good.stdout
    assert "W&B: 2 offline runs" in good.stdout
    for job, end in ((0, 0), (1, 1)):
        (kept,) = runs(tmp_path / "sweep" / str(job))
        records = read(kept)
        assert (
            exits(records) == [end]
            and config(records)["layer"] == (1, 7)[job]
            and head(records)["run_group"] == "sweep"
        )


def test_a_job_whose_record_is_copied_has_a_run(swept: SimpleNamespace) -> None:
    again = process(swept.folder, *swept.words, "hydra.sweep.dir=elsewhere", "seed=0,1", "pooling=cls")
    assert "0 done, 4 skipped, 0 failed" in again.stdout and "W&B: 4 offline runs" in again.stdout
    assert "the runs stay offline, since 127.0.0.1 cannot be reached" in again.stderr
    for job in find_jobs(swept.folder / "elsewhere"):
        (run,) = runs(job)
        found = merged(read(run), "summary")
        assert found["score"] == pytest.approx(Result.read(job).score["value"]) and exits(read(run)) == [0]
    (before,) = runs(swept.folder / "elsewhere")
    more = process(swept.folder, *swept.words, "hydra.sweep.dir=elsewhere", "seed=0,1", "pooling=cls")
    assert "0 done, 4 skipped, 0 failed" in more.stdout
    (after,) = runs(swept.folder / "elsewhere")  # it has replaced the earlier one, which was not sent
    assert before.name != after.name
    none = process(swept.folder, *swept.words, "hydra.sweep.dir=without", "seed=0", "tracker.comparison=false")
    assert none.returncode == 0 and not runs(swept.folder / "without")
    assert [len(runs(job)) for job in find_jobs(swept.folder / "elsewhere")] == [1] * 4


def test_a_failure_of_the_sweeps_own_run_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    SweepRun().on_multirun_end(
        OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}, "tracker": {"name": "wanb"}})
    )
    assert [record.getMessage()[:40] for record in caplog.records] == ["the sweep's own run could not be logged:"]


def test_without_matplotlib_there_are_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert figures(compare_records(find_jobs(make_four(tmp_path))), tmp_path) == {}


def test_runs_on_other_rows_have_no_table_of_differences(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert set(tables(compare_records(find_jobs(make_four(tmp_path))))) == {"comparison", "differences"}
    (tmp_path / "0" / "predictions.safetensors").unlink()
    assert set(tables(compare_records(find_jobs(tmp_path)))) == {"comparison"}
    assert "no table of differences: cannot read the predictions" in caplog.text

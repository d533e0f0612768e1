"""Records keep what a paper needs, the same records give the same bytes, and what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import collect
from src.errors import UserError
from tests.helpers.records import LABELS, job, make_predictions, make_result


@pytest.fixture
def sweep(tmp_path):
    """A sweep's folder: two poolings of two tasks, one of them with draws."""
    generator = np.random.default_rng(0)
    for number, (dataset, pooling) in enumerate(
        (dataset, pooling) for dataset in ("one", "two") for pooling in ("cls", "mean")
    ):
        drawn = generator.integers(0, 2, size=(3, len(LABELS)) if dataset == "two" else len(LABELS))
        job(
            tmp_path / "sweep",
            number,
            drawn,
            dataset=dataset,
            pooling=pooling,
            draws=3 if dataset == "two" else 1,
            value=0.8,
        )
    return tmp_path / "sweep"


def test_a_bundle_gives_back_what_the_runs_left(sweep, tmp_path):
    found = collect.read(sweep)
    collect.bundle(found, tmp_path / "bundle")
    again = collect.read(tmp_path / "bundle")
    assert [each.result for each in again] == [each.result for each in found]
    for one, other in zip(found, again, strict=True):
        assert set(other.predictions) == set(collect.KEPT)
        for name, array in other.predictions.items():
            np.testing.assert_array_equal(array, one.predictions[name])


def test_the_order_of_records_does_not_show(sweep, tmp_path):
    found = collect.read(sweep)
    collect.bundle(found, tmp_path / "a")
    collect.bundle(found[::-1], tmp_path / "b")
    for name in (collect.LINES, collect.ARRAYS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_tasks_pair_the_poolings_of_a_dataset(sweep):
    tasks = {task.name: task for task in collect.tasks(collect.read(sweep))}
    assert set(tasks) == {"one", "two"}
    assert all(set(task.predictions) == {"cls", "mean"} for task in tasks.values())
    assert tasks["two"].predictions["cls"].shape == (3, len(LABELS))


def test_runs_on_different_rows_are_not_paired(sweep):
    found = collect.read(sweep)
    moved = {**found[0].predictions, "row": found[0].predictions["row"][::-1]}
    with pytest.raises(UserError, match="different rows"):
        collect.tasks([collect.Record("sweep", found[0].result, moved), *found[1:]])


def test_a_label_that_does_not_tell_runs_apart_is_refused(sweep):
    with pytest.raises(UserError, match="two runs are called x"):
        collect.labelled(collect.read(sweep), lambda result: "x")


@pytest.fixture
def records(sweep, tmp_path):
    """A folder of records with its manifest: one bundle, one other file."""
    folder = tmp_path / "records"
    collect.bundle(collect.read(sweep), folder / "poolings" / "tiny")
    (folder / "cost.json").write_text("{}\n")
    collect.write_manifest(folder)
    return folder


def test_what_is_there_is_read(records):
    assert [len(each) for each in collect.committed(records).values()] == [4]


def _take_a_line(records: Path) -> None:
    path = records / "poolings" / "tiny" / collect.LINES
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def _other_schema(records: Path) -> None:
    path = records / "poolings" / "tiny" / collect.LINES
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["record"]["schema"] = 2
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_take_a_line, "poolings/tiny lacks dataset=one pooling=cls"),
        (_other_schema, "has schema 2, this version reads schema 1"),
        (
            lambda records: (records / "poolings" / "tiny" / collect.LINES).unlink(),
            "the records of poolings/tiny are missing",
        ),
        (lambda records: (records / "poolings" / "tiny" / collect.ARRAYS).unlink(), "cannot be read"),
        (lambda records: (records / "poolings" / "tiny" / collect.ARRAYS).write_bytes(b"x" * 99), "cannot be read"),
        (lambda records: (records / "cost.json").unlink(), "cost.json is missing"),
        (lambda records: (records / "cost.json").write_text("[]"), "cost.json has changed"),
        (lambda records: (records / collect.MANIFEST).unlink(), "manifest.json cannot be read"),
    ],
)
def test_what_is_missing_or_changed_is_named(records, harm, said):
    harm(records)
    with pytest.raises(UserError, match=said):
        collect.committed(records)


def test_a_changed_score_is_noticed(records):
    path = records / "poolings" / "tiny" / collect.LINES
    path.write_text(path.read_text().replace("0.8", "0.9", 1))
    with pytest.raises(UserError, match="changed since it was collected"):
        collect.committed(records)


def test_the_command_collects_and_lists(sweep, tmp_path, capsys):
    folder = tmp_path / "records"
    collect.main([f"sweep={sweep}", f"output={folder / 'poolings' / 'tiny'}", f"records={folder}"])
    assert "4 runs" in capsys.readouterr().out
    assert len(json.loads((folder / collect.MANIFEST).read_text())["bundles"]["poolings/tiny"]["runs"]) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=nowhere"], "output is not set"),
        (["sweep=nowhere", "output=x"], "holds no record"),
        (["records=nowhere"], "no such folder"),
        (["sweeps=x"], "did you mean"),
    ],
)
def test_bad_input_ends_with_a_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        collect.main(words)
    assert ended.value.code == 1
    assert said in capsys.readouterr().err


def test_arrays_are_kept_small_and_come_back(tmp_path):
    predictions = make_predictions(LABELS, LABELS.astype(np.float64) / 3)
    kept = {name: predictions[name] for name in collect.KEPT}
    collect.bundle([collect.Record("x", make_result(), kept)], tmp_path)
    (back,) = collect.read(tmp_path)
    np.testing.assert_allclose(back.predictions["prediction"], kept["prediction"], rtol=1e-7)
    assert back.predictions["label"].dtype == np.int64 and back.predictions["row"].dtype == np.uint64
    assert (tmp_path / collect.ARRAYS).stat().st_size < len(LABELS) * 16 + 1000

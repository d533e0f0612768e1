"""Jobs are read from their folders, whatever is damaged there."""

import os

import pytest

from src.results.result import PREDICTIONS, RECORD
from src.sweeps.export import to_csv, to_markdown
from src.sweeps.jobs import find_jobs, jobs_of_last_sweep
from src.sweeps.plan import SweepPlan
from src.sweeps.rendering import render
from src.sweeps.status import FAILURE, STATUS, read_failure, write_failure, write_status
from tests.helpers.records import LABELS, job, make_job, wrong
from tests.sweeps.helpers import compared, marks


def test_jobs_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 0, 2):
        write_failure(tmp_path / str(number), [], "x", "user")
    assert [folder.name for folder in find_jobs(tmp_path)] == ["0", "2", "9", "10"]


def test_jobs_of_an_earlier_sweep_in_the_folder_are_left_out(tmp_path):
    for number, sweep in enumerate(("new", "old", "new")):
        write_status(tmp_path / str(number), "done", sweep=sweep)
    assert len(jobs_of_last_sweep(tmp_path)) == 3
    SweepPlan(tmp_path, "new").write()
    assert [folder.name for folder in jobs_of_last_sweep(tmp_path)] == ["0", "2"]


def test_a_job_done_at_the_second_try_has_not_failed(tmp_path):
    write_failure(tmp_path / "0", ["a=1"], "no space", "crash")
    assert compared(tmp_path).failed[0].error == "no space"
    job(tmp_path, 0, wrong(1))
    assert not compared(tmp_path).failed
    assert not (tmp_path / "0" / "failure.json").exists()


def test_a_failed_job_with_an_earlier_record_has_failed(tmp_path):
    job(tmp_path, 0, wrong(1))
    write_failure(tmp_path / "0", ["a=1"], "no space", "crash")
    assert [job.error for job in compared(tmp_path).failed] == ["no space"]


def test_a_skipped_job_can_name_a_record_elsewhere(tmp_path):
    make_job(tmp_path / "store" / "abc", LABELS, wrong(3))
    write_status(tmp_path / "sweep" / "0", "skipped", record=tmp_path / "store" / "abc")
    assert str(tmp_path) not in (tmp_path / "sweep" / "0" / "status.json").read_text()
    comparison = compared(tmp_path / "sweep")
    assert comparison.count("skipped") == 1
    assert comparison.groups[0].runs[0].result.pooling == "mean"


DAMAGE = {
    "deep": b"[" * 100_000,
    "torn": b'{"status"',
    "no text": b"\xff\xfe",
    "number": b'{"status": ' + b"9" * 5000 + b"}",
    "nan": b'{"status": NaN}',
    "list": b"[1]",
    "types": b'{"status": ["done"], "record": 5, "error": 5, "overrides": 7, "kind": []}',
    "inner types": b'{"status": {}, "record": [], "error": ["x"], "overrides": [7], "settled": "no"}',
    "far": b'{"status": "done", "record": "' + b"x" * 5000 + b'"}',
}


@pytest.mark.parametrize("name", [STATUS, FAILURE, RECORD, PREDICTIONS, ".hydra/overrides.yaml"])
@pytest.mark.parametrize("damage", [*DAMAGE, "folder", "pipe"])
def test_a_damaged_file_of_a_job_affects_that_job_alone(tmp_path, name, damage):
    job(tmp_path, 0, wrong(10), pooling="cls")
    job(tmp_path, 1, wrong(40), pooling="mean")
    path = tmp_path / "1" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(DAMAGE[damage])
    comparison = compared(tmp_path)
    assert [job.status for job in comparison.jobs] == ["done", "failed" if name == RECORD else "done"]
    for text in (render(comparison), to_markdown(comparison), to_csv(comparison)):
        assert "cls" in text
    assert all(
        marks(group).get("mean") in (None, "untested" if name == PREDICTIONS else "worse")
        for group in comparison.groups
    )


@pytest.mark.parametrize("damage", ["types", "inner types"])
def test_a_failed_job_with_a_damaged_failure_file_has_failed(tmp_path, damage):
    write_status(tmp_path / "0", "failed")
    (tmp_path / "0" / FAILURE).write_bytes(DAMAGE[damage])
    assert compared(tmp_path).count("failed") == 1
    assert read_failure(tmp_path / "0") == {}

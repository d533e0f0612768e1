"""A sweep ends with a report that counts its own jobs, and none of an earlier sweep in its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from src.errors import UserError
from src.results.result import RECORD, SchemaError
from src.sweeps.export import to_csv, to_markdown
from src.sweeps.plan import PlannedJob, SweepPlan
from src.sweeps.rendering import render
from src.sweeps.report import write_comparison, write_report
from src.sweeps.status import INTERRUPTED, NOT_STARTED, JobStatus, start_job, write_failure, write_status
from tests.sweeps.helpers import compared


def plan_of(folder: Path, number: int) -> SweepPlan:
    jobs = (PlannedJob(each, (f"seed={each}",), folder / str(each)) for each in range(number))
    return SweepPlan(folder, "this", jobs=tuple(jobs))


def test_a_status_that_is_none_of_three_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="done, skipped, failed"):
        write_status(tmp_path, "finished")


def test_an_earlier_result_stays_valid_until_a_job_replaces_it(tmp_path: Path) -> None:
    assert not start_job(tmp_path, "one")
    write_status(tmp_path, "done", sweep="one")
    assert start_job(tmp_path, "two") and start_job(tmp_path, "three")
    status = JobStatus.read(tmp_path)
    assert status == JobStatus("running", "three", earlier_result=True) and status.has_result and not status.ended


def test_the_comparison_is_printed_and_written(four: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparison = write_comparison(compared(four), four)
    table, _, rest = capsys.readouterr().out.partition("results: ")
    assert table == render(comparison) and f"experiments.report records={four}" in rest
    assert [line for line in f"results: {rest}".splitlines() if line.startswith("results: ")] == [
        f"results: {four / name}" for name in ("comparison.md", "comparison.csv")
    ]
    assert (four / "comparison.csv").read_text() == to_csv(comparison)
    assert (four / "comparison.md").read_text() == to_markdown(comparison)


def test_a_comparison_is_printed_as_one_line_of_json(four: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_comparison(compared(four), four, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    assert values["jobs"]["done"] == len(values["runs"]) == 8
    assert [Path(path).is_file() for path in values["results"]] == [True, True]


def test_the_files_are_written_before_anything_is_printed(four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def isatty(self) -> bool:
            return False

        def write(self, text: str) -> None:
            raise OSError("nobody reads")

    monkeypatch.setattr("sys.stdout", Closed())
    with pytest.raises(OSError, match="nobody reads"):
        write_comparison(compared(four), four)
    assert (four / "comparison.csv").is_file() and (four / "comparison.md").is_file()


def test_a_folder_that_cannot_be_written_is_the_users_error(
    four: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device\. Set hydra\.sweep\.dir"):
        write_comparison(compared(four), four)
    assert "8 done, 0 skipped, 0 failed" in capsys.readouterr().out


def test_a_sweep_without_jobs_prints_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(plan_of(tmp_path, 0))
    assert capsys.readouterr().out == "0 done, 0 skipped, 0 failed\n"


def test_jobs_of_an_earlier_sweep_are_not_counted(four: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(four, 4)
    JobStatus("done", "this").write(four / "0")
    JobStatus("running", "this").write(four / "1")
    write_failure(four / "2", ["seed=2"], "bad", "user", sweep="this")
    comparison = write_report(plan)
    assert [(job.status, job.error) for job in comparison.jobs] == [
        ("done", ""), ("failed", INTERRUPTED), ("failed", "bad"), ("failed", NOT_STARTED)
    ]  # fmt: skip
    assert [len(group.runs) for group in comparison.groups] == [1]
    assert JobStatus.read(four / "1") == JobStatus("failed", "this")
    assert JobStatus.read(four / "3") == JobStatus("done")  # the earlier result is kept


def test_a_job_that_was_not_started_is_written_down_as_failed(tmp_path: Path) -> None:
    write_report(plan_of(tmp_path, 1))
    (job,) = compared(tmp_path).jobs
    assert (job.status, job.error, job.overrides) == ("failed", NOT_STARTED, ("seed=0",))


def test_jobs_without_records_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(tmp_path, 3)
    write_status(tmp_path / "0", "done", sweep="this")
    write_failure(tmp_path / "1", ["seed=1"], "bad", "user", sweep="this")
    write_report(plan, has_records=False)
    out = capsys.readouterr().out
    assert "1 done, 0 skipped, 2 failed" in out and "bad" in out and not (tmp_path / "comparison.csv").exists()


def test_records_of_another_schema_are_refused(four: Path) -> None:
    record: Any = (four / "0" / RECORD).read_text()
    (four / "0" / RECORD).write_text(record.replace('"schema": ', '"schema": 9'))
    JobStatus("done", "this").write(four / "0")
    with pytest.raises(SchemaError):
        write_report(plan_of(four, 1))

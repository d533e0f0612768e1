"""Offline runs of real processes, read back with W&B's own reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.trackers.wandb_summary import wandb_summary
from tests.helpers.records import make_result
from tests.helpers.wandb import HEAD, KEY, environment, inspect, merged, offline_runs, python


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two jobs of one process, the second of which fails; a key lies in the environment."""
    folder = tmp_path_factory.mktemp("sweep")
    script = """
for folder, failed in (("job 0", False), ("job 1", True)):
    tracker = start(folder, "tiny-" + folder)
    if not failed:
        tracker.log(make_result())
    print(tracker.finish(failed))
sys.stdout.flush()
children = Path(f"/proc/self/task/{os.getpid()}/children")
print("children", children.read_text() if children.exists() else "", file=sys.stderr)
"""
    done = python(script, folder, WANDB_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_for_each_job_in_its_own_folder_and_one_line_about_it(sweep):
    folder, done = sweep
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line, job in zip(lines, ("job 0", "job 1"), strict=True):
        (run,) = offline_runs(folder / job)
        assert line == f"W&B: offline run; send it with: wandb sync '{run.relative_to(folder)}'"
    assert done.stderr.startswith("children")  # nothing else was printed
    assert len(done.stderr.splitlines()) == 1


def test_the_run_holds_config_summary_and_grid(sweep):
    folder, _ = sweep
    (run,) = offline_runs(folder / "job 0")
    records = inspect(run)
    (head,) = [record["run"] for record in records if record["type"] == "run"]
    assert head["display_name"] == "tiny-job 0"
    assert not head.get("host")
    assert (head["run_group"], head["job_type"], head["tags"], head["project"]) == (
        "sweep",
        "probe",
        ["tiny", "mean"],
        "bert-pooling-probes",
    )
    config = {name: value for name, value in head["config"]["update"].items() if name != "_wandb"}
    assert config == {"model": {"path": "tiny", "revision": None}, "layer": -1}
    found = merged(records, "summary")
    for name, value in wandb_summary(make_result()).items():
        assert found[name] == value
    (table,) = run.glob("files/media/table/grid*.json")
    assert json.loads(table.read_text()) == {
        "columns": ["value", "loss", "converged"],
        "data": [[0.1, 0.5, True], [0.01, 0.4, True]],
    }
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]


def test_a_failed_job_is_marked_failed(sweep):
    folder, _ = sweep
    (run,) = offline_runs(folder / "job 1")
    records = inspect(run)
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [1]
    assert "score" not in merged(records, "summary")


def test_neither_key_nor_host_nor_command_line_is_written_anywhere(sweep):
    folder, done = sweep
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    content = b"".join(path.read_bytes() for path in files) + (done.stdout + done.stderr).encode()
    assert KEY.encode() not in content
    runs = b"".join(path.read_bytes() for path in folder.rglob("*.wandb"))
    assert runs
    assert sys.executable.encode() not in runs
    assert b"/" + Path(sys.argv[0]).name.encode() not in runs


def test_a_job_writes_nothing_into_the_home_folder(sweep):
    folder, _ = sweep
    assert not [path for path in (folder / "home").rglob("*") if path.is_file() and path.suffix != ".log"]


def test_no_process_is_left_behind(sweep):
    _, done = sweep
    children = [int(word) for word in done.stderr.split()[1:]]
    if not children:
        pytest.skip("needs /proc to find the library's process")
    end = time.monotonic() + 5
    while (alive := [child for child in children if _runs(child)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive


def _runs(process: int) -> bool:
    try:
        return b"wandb" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_killed_job_keeps_what_it_logged(tmp_path):
    (tmp_path / "home").mkdir()
    script = HEAD + "tracker = start('job', 'killed'); tracker.log(make_result()); tracker.measure({'loss': 2.5}, 7)"
    script += "; print('logged', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        time.sleep(2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    (run,) = offline_runs(tmp_path / "job")
    records = inspect(run)
    assert merged(records, "summary")["score"] == 0.8
    assert [
        record["history"]["item"]["loss"] for record in records if "loss" in record.get("history", {}).get("item", {})
    ] == [2.5]


def test_a_crash_of_the_library_is_a_warning_and_stops_no_job(tmp_path):
    script = """
import signal
tracker = start("one", "one")
for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
    if b"wandb" in Path(f"/proc/{child}/cmdline").read_bytes():
        os.kill(int(child), signal.SIGKILL)
before = time.monotonic()
tracker.log(make_result())
tracker.finish(False)
assert time.monotonic() - before < 5
tracker = start("two", "two")
tracker.log(make_result())
print(tracker.finish(False))
"""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        pytest.skip("needs /proc to find the library's process")
    done = python(script, tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines()
    assert all(line.startswith("W&B could not") and line.endswith("not affected.") for line in done.stderr.splitlines())
    assert "two/wandb/offline-run-" in done.stdout


@pytest.mark.parametrize("mode", ["offline", "auto"])
def test_without_a_home_folder_stderr_stays_empty(tmp_path, mode):
    (tmp_path / "tmp").mkdir()
    script = (
        f"tracker = start('job', 'homeless', mode='{mode}'); tracker.log(make_result()); print(tracker.finish(False))"
    )
    done = python(script, tmp_path, HOME="", XDG_CACHE_HOME="", TMPDIR=str(tmp_path / "tmp"))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "wandb sync" in done.stdout
    assert offline_runs(tmp_path / "job")

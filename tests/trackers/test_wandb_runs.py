"""Folders of W&B runs: identifiers and complete files."""

from __future__ import annotations

from pathlib import Path

from src.trackers.wandb_runs import remove_replaced_runs, run_identity, sync_hints
from tests.helpers.wandb import process


def test_a_job_done_again_in_its_folder_continues_its_run_and_no_other(clean, tmp_path):
    identity = run_identity
    first = identity(tmp_path, "abcdef0123")
    assert first["id"].startswith("abcdef01_") and set(first) == {"id"}
    assert identity(tmp_path, "abcdef0123") != first
    (tmp_path / "wandb" / f"offline-run-20260131_120000-{first['id']}").mkdir(parents=True)
    assert identity(tmp_path, "abcdef0123") == {**first, "resume": "allow"}
    assert "resume" not in identity(tmp_path, "0123456789")
    assert identity(tmp_path, "")["id"].startswith("refused_")
    clean.setenv("WANDB_RUN_ID", "chosen")  # by a W&B sweep's agent
    assert identity(tmp_path, "abcdef0123") == {}


def make_run(folder: Path, name: str, *, sent: bool = False) -> Path:
    """A run's folder with content."""
    run = folder / "wandb" / name
    run.mkdir(parents=True)
    (run / "run-x.wandb").write_bytes(bytes(100))
    if sent:
        (run / "run-x.wandb.synced").touch()
    return run


def test_a_sweeps_own_run_replaces_those_that_were_not_sent(tmp_path: Path) -> None:
    names = ("offline-run-1-a", "offline-run-2-b", "offline-run-3-c")
    unsent, sent, last = (make_run(tmp_path, name, sent=name.endswith("b")) for name in names)
    online = make_run(tmp_path, "run-0-d")
    remove_replaced_runs(tmp_path, last)
    assert [run.is_dir() for run in (unsent, sent, last, online)] == [False, True, True, True]


def test_one_command_sends_the_jobs_runs_and_the_sweeps_own(tmp_path: Path) -> None:
    sweep = tmp_path / "my sweep"
    jobs = [sweep / "0", sweep / "1"]
    for number, job in enumerate(jobs):
        make_run(job, f"offline-run-{number}-a{number}")
    (line,) = sync_hints(jobs, sweep)
    assert "2 offline runs;" in line and line.endswith("my sweep'/*/wandb/offline-run-*")
    make_run(sweep, "offline-run-9-z")
    (line,) = sync_hints(jobs, sweep)
    assert "2 offline runs;" in line and line.endswith(f"'{sweep}'/*/wandb/offline-run-* '{sweep}/wandb'/offline-run-*")


def test_a_file_that_ends_before_its_run_is_known(tmp_path: Path) -> None:
    script = """
from pathlib import Path
from src.config.schema import TrackerConfig
from src.trackers.registry import build_tracker
from src.trackers.wandb_files import has_ended
tracker = build_tracker(TrackerConfig())
tracker.start({}, name='a', group=None, job_type='probe', tags=[], folder=Path('job'))
tracker.measure({'x': 1.0}, 0)
tracker._run.finish()
(log,) = Path('job').glob('wandb/offline-run-*/run-*.wandb')
whole = log.read_bytes()
found = [has_ended(log.parent, 0.2)]
for end in (len(whole) - 1, len(whole) // 2, 8):
    log.write_bytes(whole[:end])
    found.append(has_ended(log.parent, 0.2))
print(found)
"""
    (tmp_path / "home").mkdir()
    ended = process(tmp_path, script=script)
    assert ended.stdout.splitlines()[-1] == "[True, False, False, False]", ended.stderr

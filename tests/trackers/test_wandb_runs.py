"""Folders of W&B runs: identifiers and complete files."""

from __future__ import annotations

from pathlib import Path

from src.trackers.wandb_runs import run_identity
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

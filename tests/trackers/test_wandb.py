"""Modes of the W&B tracker: what the configuration asks for, and what key, server and environment allow."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from src.config.schema import TrackerConfig
from src.errors import UserError
from src.trackers import wandb_server
from src.trackers.registry import build_tracker
from src.trackers.wandb import WandbTracker
from tests.helpers.records import make_result
from tests.helpers.wandb import HEAD, KEY, closed_port, environment, offline_runs, python


def test_auto_without_a_key_falls_back_and_says_why(tmp_path):
    done = python("print(start('job', 'auto', mode='auto').finish(False))", tmp_path)
    assert "W&B: offline run (no W&B API key was found); send it with: wandb sync job/wandb/offline-run-" in done.stdout
    assert len(offline_runs(tmp_path / "job")) == 1


def test_auto_with_a_key_and_no_server_falls_back_and_says_why(tmp_path):
    done = python(
        "print(build_tracker(TrackerConfig(mode='auto')).reason)",
        tmp_path,
        WANDB_API_KEY=KEY,
        WANDB_BASE_URL=f"http://127.0.0.1:{closed_port()}",
    )
    assert done.stdout.startswith("127.0.0.1 cannot be reached: ")
    assert KEY not in done.stdout + done.stderr


def test_online_without_a_key_is_refused_at_once_without_questions(tmp_path):
    script = (
        HEAD
        + "try:\n    build_tracker(TrackerConfig(mode='online'))\n"
        + "except Exception as error:\n    print('refused:', error)"
    )
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment(tmp_path), stdin=there, stdout=there, stderr=there, cwd=tmp_path
    )
    os.close(there)
    try:
        assert process.wait(timeout=20) == 0
        text = b""
        while select.select([here], [], [], 0.2)[0]:
            try:
                text += os.read(here, 65536)
            except OSError:
                break
    finally:
        process.kill()
        os.close(here)
    assert text.startswith(b"refused: tracker.mode=online: no W&B API key was found")
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_BASE_URL", "notaurl"), ("WANDB_BASE_URL", "http://[::1"), ("WANDB_MODE", "garbage")]
)
def test_settings_that_cannot_be_read_are_a_reason_and_no_traceback(tmp_path, name, value):
    done = python(
        "print(start('job', 'auto', mode='auto').finish(False))", tmp_path, WANDB_API_KEY=KEY, **{name: value}
    )
    assert "Traceback" not in done.stderr and KEY not in done.stdout + done.stderr
    assert done.stdout.startswith("W&B: offline run (") or "None" in done.stdout


@pytest.mark.parametrize("obstacle", [None, "no key"])
@pytest.mark.parametrize("wanted", ["offline", "auto", "online"])
def test_the_mode_is_the_possible_one_of_those_asked_for(clean, wanted, obstacle):
    asked = []
    clean.setattr(wandb_server, "offline_reason", lambda: asked.append(1) or obstacle)
    if wanted == "online" and obstacle:
        with pytest.raises(UserError, match=r"tracker\.mode=online: no key\.\n.*tracker\.mode=offline"):
            WandbTracker(TrackerConfig(mode=wanted))
    else:
        expected = "offline" if wanted == "offline" or obstacle else "online"
        assert WandbTracker(TrackerConfig(mode=wanted)).mode == expected
    assert len(asked) == (wanted != "offline")


@pytest.mark.parametrize("wanted", ["auto", "online"])
def test_a_refusal_is_remembered_for_the_next_job(clean, wanted):
    asked = []
    clean.setattr(wandb_server, "offline_reason", lambda: asked.append(1) or "no answer")
    for _ in range(3):
        try:
            assert WandbTracker(TrackerConfig(mode=wanted)).mode == "offline"
        except UserError as error:
            assert "no answer" in str(error)
    assert len(asked) == 1


@pytest.mark.parametrize("wanted", ["offline", "auto", "online"])
@pytest.mark.parametrize(("switch", "mode"), [("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")])
def test_the_environment_can_only_keep_runs_offline(clean, wanted, switch, mode):
    clean.setenv("WANDB_MODE", switch)
    clean.setattr(wandb_server, "offline_reason", lambda: pytest.fail("asked for a key"))
    assert WandbTracker(TrackerConfig(mode=wanted)).mode == mode
    clean.setenv("WANDB_MODE", "online")
    assert WandbTracker(TrackerConfig(mode="offline")).mode == "offline"


def test_disabled_writes_nothing(clean, tmp_path):
    clean.setenv("WANDB_MODE", "disabled")
    tracker = build_tracker(TrackerConfig())
    tracker.start({}, name="a", group=None, job_type="probe", tags=[], folder=tmp_path / "job")
    tracker.log(make_result())
    assert tracker.finish(False) is None
    assert not (tmp_path / "job").exists()


class Refusing(WandbTracker):
    """A tracker whose server takes no online run, and whose disk may take no offline one."""

    opened: list[str]
    disk = True

    def _open(self, about):
        self.opened = [*getattr(self, "opened", []), self.mode]
        if self.mode == "online" or not self.disk:
            raise RuntimeError("permission denied for this entity")


def start(tracker: WandbTracker, folder: Path) -> WandbTracker:
    tracker.start({}, name="a", group=None, job_type="probe", tags=[], folder=folder)
    return tracker


def test_a_server_that_refuses_the_run_ends_online_and_not_auto(clean, tmp_path, caplog):
    clean.setattr(wandb_server, "offline_reason", lambda: None)
    auto = start(Refusing(TrackerConfig(mode="auto")), tmp_path)
    assert auto.opened == ["online", "offline"]
    assert auto.reason == "the server refused the run: permission denied for this entity"
    wandb_server.shared_server.cache_clear()
    with pytest.raises(UserError, match="refused the run: permission denied"):
        start(Refusing(TrackerConfig(mode="online")), tmp_path)
    # the library's service may log lines of its own
    assert not [entry for entry in caplog.records if entry.name.startswith("src")]
    Refusing.disk = False
    try:
        for mode in ("offline", "auto"):
            wandb_server.shared_server.cache_clear()
            tracker = start(Refusing(TrackerConfig(mode=mode)), tmp_path)
            tracker.log(make_result())
            assert tracker.finish(False) is None
    finally:
        Refusing.disk = True
    ours = [entry.getMessage()[:36] for entry in caplog.records if entry.name.startswith("src")]
    assert ours == ["W&B could not open an offline run: p"] * 2

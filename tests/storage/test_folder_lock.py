"""The lock of a folder: one command at a time, and none remains after a killed command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src import extract, run
from src.errors import UserError
from src.storage.folder_lock import LOCK, FolderLock
from tests.conftest import Ended

ROOT = Path(__file__).resolve().parents[2]
RunMain = Callable[..., Ended]
HOLD = """
import sys, time
from pathlib import Path
from src.storage.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]), 'x')
lock.acquire()
"""


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Another process has the folder; gives its id."""
    script = HOLD + "print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        try:
            yield other.pid
        finally:
            other.kill()


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("main", "words", "key"),
    [
        (run.main, ["-m", "pooling=cls,mean"], "hydra.sweep.dir"),
        (run.main, [], "hydra.run.dir"),
        (extract.main, ["-m", "pooling=cls,mean", "'output=\"${pooling.name}\"'"], "hydra.sweep.dir"),
        (extract.main, ["output=features"], "hydra.run.dir"),
        (run.main, ["-m", "pooling=cls,mean", "hydra/launcher=joblib"], "hydra.sweep.dir"),
    ],
)
def test_the_second_command_in_a_folder_is_refused_and_changes_nothing(
    run_main: RunMain, files: list[str], tmp_path: Path, main: Callable[[], None], words: list[str], key: str
) -> None:
    words = [word.strip("'") for word in words]
    (tmp_path / "here" / "0").mkdir(parents=True)
    (tmp_path / "here" / "0" / "status.json").write_text("{}")
    with held(tmp_path / "here") as other:
        before = contents(tmp_path / "here")
        ended = run_main(main, *files, *words, f"{key}=here")
        assert contents(tmp_path / "here") == before
    assert ended.status == 1 and len(ended.lines) == 1 and not ended.out
    assert f"{key}=here" in ended.err and f"process {other}" in ended.err


def test_the_folder_is_free_again_when_a_command_has_ended_or_was_killed(
    run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    with held(tmp_path / "here") as other:
        os.kill(other, signal.SIGKILL)
        os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
        for _ in range(2):
            assert run_main(run.main, *files, "hydra.run.dir=here").status == 0
    assert (tmp_path / "here" / LOCK).read_text() == ""


def test_a_process_that_ends_by_itself_frees_the_folder(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, check=True)
    with FolderLock(tmp_path, "x"):
        pass


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "text"])
def test_anything_in_the_locks_place_does_not_stop_a_command(tmp_path: Path, kind: str) -> None:
    place, other = tmp_path / "run" / LOCK, tmp_path / "other"
    place.parent.mkdir()
    other.write_text("mine")
    {
        "folder": place.mkdir,
        "link": lambda: place.symlink_to(other),
        "pipe": lambda: os.mkfifo(place),
        "text": lambda: place.write_text("["),
    }[kind]()
    with FolderLock(place.parent, "x"):
        pass
    assert other.read_text() == "mine"


def test_an_unreadable_owner_does_not_hide_that_the_folder_is_locked(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / LOCK).write_text('{"process": []}')
        with pytest.raises(UserError, match="another command is at work"):
            FolderLock(tmp_path, "x").acquire()

"""The application ends each error in a line or two; only unexpected errors show a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src import extract, run
from tests.cli.refusals import Command, assert_refused
from tests.conftest import SENTENCES, write_csv

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("sweeps", [[], ["-m", "pooling=cls,mean"]])
def test_a_job_that_changes_its_folder_reads_the_paths_of_the_command(
    run_main: Command, files: list[str], tmp_path: Path, sweeps: list[str]
) -> None:
    words = ["hydra.job.chdir=True", "runtime.cache_dir=store", f"hydra.{'sweep' if sweeps else 'run'}.dir=here"]
    ended = run_main(run.main, *sweeps, *files, *words)
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "here").rglob("result.json"))) == (2 if sweeps else 1) and (tmp_path / "store").is_dir()
    ended = run_main(extract.main, *sweeps, *files, *words, "output=features/${pooling.name}")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "features").rglob("train.safetensors"))) == (2 if sweeps else 1)


def test_an_unexpected_error_keeps_its_traceback(
    run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("src.pipeline.prepare.prepare", fail)
    with pytest.raises(RuntimeError, match="unforeseen"):
        run_main(run.main, *files)


def test_a_folder_that_fails_midway_gives_one_line(
    run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")

    monkeypatch.setattr("src.pipeline.prepare.prepare", fail)
    assert_refused(run_main(run.main, *files), "'/somewhere'", "No space left")


def test_an_interruption_gives_one_line(run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("src.pipeline.prepare.prepare", interrupt)
    ended = run_main(run.main, *files)
    assert ended.status == 130 and len(ended.lines) == 1 and "goes on from there" in ended.err


def test_an_interrupted_pass_keeps_its_shards(
    run_main: Command, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.storage.shards import ShardStore

    write_csv(
        tmp_path / "train.csv",
        [(SENTENCES[place % 5] + f" {place}" * 9, ("no", "yes")[place % 2]) for place in range(2_000)],
    )
    write = ShardStore.commit

    def interrupted(self: ShardStore, number: int) -> Path:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started with it ignored
        signal.raise_signal(signal.SIGINT)
        return write(self, number)

    with monkeypatch.context() as stopped:
        stopped.setattr(
            ShardStore,
            "commit",
            lambda self, number: (interrupted if any(self.folder.glob("*.npy")) else write)(self, number),
        )
        assert run_main(run.main, *files, "runtime.token_budget=256").status == 130
    assert len(list(tmp_path.glob("cache/*/passes/*/*.npy"))) == 1
    ended = run_main(run.main, *files, "runtime.token_budget=256")
    assert ended.status == 0, ended.err
    assert "cache partial" in ended.out


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache"), "WANDB_MODE": "disabled"}


@pytest.mark.parametrize("name", ["src.run", "src.extract"])
def test_help_imports_nothing_heavy(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    code = "import runpy, sys as s; s.argv = ['', '--help']\n"
    code += f"try: runpy.run_module('{name}', run_name='__main__')\nfinally: print(*s.modules)"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "pooling: " in ended.stdout and "first_last_mean" in ended.stdout
    heavy = {"torch", "transformers", "sklearn", "datasets", "wandb", "pandas", "scipy"}
    assert not heavy & set(ended.stdout.splitlines()[-1].split())


def test_a_broken_pipe_shows_no_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "src.run", "--help"]
    piped = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert piped.stdout is not None and piped.stderr is not None
    piped.stdout.close()
    assert piped.stderr.read() == ""
    assert piped.wait() == 0


def test_a_run_prints_only_lines_of_the_suite(environment: dict[str, str], files: list[str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "src.run", *files], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.split(":")[0].split(" ")[0] for line in ended.stderr.splitlines()] == [
        "loading",
        "files/train",
        "files/test",
    ]

"""Processes that make W&B runs, and readers of those runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEY = "fake" + 36 * "7"
HEAD = """
import os, sys, time, logging
from pathlib import Path
from typing import Any
from src.config.schema import TrackerConfig
from src.trackers.registry import build_tracker
from tests.helpers.records import make_result
logging.basicConfig(format="%(message)s")
assert "wandb" not in sys.modules
def start(folder, run, **config):
    tracker = build_tracker(TrackerConfig(**config))
    tracker.start(
        {"model": {"path": "tiny", "revision": None}, "layer": -1}, name=run, group="sweep", job_type="probe",
        tags=["tiny", "mean"],
        folder=Path(folder),
    )
    return tracker
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment that knows no key and no W&B settings but those given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WANDB_") and "proxy" not in name.lower()
    }
    return {**kept, "HOME": str(home), "NETRC": str(home / "netrc"), "PYTHONPATH": str(ROOT), **more}


def python(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", HEAD + script],
        cwd=folder,
        env=environment(folder / "home", **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def offline_runs(folder: Path) -> list[Path]:
    """Return the folders of a job's offline runs."""
    return sorted(path for path in folder.glob("wandb/offline-run-*") if path.is_dir())


def inspect(run: Path) -> list[dict]:
    """What the library's own reader finds in an offline run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    done = subprocess.run(command, env=environment(run), capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def merged(records: list[dict], kind: str) -> dict:
    found: dict = {}
    for record in records:
        if record["type"] == kind:
            found |= record[kind].get("update", {})
    return found


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def read(run: Path) -> list[dict[str, Any]]:
    """What `wandb leet inspect --json` prints, by the program that it starts: without a second of Python a run."""
    from wandb.util import get_core_path

    (log,) = run.glob("run-*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(log), str(run)]
    done = subprocess.run(command, env=environment(run), capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def head(records: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [record["run"] for record in records if record["type"] == "run"]
    return dict(found)


def history(run: Path) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in read(run) if record["type"] == "history"]


def exits(records: list[dict[str, Any]]) -> list[int]:
    return [record["exit"]["exit_code"] for record in records if record["type"] == "exit"]


def config(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in head(records)["config"]["update"].items() if name != "_wandb"}


def runs(job: Path) -> list[Path]:
    return sorted(path for path in job.glob("wandb/offline-run-*") if path.is_dir())


def process(
    folder: Path, *words: str, script: str = "from src import run; run.main()", **more: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a key in its environment and a server that cannot be reached."""
    address = f"http://127.0.0.1:{closed_port()}"
    known = environment(
        folder / "home", WANDB_API_KEY=KEY, WANDB_BASE_URL=address, XDG_CACHE_HOME=str(folder / "cache"), **more
    )
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=known,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

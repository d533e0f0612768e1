"""Runs are sent, at once or by `wandb sync`, to a server that speaks W&B's language.

Opt-in: OPENWANDB names the program of such a server.

    python -m venv peer && peer/bin/pip install openwandb==0.5.25
    OPENWANDB=peer/bin/openwandb python -m pytest tests/trackers/test_wandb_sync.py -n 0

openwandb's licence is non-commercial: it is a peer for this test and no dependency. It listens on loopback alone.
It keeps no exit codes, so that a failed run looks finished there; test_trackers.py reads those.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.records import make_result
from tests.helpers.wandb import HEAD, closed_port, environment, offline_runs

SERVER = os.environ.get("OPENWANDB", "")
KEY = "local" + 40 * "0"  # the server's own, for demonstrations
RESULT = make_result()
JOB = """
from tests.helpers.records import LABELS, make_job
def start(folder, mode):
    tracker = build_tracker(TrackerConfig(mode=mode))
    config = {"key": make_result().key, "pooling": "mean", "layer": 2}
    tracker.start(config, name=folder, group="sweep", job_type="probe", tags=["tiny"], folder=Path(folder))
    return tracker
def whole(folder, mode):
    tracker = start(folder, mode)
    tracker.log(make_result())
    tracker.show({"examples": (["row", "correct"], [["0a", 1.0], ["0b", 0.0]])})
    result = make_job(Path(folder), LABELS, LABELS, value=0.8)
    tracker.attach(result, Path(folder))
    print(tracker.finish(False))
"""


def ask(address: str, path: str) -> Any:
    request = urllib.request.Request(f"{address}{path}", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    if not SERVER:
        pytest.skip(
            "needs a server that speaks W&B's language: set OPENWANDB to the program (see the head of this file)"
        )
    folder = tmp_path_factory.mktemp("server")
    (folder / "home").mkdir()
    port = closed_port()
    command = [
        SERVER,
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--data-dir",
        str(folder / "data"),
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(
        command, env=environment(folder / "home"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                ask(address, "/api/v2/projects")
                break
            except OSError:
                time.sleep(0.2)
        known = environment(folder / "home", WANDB_API_KEY=KEY, WANDB_BASE_URL=address, no_proxy="127.0.0.1")
        yield SimpleNamespace(address=address, folder=folder, environment=known)
    finally:
        process.terminate()
        process.wait(timeout=20)


def python(server: SimpleNamespace, script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HEAD + JOB + script]
    return subprocess.run(
        command,
        cwd=server.folder,
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def sync(server: SimpleNamespace, *runs: Path) -> str:
    command = [sys.executable, "-m", "wandb", "sync", *map(str, runs)]
    done = subprocess.run(
        command, cwd=server.folder, env=server.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def sent(server: SimpleNamespace, name: str) -> list[dict[str, Any]]:
    found = ask(server.address, "/api/v2/projects/default/bert-pooling-probes/runs")["runs"]
    return [run for run in found if run["display_name"] == name]


def points(server: SimpleNamespace, run: dict[str, Any], name: str) -> list[float]:
    """Return the values of a curve in the order of its steps."""
    rows = ask(server.address, f"/api/v2/runs/{run['run_id']}/metrics")["metrics_by_key"][name]
    return [row["value"] for row in sorted(rows, key=lambda row: row["step"])]


def holds_the_record(server: SimpleNamespace, run: dict[str, Any]) -> None:
    assert run["state"] == "finished" and run["tags"] == ["tiny"] and not run["host"]
    assert {name: value["value"] for name, value in run["config"].items() if name != "_wandb"} == {
        "key": RESULT.key, "pooling": "mean", "layer": 2,
    }  # fmt: skip
    assert (run["summary"]["score"], run["summary"]["seconds/encode"], run["summary"]["score_metric"]) == (
        0.8,
        30.0,
        "accuracy",
    )
    files = json.dumps(ask(server.address, f"/api/v1/runs/{run['run_id']}/files"))
    assert "media/table/grid_" in files and "media/table/examples_" in files
    assert RESULT.score["value"] in points(server, run, "score")
    artifacts = json.dumps(ask(server.address, f"/api/v2/runs/{run['run_id']}/artifacts"))
    assert '"record-' in artifacts, artifacts


@pytest.mark.parametrize("mode", ["online", "auto"])
def test_a_run_is_sent_while_it_goes(server: SimpleNamespace, mode: str) -> None:
    done = python(server, f"whole('{mode}', '{mode}')")
    assert done.stdout.startswith(f"W&B: {server.address}/"), done.stderr
    (run,) = sent(server, mode)
    holds_the_record(server, run)
    assert run["program"] == "src.run"  # and no path


def test_an_offline_run_is_sent_by_the_command_that_it_names(server: SimpleNamespace) -> None:
    line = python(server, "whole('offline', 'offline')").stdout
    assert "send it with: wandb sync offline/wandb/offline-run-" in line
    (run,) = offline_runs(server.folder / "offline")
    sync(server, server.folder / line.split("wandb sync ")[1].strip())
    (found,) = sent(server, "offline")
    holds_the_record(server, found)
    assert list(run.glob("*.synced"))


def test_a_sweeps_own_run_has_the_layers_as_steps(server: SimpleNamespace) -> None:
    script = """
from experiments.sweep_run import log_sweep
from tests.helpers.records import job, wrong
for layer in (2, 0, 1):
    job(Path("swept"), layer, wrong(40 * layer + 40), layer=layer)
print(log_sweep(Path("swept"), TrackerConfig()))
"""
    assert python(server, script).stdout == "[]\n"
    sync(server, *offline_runs(server.folder / "swept"))
    (run,) = sent(server, "swept comparison")
    assert points(server, run, "layers/tiny_accuracy/mean") == [0.9, 0.8, 0.7]
    assert "media/images/figures/layers_" in json.dumps(ask(server.address, f"/api/v1/runs/{run['run_id']}/files"))


def test_a_killed_run_and_the_one_that_goes_on_from_it_arrive_as_one(server: SimpleNamespace) -> None:
    killed = (
        "tracker = start('again', 'offline'); tracker.measure({'half': 1.0}, 0); time.sleep(2); os.kill(os.getpid(), 9)"
    )
    assert python(server, killed).returncode == -9
    python(server, "whole('again', 'offline')")
    sync(server, *offline_runs(server.folder / "again"))
    (run,) = sent(server, "again")
    holds_the_record(server, run)
    assert run["summary"]["half"] == 1.0


def test_a_server_that_goes_away_costs_a_line_and_no_job(server: SimpleNamespace) -> None:
    """Not the server of the other tests: a server that closes between the check and the run."""
    script = """
from src.trackers import wandb_server
wandb_server.offline_reason = lambda: None
os.environ["WANDB_BASE_URL"] = "http://127.0.0.1:9"
before = time.monotonic()
whole('gone', 'auto')
assert time.monotonic() - before < 30
"""
    done = python(server, script)
    assert done.returncode == 0 and "offline run (the server refused the run" in done.stdout, done.stderr

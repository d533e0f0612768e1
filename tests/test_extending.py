"""Make the additions of docs/extending.md in a temporary folder, and use them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
ADDITIONS = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
CONF = {Path(path): content for path, content in re.findall(r"```yaml\n# (conf/\S+)\n(.*?)```", PAGE, re.DOTALL)}
(COMMAND,) = re.findall(r"^python (additions\.py .*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a sweep in which everything is an addition; return its folder."""
    folder = tmp_path_factory.mktemp("additions")
    (folder / "additions.py").write_text(ADDITIONS, encoding="utf-8")
    for name, content in CONF.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    words = ["hydra.sweep.dir=sweep", "runtime.cache_dir=store", "runtime.progress=false"]
    run_command(folder, *shlex.split(COMMAND), *words)
    return folder


def run_command(folder: Path, *words: str) -> str:
    """Run a Python command in a folder and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def records(sweep: Path) -> list[dict[str, Any]]:
    """Return the sweep's records in the order of its jobs."""
    return [json.loads((sweep / "sweep" / job / "result.json").read_text()) for job in ("0", "1")]


def test_a_pooling_is_a_function(sweep: Path) -> None:
    assert [record["pooling"] for record in records(sweep)] == ["cls", "last_token"]


def test_a_metric_is_a_function(sweep: Path) -> None:
    for record in records(sweep):
        values = {name: score["value"] for name, score in record["metrics"].items()}
        assert record["score"]["metric"] == "error_rate"
        assert values["error_rate"] == pytest.approx(1 - values["accuracy"])


def test_a_dataset_and_a_generated_task_are_a_file_and_a_function(sweep: Path) -> None:
    assert {(record["dataset"], record["counts"]["train"]) for record in records(sweep)} == {("order", 120)}


def test_a_model_is_a_file(sweep: Path) -> None:
    assert {record["config"]["model"]["max_length"] for record in records(sweep)} == {32}


def test_a_probe_and_a_protocol_are_a_file_and_a_class(sweep: Path) -> None:
    for record in records(sweep):
        assert record["config"]["probe"]["estimator"]["_target_"] == "sklearn.neighbors.NearestCentroid"
        assert record["config"]["probe"]["protocol"]["name"] == "separate"
        assert record["chosen"]["parameter"] == "shrink_threshold"


def test_a_tracker_is_a_class(sweep: Path) -> None:
    assert sorted((sweep / "notes.txt").read_text().splitlines()) == ["cls error_rate", "last_token error_rate"]


def test_a_launcher_is_a_file(sweep: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["-m", "src.run", "--config-dir", "conf", "hydra/launcher=two_workers", "--cfg", "hydra"]
    launcher = yaml.safe_load(run_command(sweep, *words))["hydra"]["launcher"]
    assert launcher["n_jobs"] == 2 and launcher["_target_"].endswith("JoblibLauncher")


def test_a_figure_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from experiments.paper import figures
    from experiments.paper.figures.registry import find_figures

    (tmp_path / "addition.py").write_text('PLACE, NEEDS, CAPTION = 0, (), "An addition."\ndef draw(data, files): ...\n')
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    assert next(iter(find_figures())) == "addition"
    monkeypatch.delitem(sys.modules, "experiments.paper.figures.addition")


def test_a_statistic_is_a_function_of_arrays() -> None:
    """Committed records hold what a new statistic needs: labels and predictions of the same rows."""
    from experiments.bundles import read_records
    from experiments.manifest import RECORDS_DIR

    def both_wrong(labels: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
        return float(np.mean((one != labels) & (other != labels)))

    found = {
        record.result.pooling: record
        for record in read_records(RECORDS_DIR / "poolings" / "bert-books")
        if record.result.dataset == "mr"
    }
    labels = found["cls"].predictions["label"]
    predictions = [found[name].predictions["prediction"] for name in ("cls", "mean")]
    errors = [1 - found[name].result.score["value"] for name in ("cls", "mean")]
    assert 0 < both_wrong(labels, *predictions) < min(errors)

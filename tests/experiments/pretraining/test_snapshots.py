"""Tests of the snapshots' table: a sweep per snapshot in the order of steps, and failures."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.pretraining import snapshots as command
from experiments.pretraining.snapshots import COLUMNS


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    for step in ("000500", "010000", "002000"):
        (tmp_path / "kept" / step).mkdir(parents=True)
        (tmp_path / "kept" / step / "config.json").write_text("{}")
    (tmp_path / "kept" / "corpus").mkdir()
    return tmp_path / "kept"


def test_rows_are_in_the_order_of_steps(snapshots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def sweep(words: list[str], **_: Any) -> SimpleNamespace:
        asked.append(words)
        folder = Path(words[-1].split('"')[1])
        folder.mkdir(parents=True)
        with (folder / "comparison.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [*COLUMNS, "folder"])
            writer.writeheader()
            writer.writerows(
                {**dict.fromkeys(COLUMNS, "x"), "pooling": pooling, "folder": 3} for pooling in ("cls", "pooler")
            )
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", sweep)
    monkeypatch.chdir(snapshots.parent)
    command.main(
        [
            f"snapshots={snapshots}",
            "datasets=[cola,rte]",
            "poolings=[cls,pooler]",
            "output=table.csv",
            "data_root=my, data",
        ]
    )
    with Path("table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["pooling"]) for row in rows] == [
        (step, each) for step in ("500", "2000", "10000") for each in ("cls", "pooler")
    ]
    assert list(rows[0]) == ["step", *COLUMNS]
    assert all({"dataset=cola,rte", "pooling=cls,pooler", 'data_root="my, data"'} <= set(words) for words in asked)


def test_a_failed_sweep_names_its_step(
    snapshots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(SystemExit):
        command.main([f"snapshots={snapshots}", f"output={snapshots}/table.csv", f"work={snapshots}/work"])
    assert "step 500" in capsys.readouterr().err and not (snapshots / "table.csv").exists()


@pytest.mark.parametrize("words", [[], ["snapshots=nowhere"], ["snapshotz=x"]])
def test_a_refusal_names_the_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 1 and capsys.readouterr().err.startswith("error: ")

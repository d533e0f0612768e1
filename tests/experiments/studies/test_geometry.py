"""The record of the geometry holds every step of the ladder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experiments.configurations import configs
from experiments.studies import geometry
from experiments.studies.geometry import REPRESENTATIONS
from src.pipeline.prepare import open_run


def test_the_record_holds_every_step_of_the_ladder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    geometry.main([*words, "output=kept/tiny.json"])
    record = json.loads(Path("kept/tiny.json").read_text())
    task = record["tasks"]["files"]
    assert set(task["representations"]) == set(REPRESENTATIONS) and not task["lacking"] and task["rows"] == 40
    assert len(task["cka"]) == len(REPRESENTATIONS) * (len(REPRESENTATIONS) - 1) / 2
    assert all(0 <= value <= 1 + 1e-9 for value in task["cka"].values())
    assert task["cka"]["pooler_preactivation pooler_inverse"] == pytest.approx(1, abs=1e-6)
    singular = record["pooler"]["weight"]["singular_values"]
    assert len(singular) == 16 and singular == sorted(singular, reverse=True)
    assert [name for name, each in task["representations"].items() if each["saturation"]] == ["pooler", "random_pooler"]
    assert str(Path.cwd()) not in Path("kept/tiny.json").read_text()
    assert "anisotropy" in capsys.readouterr().out


def test_views_hold_the_same_texts(words: list[str]) -> None:
    found, rows = geometry.views(open_run(configs(words)[0]))
    assert {len(values) for values in found.values()} == {rows} == {40}
    assert np.allclose(np.tanh(found["pooler_preactivation"]), found["pooler"], atol=1e-6)


def test_a_model_without_a_pooler_lacks_its_steps(words: list[str], bert: Path) -> None:
    bare = shutil.copytree(bert, Path("bare"))
    weights = {
        name: each for name, each in load_file(bare / "model.safetensors").items() if not name.startswith("pooler.")
    }
    save_file(weights, bare / "model.safetensors", metadata={"format": "pt"})
    geometry.main([*words, f"model.path={bare}", "output=bare.json"])
    record = json.loads(Path("bare.json").read_text())
    assert record["pooler"]["status"] == "missing" and record["pooler"]["weight"] is None
    assert set(record["tasks"]["files"]["representations"]) == {"cls", "random_pooler", "mean", "max"}
    assert record["tasks"]["files"]["lacking"] == ["pooler", "pooler_inverse", "pooler_preactivation"]

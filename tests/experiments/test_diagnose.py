"""The record of a ladder, and the probes on [CLS] with something beside it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experiments.configurations import configs
from experiments.studies import conditional, geometry
from experiments.studies.geometry import REPRESENTATIONS
from src.errors import UserError
from src.pipeline.run import opened
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression, Ridge
from src.results.result import Result, read_predictions
from tests.conftest import SENTENCES, write_csv


@pytest.fixture
def words(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A quick task of the small BERT, its store in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return ["model=checkpoint", *files]


def test_the_record_has_every_step_of_the_ladder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
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


def test_views_are_rows_of_the_same_texts(words: list[str]) -> None:
    found, rows = geometry.views(opened(configs(words)[0]))
    assert {len(values) for values in found.values()} == {rows} == {40}
    assert np.allclose(np.tanh(found["pooler_preactivation"]), found["pooler"], atol=1e-6)


def test_a_model_without_a_pooler_is_described_without_one(words: list[str], bert: Path) -> None:
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


@pytest.mark.parametrize(
    ("more", "needle"),
    [
        ([], "output is not set"),
        (["dataset=sst3", "output=x"], "sst3"),
        (["pooler=cls", "output=x"], "pooler"),
        (["-m"], "-m"),
        (["x"], "x"),
    ],
)
@pytest.mark.parametrize("command", [geometry, conditional])
def test_refusals(command: object, more: list[str], needle: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(more)  # type: ignore[attr-defined]
    error = capsys.readouterr().err
    assert ended.value.code == 1 and error.startswith("error: ") and needle in error and len(error.splitlines()) <= 3


def test_several_tasks_are_several_configurations() -> None:
    assert [each.dataset.name for each in configs(["dataset=cola,stsb", "seed=3"])] == ["cola", "stsb"]
    assert [each.probe.name for each in configs(["dataset=cola,stsb"]) if each.probe] == ["logistic", "ridge"]
    assert [each.dataset.name for each in configs([])] == ["demo_sentiment"]
    with pytest.raises(UserError, match="needs"):
        configs(["dataset=cola", "pairing=separate"])


def test_representations_beside_cls(words: list[str]) -> None:
    conditional.main([*words, "output=beside"])
    with Path("beside/information.csv").open(newline="") as file:
        rows = {row["pooling"]: row for row in csv.DictReader(file)}
    assert tuple(rows) == conditional.REPRESENTATIONS and "cls+pooler" in rows
    assert float(rows["cls"]["gain"]) == 0
    records = {name: Result.read(f"beside/files/{name}") for name in rows}
    assert {name: record.pooling for name, record in records.items()} == {name: name for name in rows}
    assert {name: record.counts["width"] for name, record in records.items()} == {
        name: 16 * (1 + ("+" in name)) for name in rows
    }
    assert len({record.key for record in records.values()}) == len(rows)
    digests = [read_predictions(Path("beside/files", name))["row"] for name in rows]
    assert all(np.array_equal(digests[0], each) for each in digests)


def test_what_is_done_is_not_done_again(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    conditional.main([*words, "output=beside"])
    first = Path("beside/information.csv").read_text()
    capsys.readouterr()
    for place in ("beside", "elsewhere"):
        conditional.main([*words, f"output={place}"])
        assert f"{len(conditional.REPRESENTATIONS)} skipped" in capsys.readouterr().out
        assert Path(place, "information.csv").read_text() == first


def test_the_columns_of_a_pair_encoded_apart(words: list[str], tmp_path: Path) -> None:
    for name, rows in (("train", 40), ("test", 20)):
        texts = [
            (SENTENCES[place % 4], SENTENCES[place % 5] + " the" * (place % 7), place % 5) for place in range(rows)
        ]
        write_csv(tmp_path / f"{name}.csv", texts, header=("text", "second", "label"))
    more = ["dataset.text_pair=second", "dataset.task=regression", "pairing=separate", "output=pairs"]
    conditional.main([*words, *more])
    assert Result.read("pairs/files/cls+mean").counts["width"] == 4 * 2 * 16
    with Path("pairs/information.csv").open(newline="") as file:
        gains = {row["pooling"]: row["low"] for row in csv.DictReader(file)}
    assert set(gains.values()) == {""}


@pytest.mark.parametrize(("estimator", "classes"), [(LogisticRegression(), 2), (Ridge(), 0)])
def test_zeros_beside_change_nothing(estimator: object, classes: int) -> None:
    """The baseline of conditional probing, [CLS; 0], is [CLS]."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    y = (x[:, 0] + rng.standard_normal(200) > 0).astype(np.int64) if classes else x[:, 0] + rng.standard_normal(200)
    settings = ProbeSettings({"alpha": [1.0, 0.1, 0.01]})
    wide = np.concatenate([x, np.zeros_like(x)], axis=1)
    one, other = (
        Protocol().fit(
            estimator, settings, ProbeData(Rows(each[:150], y[:150]), {"test": Rows(each[150:], y[150:])}, classes)
        )
        for each in (x, wide)
    )
    assert one.choice.value == other.choice.value
    assert np.allclose(one.predictions["test"].decisions, other.predictions["test"].decisions, atol=1e-5)

"""Tests of the arms' records: what is swept, measured and written, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from experiments.manifest import MANIFEST
from experiments.paper.arms import studies
from experiments.paper.evidence import Evidence
from experiments.pretraining import arm_records, held_out
from experiments.pretraining.arms import PREPARED, STUDIES
from src.storage.files import file_digest
from tests.helpers.records import job

FIGURES = {"nsp_accuracy": 0.75, "mlm_accuracy": 0.4}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One seed of two arms that are complete, and one that is not; a sweep is three runs."""
    for name in ("nsp", "continued"):
        monkeypatch.setitem(STUDIES, name, replace(STUDIES[name], steps=2, seeds=1))
    for label, step in (("mlm-0", 2), ("nsp_other_document-0", 2), ("nsp_same_document-0", 1)):
        folder = tmp_path / "arms" / label
        folder.mkdir(parents=True)
        accuracy = "" if label == "mlm-0" else "0.65"
        head = "step,tokens,seconds,nsp_accuracy,mlm_accuracy"
        (folder / "training.csv").write_text(f"{head}\n{step},8192,3.5,{accuracy},0.25\n")
        (folder / "model.safetensors").write_bytes(label.encode())
        facts = {"identity": {"schedule": {"objective": label.partition("-")[0]}}}
        save_file({"x": torch.zeros(1)}, folder / "state.safetensors", metadata={"facts": json.dumps(facts)})

    def sweep(words: list[str], **_: Any) -> SimpleNamespace:
        folder = Path(words[-1].split('"')[1])
        (weights,) = [Path(word.split('"')[1]) / "model.safetensors" for word in words if word.startswith("model.path")]
        for number, pooling in enumerate(("cls", "pooler", "mean")):
            job(
                folder, number, np.arange(400) % 2, dataset=folder.name, pooling=pooling, model=folder.parent.name,
                provenance={"model": {"weights": {"model.safetensors": file_digest(weights)}}},
            )  # fmt: skip
        asked.append(words)
        return SimpleNamespace(returncode=0)

    asked: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", sweep)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_complete_arms_become_bundles_with_their_facts(trained: Path) -> None:
    arm_records.main(["arms=arms", "records=records", "data_root=my, data", "overrides=[probe.resamples=200]"])
    found = json.loads(Path("records/arms/nsp/arms.json").read_text())
    assert found["planned"] == 3 and set(found["arms"]) == {"mlm-0", "nsp_other_document-0"}
    facts = found["arms"]["nsp_other_document-0"]
    assert (facts["arm"], facts["seed"], facts["steps"], facts["nsp_accuracy"]) == ("nsp_other_document", 0, 2, 0.65)
    assert found["arms"]["mlm-0"]["nsp_accuracy"] is None and len(facts["weights"]) == 64
    assert facts["identity"]["schedule"] == {"objective": "nsp_other_document"} and "books" not in facts
    assert Path("records/arms/nsp/training.csv").read_text().splitlines()[1].startswith("mlm,0,2,8192")
    listed = json.loads(Path("records", MANIFEST).read_text())
    assert "arms/nsp" in listed["bundles"] and "arms/nsp/arms.json" in listed["files"]
    (study,) = studies(Evidence.read(Path("records")))
    assert study.seeds == (0,) and len(study.records["mlm-0"]) == 3


def test_the_first_seed_alone_keeps_its_rows(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "nsp", replace(STUDIES["nsp"], seeds=2))
    shutil.copytree("arms/mlm-0", "arms/mlm-1")
    arm_records.main(["arms=arms", "records=records"])
    (study,) = studies(Evidence.read(Path("records")))
    assert all(record.predictions for record in study.records["mlm-0"])
    assert len(study.records["mlm-1"]) == 3 and not any(record.predictions for record in study.records["mlm-1"])


def test_a_study_can_be_trained_in_parts(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "nsp", replace(STUDIES["nsp"], seeds=2))
    shutil.copytree("arms/mlm-0", "more/mlm-1")
    arm_records.main(["arms=arms", "records=parts"])
    arm_records.main(["arms=more", "records=parts"])
    shutil.copytree("more/mlm-1", "arms/mlm-1")
    arm_records.main(["arms=arms", "records=whole"])
    names = [path.relative_to("whole") for path in Path("whole").rglob("*") if path.is_file()]
    assert len(names) == 5
    for name in names:
        assert (Path("parts") / name).read_bytes() == (Path("whole") / name).read_bytes(), name


def write_state(folder: Path, identity: dict[str, Any]) -> None:
    facts = {"facts": json.dumps({"identity": identity})}
    save_file({"x": torch.zeros(1)}, folder / "state.safetensors", metadata=facts)


def write_texts(folder: Path, text: str) -> None:
    place = folder / PREPARED / "corpus-1"
    place.mkdir(parents=True, exist_ok=True)
    (place / "made").write_text(json.dumps({"text": {"a.txt": text}}))


def test_seeds_of_two_folders_may_number_the_pieces_of_the_same_texts_otherwise(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(STUDIES, "nsp", replace(STUDIES["nsp"], seeds=2))
    shutil.copytree("arms/mlm-0", "more/mlm-1")
    write_state(Path("more/mlm-1"), {"schedule": {"objective": "mlm", "seed": 1}, "text": "other"})
    write_texts(Path("arms"), "one")
    write_texts(Path("more"), "one")
    arm_records.main(["arms=arms", "records=records"])
    arm_records.main(["arms=more", "records=records"])
    found = json.loads(Path("records/arms/nsp/arms.json").read_text())["arms"]
    assert set(found) == {"mlm-0", "nsp_other_document-0", "mlm-1"} and len({e["texts"] for e in found.values()}) == 1
    write_texts(Path("more"), "another")
    with pytest.raises(SystemExit):
        arm_records.main(["arms=more", "records=records"])
    assert "another text" in capsys.readouterr().err


def test_arms_that_were_trained_otherwise_are_not_joined(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(STUDIES, "nsp", replace(STUDIES["nsp"], seeds=2))
    arm_records.main(["arms=arms", "records=records"])
    before = {path: path.read_bytes() for path in Path("records").rglob("*") if path.is_file()}
    shutil.copytree("arms/mlm-0", "more/mlm-1")
    for identity, named in (
        ({"schedule": {"objective": "mlm"}, "shape": {"layers": 2}}, "shape"),
        ({"schedule": {"objective": "mlm"}, "text": "other"}, "word pieces"),  # of the same seed
    ):
        write_state(Path("more/mlm-1"), identity)
        with pytest.raises(SystemExit) as ended:
            arm_records.main(["arms=more", "records=records"])
        assert ended.value.code == 1 and named in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in Path("records").rglob("*") if path.is_file()}


def test_the_heads_of_continued_arms_are_measured_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measure(options: held_out.Options) -> dict[str, Any]:
        asked.append((Path(str(options.model.path)).name, options.text, options.held_out))
        return {"rows": options.rows, "held_out": {"128": FIGURES}}

    monkeypatch.setattr(held_out, "measure", measure)
    for name in ("books", "news"):
        Path(name).mkdir()
        for number in range(2):
            (Path(name) / f"{number}.txt").write_text(f"{name} {number}")
    words = ["arms=arms", "study=continued", "records=records", "text=books", "other_text=news", "rows=200"]
    arm_records.main(words)
    assert sorted(set(asked)) == [
        (label, *text) for label in ("mlm-0", "nsp_other_document-0") for text in (("books", 0.02), ("news", 1.0))
    ]
    facts = json.loads(Path("records/arms/continued/arms.json").read_text())["arms"]["mlm-0"]
    assert facts["other_text"] == {"rows": 200, **FIGURES}
    arm_records.main(words)
    assert len(asked) == 4
    Path("news/1.txt").write_text("another text")
    arm_records.main(words)
    assert len(asked) == 6


def test_records_of_an_earlier_training_are_left_out(trained: Path) -> None:
    arm_records.main(["arms=arms", "records=records"])
    before = json.loads(Path("records/arms/nsp/arms.json").read_text())["arms"]
    Path("arms/mlm-0/model.safetensors").write_bytes(b"trained again")
    shutil.rmtree("multirun/arms/nsp/mlm-0/probes/2")  # the sweep writes three jobs, and this one of the two others
    shutil.copytree("multirun/arms/nsp/mlm-0/probes/1", "multirun/arms/nsp/mlm-0/probes/9")
    arm_records.main(["arms=arms", "records=records"])
    after = json.loads(Path("records/arms/nsp/arms.json").read_text())["arms"]
    assert before["mlm-0"]["weights"] != after["mlm-0"]["weights"]
    (study,) = studies(Evidence.read(Path("records")))
    assert len(study.records["mlm-0"]) == 3


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["arms=nowhere"], ["arms=nowhere", "study=nsp", "experiments.pretraining.arms"]),
        (["arms=arms", "study=continued", "text=books"], ["other_text"]),
        (["study=nsp"], ["arms"]),
    ],
)
def test_a_refusal_names_the_option(
    trained: Path, words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arm_records.main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and all(each in said for each in named)


def test_a_damaged_state_is_named(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("arms/mlm-0/state.safetensors").write_bytes(b"x")
    with pytest.raises(SystemExit):
        arm_records.main(["arms=arms", "records=records"])
    assert "mlm-0/state.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("arms.json", None),
        ("arms.json", '{"arms": {"mlm-1": {}}}'),
        ("arms.json", '{"arms": {"mlm-1": 4}}'),
        ("arms.json", '{"arms": {"mlm-1": {"identity": {"schedule": 3}}}}'),
        ("training.csv", "arm,seed\nmlm,1\n"),
        ("training.csv", "arm,seed,step\n"),
        ("records.jsonl", None),
    ],
)
def test_damaged_records_of_other_arms_are_kept_and_nothing_is_swept(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, content: str | None
) -> None:
    monkeypatch.setitem(STUDIES, "nsp", replace(STUDIES["nsp"], seeds=2))
    shutil.copytree("arms/mlm-0", "more/mlm-1")
    arm_records.main(["arms=more", "records=records"])
    place = Path("records/arms/nsp")
    (place / name).unlink()
    if content is not None:
        (place / name).write_text(content)
    before = {path: path.read_bytes() for path in place.iterdir()}
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: pytest.fail("a sweep was run"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        arm_records.main(["arms=arms", "records=records"])
    assert ended.value.code == 1 and "arms/nsp" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in place.iterdir()}

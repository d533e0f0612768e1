"""Tests of the arms: they share all but the objective, and complete trainings are skipped."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experiments.pretraining import arms
from experiments.pretraining.arms import STUDIES
from src.errors import UserError


@pytest.fixture
def books(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "books").mkdir()
    for number in range(3):
        lines = [" ".join(["the", *rng.choice(list("abcdefghij"), 5)]).capitalize() + "." for _ in range(400)]
        (tmp_path / "books" / f"{number}.txt").write_text(" ".join(lines), encoding="utf-8")
    return tmp_path / "books"


def test_a_study_trains_each_arm_once(
    books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (
        "shape.layers=1", "shape.width=16", "shape.heads=2", "shape.positions=64", "shape.vocab_size=100",
        "held_out=0.3",
        "schedule.lengths={64:1,128:0,256:0}", "schedule.tokens=128", "pace.held_out_rows=16",
        "pace.held_out_length=64",
    )  # fmt: skip
    tiny = replace(STUDIES["nsp"], steps=2, shared=(*STUDIES["nsp"].shared, *shape))
    monkeypatch.setitem(STUDIES, "nsp", tiny)
    words = [f"text={books}", f"output={tmp_path}/out", "seeds=1", "jobs=2"]
    arms.main(words)
    weights = {}
    for arm in tiny.arms:
        folder = tmp_path / "out" / f"{arm}-0"
        with (folder / "training.csv").open() as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["2"], (folder / "log.txt").read_text()
        weights[arm] = load_file(folder / "state.safetensors")
    pooler, word = "weight.bert.pooler.dense.weight", "weight.bert.embeddings.word_embeddings.weight"
    assert not np.array_equal(weights["mlm"][pooler], weights["nsp_other_document"][pooler])
    # One small step after another from the same start, over the same rows.
    assert np.abs(weights["mlm"][word] - weights["nsp_same_document"][word]).max() < 0.01
    capsys.readouterr()
    arms.main(words)
    assert "begins" not in capsys.readouterr().out
    (books / "0.txt").write_text("Another text. It has two sentences.", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        arms.main(words)
    assert ended.value.code == 1 and "another text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["text"]),
        (["text=x", "output=y", "study=none"], ["study=none", "nsp", "continued"]),
        (["text=x", "output=y", "study=continued"], ["study=continued", "model.path"]),
        (["text=x", "output=y", "model.path=z"], ["model.path=z", "study=nsp"]),
        (["text=nowhere", "output=y"], ["text=nowhere", ".txt"]),
        (["text=x", "output=y", "first=5"], ["first=5", "0 to 4"]),
        (["text=x", "output=y", "first=-1"], ["first=-1"]),
    ],
)
def test_a_refusal_names_the_option(words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arms.main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and all(each in said for each in named)


def test_the_first_seeds_can_be_trained_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(arms, "train", lambda missing, *_: asked.extend(arm.label for arm in missing) or [])
    (tmp_path / "a.txt").write_text("A text.")
    for words in (["first=4"], ["first=1", "seeds=1"]):
        arms.main([f"text={tmp_path}", f"output={tmp_path / 'out'}", *words])
    assert asked == [f"{arm}-{seed}" for seed in (4, 1) for arm in arms.STUDIES["nsp"].arms]


def write_training(folder: Path, log: str, identity: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "training.csv").write_text(log, encoding="utf-8")
    facts = json.dumps({"identity": identity})
    save_file({"x": np.zeros(1)}, folder / "state.safetensors", metadata={"facts": facts})


HEAD = "step,tokens,seconds,nsp_accuracy,mlm_accuracy"


@pytest.mark.parametrize(
    "log",
    [f"{HEAD}\n3000,9,1.5,,0.3\n", f"{HEAD}\n\n", f"{HEAD}\nmany,9,1.5,,0.3\n", "step\n3000\n", "other\n1\n", ""],
)
def test_a_training_with_a_damaged_log_is_not_complete(tmp_path: Path, log: str) -> None:
    arm = arms.Arm(STUDIES["nsp"], "mlm", 0, tmp_path)
    write_training(arm.folder, log, {"shape": {}, "schedule": {}})
    assert arm.is_complete() == ("3000,9" in log)


@pytest.mark.parametrize(("study", "began"), [("continued", "shape"), ("nsp", "weights")])
def test_trainings_of_another_study_are_not_taken(
    tmp_path: Path, study: str, began: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_training(tmp_path / "mlm-0", "step\n3000\n", {began: {}, "schedule": {}})
    words = ["model.path=z"] if study == "continued" else []
    with pytest.raises(SystemExit) as ended:
        arms.main(["text=x", f"output={tmp_path}", f"study={study}", *words])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "mlm-0" in said and "another folder" in said


def test_trainings_of_another_checkpoint_are_not_taken(tmp_path: Path) -> None:
    arm = arms.Arm(STUDIES["continued"], "mlm", 0, tmp_path)
    write_training(arm.folder, "step\n2000\n", {"weights": {"model.safetensors": "a"}, "schedule": {}})
    arm.check_study({"model.safetensors": "a"})
    with pytest.raises(UserError, match="another checkpoint"):
        arm.check_study({"model.safetensors": "b"})


@pytest.mark.parametrize("identity", [7, [1], {}, {"schedule": [1, 2]}, None])
def test_a_damaged_identity_is_refused(tmp_path: Path, identity: object) -> None:
    arm = arms.Arm(STUDIES["nsp"], "mlm", 0, tmp_path)
    write_training(arm.folder, "", identity)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"Train mlm-0 again"):
        arm.check_study()

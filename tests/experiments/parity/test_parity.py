"""Tests of the comparison: equal vectors from all systems, and the way to add one."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from experiments.parity import backends
from experiments.parity.__main__ import format_table, main
from experiments.parity.comparison import compare
from experiments.parity.options import Options
from src.config.paths import CONF
from tests.helpers import tensorflow_fixtures
from tests.helpers.google import CHECKPOINT, FIXTURES, FORMS, TANH

RECORDS = CONF.parent / "experiments" / "records" / "parity.json"
LIVE = bool(os.environ.get("PROBES_TENSORFLOW")) and importlib.util.find_spec("tensorflow") is not None
live = pytest.mark.skipif(not LIVE, reason="runs TensorFlow: install it and set PROBES_TENSORFLOW=1")


def compared(**options: Any) -> dict[str, Any]:
    return compare(Options(**options))


def laws(record: dict[str, Any]) -> None:
    """What must hold of any comparison of forms of one model."""
    for row in record["systems"]:
        if row["hidden_act"] == TANH:
            assert row["sequence_output"] < 1e-5 and row["pooled_output"] < 1e-5, row["title"]
        else:
            assert 1e-5 < row["sequence_output"] < 0.1, row["title"]
        assert row["pooler_formula"] < 1e-5, "pooled_output is tanh(W sequence_output[:,0] + b)"
        assert row["pooled_against_cls"] > 0.1, "and not sequence_output[:,0]"
        rows, _, width = row["shapes"]["sequence_output"]
        assert row["shapes"]["pooled_output"] == [rows, width]


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "has_tensorflow", lambda: False)


def test_without_tensorflow_recorded_outputs_are_used(without_tensorflow: None) -> None:
    record = compared()
    laws(record)
    assert {row["system"] for row in record["systems"]} == {*FORMS, "suite", "hugging_face"}
    assert all(row["recorded"] == (row["system"] in FORMS) for row in record["systems"])
    assert record["tensorflow"] == "2.21.0" and record["reference"] == "TensorFlow 1 checkpoint (recorded)"
    ways = {each["system"]: each["bring"] for each in record["absent"]}
    assert "pip install -e '.[tensorflow]'" in ways["TF-Hub module"] and "hub=FOLDER or URL" in ways["TF-Hub module"]
    shown = format_table(record)
    assert "TF-Hub module (signature tokens, recorded)" in shown and "Not run here:" in shown
    assert "tuple, pooled_output first" in shown, "the order is the reverse of Hugging Face's"


def test_a_checkpoint_and_sentences_of_the_user_are_compared(without_tensorflow: None, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("the cat\n\nit rained all day and the road was closed\n")
    record = compared(checkpoint=str(CHECKPOINT), sentences=str(tmp_path / "mine.txt"))
    assert (record["model"], record["sentences"]) == ("checkpoint", 2)
    assert {row["system"] for row in record["systems"]} == {"suite", "hugging_face"}
    assert record["reference"] == "Hugging Face BertModel" and record["tensorflow"] is None
    laws(record)


def test_the_command_prints_and_adds_to_the_record(
    without_tensorflow: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "records" / "parity.json"
    main([f"output={target}"])
    main([f"output={target}", "name=again"])
    assert list(json.loads(target.read_text())) == ["random", "again"]
    assert "this suite, model=google" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("folder=nowhere", "model.path=nowhere/checkpoint: no such folder"),
        ("sentences=nowhere.txt", "sentences=nowhere.txt cannot be read"),
        ("sentences=empty.txt", "holds no sentence"),
        ("hob=x", "unknown key 'hob'; did you mean 'hub'"),
        ("folder=odd", "outputs.safetensors was not written by tests.helpers.tensorflow_fixtures"),
    ],
)
def test_a_refusal_names_the_option(
    word: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n \n")
    shutil.copytree(FIXTURES, "odd")
    Path("odd/outputs.safetensors").write_bytes(b"{}")
    with pytest.raises(SystemExit) as ended:
        main([word])
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert message in shown and len(shown.splitlines()) <= 3


def test_the_committed_record_keeps_the_laws() -> None:
    records = json.loads(RECORDS.read_text())
    assert {"random", "bert-books"} <= set(records)
    for record in records.values():
        laws(record)
        assert {row["system"] for row in record["systems"]} == {*FORMS, "modeling", "suite", "hugging_face"}
        assert not record["absent"] and not any(row["recorded"] for row in record["systems"])


def test_the_fixtures_are_small_and_hold_no_path() -> None:
    files = [path for path in FIXTURES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1 << 20
    for path in files:
        assert not re.search(rb"/(home|root|tmp|Users)/", path.read_bytes()), path.name


def test_a_refusal_of_the_fixtures_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([], "output is not set"),
        (["output=x", "forms=[pickle]"], "forms=[pickle]"),
    ):
        with pytest.raises(SystemExit):
            tensorflow_fixtures.main(words)
        assert message in capsys.readouterr().err


@live
def test_tensorflow_itself_agrees_on_every_form(tmp_path: Path) -> None:
    tensorflow_fixtures.write(tmp_path / "forms", None, asdict(tensorflow_fixtures.Shape()), 1, list(FORMS))
    modeling = os.environ.get("PROBES_MODELING")
    record = compared(folder=str(tmp_path / "forms"), modeling=modeling)
    laws(record)
    assert {row["system"] for row in record["systems"]} == {
        *FORMS,
        "suite",
        "hugging_face",
        *(["modeling"] if modeling else []),
    }
    assert not any(row["recorded"] for row in record["systems"])


@live
def test_a_folder_that_is_no_module_is_refused(tmp_path: Path) -> None:
    from src.errors import UserError

    with pytest.raises(UserError, match="cannot be loaded by TensorFlow"):
        backends.load(str(tmp_path))
    with pytest.raises(UserError, match="cannot be loaded by TensorFlow"):
        backends.load("file:///nowhere/module.tar.gz")


def test_the_figure_draws_from_the_committed_record(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from experiments.paper.figures import parity as figure
    from experiments.paper.figures import registry

    drawn = [registry.save(figure.draw({}, RECORDS.parent), tmp_path / name) for name in ("first", "second")]
    assert [path.read_bytes() for path in drawn[0]] == [path.read_bytes() for path in drawn[1]]

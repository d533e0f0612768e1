import errno
import json
import os
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.results import result as module
from src.results.result import (
    PREDICTIONS,
    PROBE,
    RECORD,
    Result,
    SchemaError,
    cautions,
    phases,
    read_predictions,
    table,
)
from tests.helpers.records import make_predictions, make_result

LABELS = np.array([0, 1, 1, 0, 1])
PROBE_ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


def test_the_fields_are_those_of_the_contract():
    names = "schema key model dataset pooling probe layer pairing seed draws config score metrics baseline counts chosen pooler timing"
    names += " provenance"
    assert [field.name for field in fields(Result)] == names.split()
    assert set(json.loads(make_result().to_json())) == set(names.split())


def test_json_and_back_is_the_same_record():
    record = make_result(dataset="naïve \ud800 \n 数")
    assert Result.from_json(record.to_json()) == record
    assert record.to_json() == Result.from_json(record.to_json()).to_json()
    assert record.to_json().endswith("}\n")


def test_numpy_scalars_become_numbers():
    record = make_result(
        counts={"train": np.int64(3), "truncated": np.uint8(0)},
        baseline={"constant": np.float32(0.5), "b": np.bool_(True)},
    )
    assert json.loads(record.to_json())["counts"] == {"train": 3, "truncated": 0}
    assert json.loads(record.to_json())["baseline"] == {"constant": 0.5, "b": True}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), np.float64("-inf")])
def test_a_value_that_is_no_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"metrics\.mcc\.value is"):
        make_result(metrics={"mcc": {"value": value}}).to_json()


@pytest.mark.parametrize("value", [np.zeros(2), {1, 2}, b"x", object(), {1: 2}])
def test_a_value_without_a_json_form_is_refused_by_name(value):
    with pytest.raises(TypeError, match=r"chosen\.grid\[1\]"):
        make_result(chosen={"grid": [0, value]}).to_json()


def test_another_schema_is_refused():
    text = replace(make_result(), schema=2).to_json()
    with pytest.raises(SchemaError, match="schema 2, this version reads schema 1"):
        Result.from_json(text)


def test_missing_unknown_and_mistyped_fields_are_refused_by_name():
    plain = json.loads(make_result().to_json())
    for name in plain:
        if name != "schema":
            with pytest.raises(UserError, match=f"no field {name}"):
                Result.from_json(json.dumps({key: value for key, value in plain.items() if key != name}))
            with pytest.raises(UserError, match=f"'{name}' is null"):
                Result.from_json(json.dumps(plain | {name: None}))
    with pytest.raises(UserError, match="no field schema"):
        Result.from_json(json.dumps({key: value for key, value in plain.items() if key != "schema"}))
    with pytest.raises(UserError, match="unknown field extra"):
        Result.from_json(json.dumps(plain | {"extra": 1}))


def test_any_torn_record_is_refused():
    text = make_result().to_json()
    for end in range(0, len(text) - 2, 97):
        with pytest.raises(UserError, match="damaged"):
            Result.from_json(text[:end])
    for other in ("[]", "3", '"x"', "null"):
        with pytest.raises(UserError, match="no record"):
            Result.from_json(other)
    with pytest.raises(UserError, match="damaged: NaN"):
        Result.from_json(text.replace("0.8", "NaN", 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", {"metric": "accuracy", "value": 10**200, "low": None, "high": None}),
        ("score", {"metric": "accuracy", "value": True}),
        ("score", {"metric": ["accuracy"], "value": 0.5}),
        ("score", {"metric": "accuracy"}),
        ("score", {"metric": "accuracy", "value": 0.5, "low": "0.4"}),
        ("metrics", {"accuracy": {"value": [0.5]}}),
        ("baseline", {"constant": "high"}),
        ("counts", {"train": 1e3}),
        ("counts", {"train": 10, "classes": 10**9}),
        ("counts", {"test": -1}),
        ("chosen", {"grid": 5}),
        ("chosen", {"grid": [5]}),
        ("chosen", {"value": {}}),
        ("chosen", {"online_code": {"bits": None}}),
        ("pooler", {"status": 3}),
        ("pooler", {"evidence": []}),
        ("timing", {"total": "long"}),
        ("timing", {"passes": [[]]}),
        ("config", {"probe": []}),
        ("config", {"probe": {"grid": [1]}}),
        ("seed", -1),
        ("draws", 0),
        ("layer", 10**200),
    ],
)
def test_what_a_field_holds_is_checked_too(field, value):
    plain = json.loads(make_result().to_json())
    with pytest.raises(UserError, match=field):
        Result.from_values(plain | {field: value})


def test_a_record_that_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / RECORD)
    with pytest.raises(UserError, match=RECORD):
        Result.read(tmp_path / RECORD)
    (tmp_path / "folder" / RECORD).mkdir(parents=True)
    with pytest.raises(UserError, match=RECORD):
        Result.read(tmp_path / "folder" / RECORD)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": np.zeros((3, 2), int)},
        {"label": np.array([0, 1, 7])},
        {"label": np.array([0.0, 1.0, np.nan])},
        {"prediction": np.array([0, -1, 1])},
        {"prediction": np.array([0.5, 0.1, 0.2])},
        {"row": np.array([0.5, 1.5, 2.5])},
    ],
)
def test_predictions_that_the_record_cannot_have_are_refused(tmp_path, changes):
    plain = make_predictions(np.array([0, 1, 1]), np.array([0, 1, 0]))
    save_file(plain, tmp_path / "right.safetensors")
    assert set(read_predictions(tmp_path / "right.safetensors", make_result())) == set(plain)
    save_file(plain | changes, tmp_path / "wrong.safetensors")
    with pytest.raises(UserError, match=r"wrong\.safetensors"):
        read_predictions(tmp_path / "wrong.safetensors", make_result())


def test_reading_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"result\.json"):
        Result.read(tmp_path / RECORD)
    (tmp_path / RECORD).write_bytes(b"\xff{}")
    with pytest.raises(UserError, match=r"result\.json"):
        Result.read(tmp_path)


def test_what_is_written_is_read_back(tmp_path):
    record = make_result()
    predictions = make_predictions(LABELS, 1 - LABELS) | make_predictions(LABELS[:3], LABELS[:3], role="mismatched")
    predictions["row"] = predictions["row"] + np.uint64(2**63)
    predictions["decision"] = np.arange(15, dtype=np.float32).reshape(3, 5).T  # not in the order of its memory
    record.write(tmp_path / "new" / "folder", predictions, PROBE_ARRAYS, {"classes": '["no", "yes"]'})
    assert Result.read(tmp_path / "new" / "folder") == Result.read(tmp_path / "new" / "folder" / RECORD) == record
    read = read_predictions(tmp_path / "new" / "folder")
    assert set(read) == set(predictions)
    for name, array in predictions.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)


def test_both_array_files_carry_the_key(tmp_path):
    from safetensors import safe_open

    make_result().write(tmp_path, make_predictions(LABELS, LABELS), PROBE_ARRAYS, {"classes": "[]"})
    for name in (PREDICTIONS, PROBE):
        with safe_open(tmp_path / name, "numpy") as file:
            assert json.loads(file.metadata()["notes"]) == {"classes": "[]", "key": make_result().key}


def test_predictions_without_their_fields_or_rows_are_refused(tmp_path):
    whole = make_predictions(LABELS, LABELS)
    for name in whole:
        with pytest.raises(ValueError, match=f"lack {name}"):
            make_result().write(tmp_path, {key: value for key, value in whole.items() if key != name}, PROBE_ARRAYS)
        if name != "row":
            with pytest.raises(ValueError, match=f"{name} not of 5 rows"):
                make_result().write(tmp_path, whole | {name: whole[name][:-1]}, PROBE_ARRAYS)
    with pytest.raises(ValueError, match=r"lack mismatched\.row"):
        make_result().write(tmp_path, whole | {"mismatched.label": LABELS}, PROBE_ARRAYS)
    assert not list(tmp_path.iterdir())


def test_a_damaged_predictions_file_is_refused(tmp_path):
    make_result().write(tmp_path, make_predictions(LABELS, LABELS), PROBE_ARRAYS)
    content = (tmp_path / PREDICTIONS).read_bytes()
    for damaged in (b"", content[:40], content[:-1], b"\xff" * len(content)):
        (tmp_path / PREDICTIONS).write_bytes(damaged)
        with pytest.raises(UserError, match=PREDICTIONS):
            read_predictions(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        read_predictions(tmp_path / "nowhere")


def test_a_full_disk_leaves_the_old_record_whole(tmp_path, monkeypatch):
    old = make_result(value=0.1)
    old.write(tmp_path, make_predictions(LABELS, LABELS), PROBE_ARRAYS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device.*hydra\.run\.dir"):
        make_result(value=0.9).write(tmp_path, make_predictions(LABELS, 1 - LABELS), PROBE_ARRAYS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("step", range(4))
def test_a_record_that_exists_has_its_own_companions_wherever_the_writer_was_stopped(tmp_path, monkeypatch, step):
    make_result(value=0.1, seed=1).write(tmp_path, make_predictions(LABELS, LABELS), PROBE_ARRAYS)
    done = []
    put = os.replace

    def stopped(source, target):
        if len(done) == step:
            raise KeyboardInterrupt
        done.append(target)
        put(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    new = make_result(value=0.9, seed=2)
    if step < 3:
        with pytest.raises(KeyboardInterrupt):
            new.write(tmp_path, make_predictions(LABELS, 1 - LABELS), PROBE_ARRAYS)
        assert not (tmp_path / RECORD).exists()
    else:
        new.write(tmp_path, make_predictions(LABELS, 1 - LABELS), PROBE_ARRAYS)
        assert Result.read(tmp_path) == new
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the record"):
        make_result().write(tmp_path / "file" / "folder", make_predictions(LABELS, LABELS), PROBE_ARRAYS)


def test_the_table_says_what_a_reader_needs_in_80_columns():
    record = make_result(
        pooling="pooler",
        pooler={"status": "untrained"},
        counts={"train": 67349, "test": 872, "classes": 2, "test_in_train": 7, "groups": None},
        timing={
            **make_result().timing,
            "baseline": 4.5,
            "cache": "hit",
            "passes": [{"encode": 40.0, "rows": 9}, {"encode": 2.0, "pool": 1.0}],
        },
        dataset="a_[bold]long[/bold]_name_" * 5,
    )
    text = table(record)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.isascii()
    flat = " ".join(text.split())
    for piece in (
        "accuracy 80.0 % [78.0, 82.0]",
        "mcc undefined: one class was predicted",
        "baseline constant 50.0 %",
        "baseline bag of word pieces 70.0 % [60.0, 80.0]",
        "chosen alpha 0.01 (of 2 values)",
        "encode 30.0",
        "baseline 4.5",
        "total 36.0",
        "cache hit; the pass that made the features took 43.0 s",
        "never trained",
        "7 test rows also occur in train",
    ):
        assert piece in flat
    assert "\x1b" not in text
    assert "\x1b" in table(record, terminal=True)


def test_a_score_that_is_no_fraction_is_not_put_in_percent():
    text = table(
        make_result(
            score={"metric": "rmse", "value": 2.5, "low": 2.25, "high": 3.0}, metrics={}, baseline={"constant": 4.0}
        )
    )
    assert "rmse               2.5 [2.25, 3]\n" in text
    assert "baseline constant  4\n" in text


def test_seconds_of_phases_beyond_the_usual_are_shown_before_the_total():
    assert list(phases({"total": 3.0, "baseline": 1.0, "cache": "hit", "rows_encoded": 0, "fit": 2.0})) == [
        *("load", "tokenise", "encode", "pool", "store", "fit", "score"),
        "baseline",
        "total",
    ]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pooler": {"status": "untrained"}, "pooling": "pooler_preactivation"}, "never trained"),
        ({"chosen": {"converged": False}}, "converge"),
        ({"chosen": {"separable": True, "value": 0.0}}, "no optimum"),
        ({"chosen": {"at_edge": "weakest"}}, "weakest"),
        ({"counts": {"test_in_train": 2}}, "2 test rows"),
    ],
)
def test_each_flaw_is_told_and_nothing_else(changes, word):
    (caution,) = cautions(make_result(**changes))
    assert word in caution


@pytest.mark.parametrize(("metric", "value"), [("accuracy", 1.0), ("rmse", 0.0)])
def test_a_grid_is_not_to_be_widened_where_nothing_can_score_higher(metric, value):
    score = {"metric": metric, "value": value, "low": None, "high": None}
    assert cautions(make_result(chosen={"at_edge": "weakest"}, score=score)) == []
    assert cautions(make_result(chosen={"at_edge": "weakest"}, score=score | {"value": 0.5})) != []
    assert cautions(make_result(chosen={"at_edge": "weakest"}, score=score | {"metric": "unheard of"})) != []


def test_nothing_is_told_where_nothing_is_wrong():
    assert cautions(make_result()) == []
    assert cautions(make_result(pooler={"status": "untrained"}, pooling="mean")) == []
    assert cautions(make_result(pooler={"status": "untrained"}, pooling="random_pooler")) == []


def test_records_need_no_heavy_library():
    line = (
        "import sys, src.results.result, src.runtime.clock, src.runtime.provenance;"
        "print(sorted({'torch', 'numpy', 'rich', 'hydra'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_sweeps_line_holds_the_score_and_what_it_cost() -> None:
    line = module.summary(make_result(pooling="pooler", pooler={"status": "untrained", "evidence": {}}))
    assert "\n" not in line
    for part in ("pooler (untrained)", "%", "[", " s"):
        assert part in line

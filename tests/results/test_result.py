import errno
import json
import os
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from src.errors import UserError
from src.results.result import PREDICTIONS, PROBE, RECORD, Result, SchemaError, phase_seconds, read_predictions
from tests.helpers.records import make_predictions, make_result

LABELS = np.array([0, 1, 1, 0, 1])
PROBE_ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


def test_the_fields_are_those_of_the_contract():
    names = "schema key model dataset pooling probe layer pairing seed draws config score metrics baseline counts"
    names += " chosen pooler timing provenance"
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
def test_nan_and_infinity_are_refused_by_name(value):
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


def test_a_truncated_record_is_refused():
    text = make_result().to_json()
    for end in range(0, len(text) - 2, 97):
        with pytest.raises(UserError, match="damaged"):
            Result.from_json(text[:end])
    for other in ("[]", "3", '"x"', "null"):
        with pytest.raises(UserError, match="not a record"):
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
def test_nested_fields_are_checked(field, value):
    plain = json.loads(make_result().to_json())
    with pytest.raises(UserError, match=field):
        Result.from_values(plain | {field: value})


def test_a_pipe_in_place_of_a_record_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / RECORD)
    with pytest.raises(UserError, match=RECORD):
        Result.read(tmp_path / RECORD)
    (tmp_path / "folder" / RECORD).mkdir(parents=True)
    with pytest.raises(UserError, match=RECORD):
        Result.read(tmp_path / "folder" / RECORD)


def test_reading_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"result\.json"):
        Result.read(tmp_path / RECORD)
    (tmp_path / RECORD).write_bytes(b"\xff{}")
    with pytest.raises(UserError, match=r"result\.json"):
        Result.read(tmp_path)


def test_written_files_are_read_back(tmp_path):
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


@pytest.mark.parametrize(
    "texts",
    [
        np.zeros((0, 2), dtype=np.uint64),
        np.zeros((4, 2), dtype=np.uint64),
        np.zeros((5, 3), dtype=np.uint64),
        np.zeros(5, dtype=np.uint64),
        np.zeros((5, 2)),
    ],
)
def test_digests_of_texts_that_do_not_fit_the_rows_are_refused(tmp_path, texts):
    from safetensors.numpy import save_file

    save_file({**make_predictions(LABELS, LABELS), "texts": texts}, tmp_path / PREDICTIONS)
    with pytest.raises(UserError, match="texts"):
        read_predictions(tmp_path)


def test_both_array_files_carry_the_key(tmp_path):
    from safetensors import safe_open

    make_result().write(tmp_path, make_predictions(LABELS, LABELS), PROBE_ARRAYS, {"classes": "[]"})
    for name in (PREDICTIONS, PROBE):
        with safe_open(tmp_path / name, "numpy") as file:
            assert json.loads(file.metadata()["notes"]) == {"classes": "[]", "key": make_result().key}


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
def test_a_record_that_exists_has_its_own_arrays_after_any_interruption(tmp_path, monkeypatch, step):
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


def test_a_folder_that_cannot_be_created_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the record"):
        make_result().write(tmp_path / "file" / "folder", make_predictions(LABELS, LABELS), PROBE_ARRAYS)


def test_seconds_of_phases_beyond_the_usual_are_shown_before_the_total():
    assert list(phase_seconds({"total": 3.0, "baseline": 1.0, "cache": "hit", "rows_encoded": 0, "fit": 2.0})) == [
        *("load", "tokenise", "encode", "pool", "store", "fit", "score"),
        "baseline",
        "total",
    ]


def test_records_need_no_heavy_library():
    line = (
        "import sys, src.results.result, src.runtime.clock, src.runtime.provenance;"
        "print(sorted({'torch', 'numpy', 'rich', 'hydra'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "[]\n"

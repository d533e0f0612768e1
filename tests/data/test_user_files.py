"""The user's own files: formats, bad cells, refused settings, and the split by test_fraction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data.loading import load_dataset
from src.data.user_files import EXTENSIONS
from src.errors import UserError
from tests.helpers.datasets import ROWS, option, second_texts, write_files, write_rows


def test_equal_content_in_every_format_gives_equal_data(tmp_path: Path) -> None:
    digests = set()
    for extension in EXTENSIONS:
        path = write_rows(tmp_path, extension, ROWS)
        read = load_dataset(option("files", train=path, test=path), "ignored: no official layout")
        digests.add((read.train.text_digest, tuple(read.train.label), read.classes, read.metrics, read.selection))
        assert read.source["files"].keys() == {f"train/rows{extension}", f"test/rows{extension}"} and str(
            tmp_path
        ) not in json.dumps(read.source)
    assert digests == {(read.train.text_digest, (1, 0, 1, 0), ("a", "b"), ("accuracy", "f1", "mcc"), "carve")}
    upper = write_rows(tmp_path, ".CSV".lower(), ROWS, name="UPPER")
    Path(upper).rename(tmp_path / "UPPER.CSV")
    assert len(load_dataset(option("files", train=str(tmp_path / "UPPER.CSV"), test=path), None).train) == 4


def test_a_validation_file_becomes_the_development_split(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ".csv", ROWS)
    read = load_dataset(option("files", train=path, validation=path, test=path, metric="mcc"), None)
    assert read.roles == {"train": "train", "development": "validation", "test": "test"}
    assert read.selection == "development" and read.metrics == ("mcc", "accuracy", "f1")


def test_text_pairs_and_scores_are_read(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": "y", "s": 1.5}, {"a": "z", "b": "", "s": "2"}]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    read = load_dataset(
        option("files", train=str(path), test=str(path), text="a", text_pair="b", label="s", task="regression"), None
    )
    assert second_texts(read.train) == ["y", ""]
    assert read.train.label.tolist() == [1.5, 2.0] and read.classes == () and read.metrics == ("pearson", "spearman")


def test_paths_are_relative_to_the_current_folder_or_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path, ".csv", ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_dataset(option("files", train="rows.csv", test="~/rows.csv"), None).test) == 4


@pytest.mark.parametrize(
    ("content", "task", "message"),
    [
        ("text,label\na,0\nb,\n", "classification", "row 2 .* label"),
        ("text,label\na,0\nb, \n", "regression", "row 2 .* label"),
        ("text,label\na,0\nb,NaN\n", "classification", "row 2 .*'NaN'"),
        ("text,label\na,0\nb,inf\n", "classification", "row 2 .*'inf'"),
        ("text,label\na,0\nb,nan\n", "regression", "row 2 .*'nan'"),
        ("text,label\na,0\nb,-inf\n", "regression", "row 2 .*'-inf'"),
        ("text,label\na,0\nb,high\n", "regression", "row 2 .*'high'"),
        ("text,label\na,0\nb,-1e300\n", "regression", "row 2 .*'-1e300'.* 1e\\+30"),
        (
            f"text,label\na,0\nb,{'high' * 50}\n",
            "regression",
            "row 2 .*'(high){14}h\\.\\.\\.'",
        ),
        ("text,label\n", "classification", "has no rows"),
        ("text,class\na,0\n", "classification", "'label'. .*: text, class"),
    ],
)
def test_errors_of_cells_name_file_and_row(tmp_path: Path, content: str, task: str, message: str) -> None:
    path = write_files(tmp_path, {"bad.csv": content}) + "/bad.csv"
    with pytest.raises(UserError, match=f"bad.csv'.*{message}"):
        load_dataset(option("files", train=path, test=path, task=task), None)


def test_missing_cells_of_parquet_and_json_are_refused_by_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None], "label": [1.0, 0.0]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1.0, None]}), tmp_path / "label.parquet")
    write_files(
        tmp_path,
        {
            "text.jsonl": '{"text": "a", "label": 1}\n{"text": null, "label": 0}\n',
            "label.jsonl": '{"text": "a", "label": 1}\n{"text": "b"}\n',
        },
    )
    for extension in ("parquet", "jsonl"):
        for column, message in (("text", "row 2 .* text"), ("label", "row 2 .* label")):
            path = str(tmp_path / f"{column}.{extension}")
            with pytest.raises(UserError, match=message):
                load_dataset(option("files", train=path, test=path), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": None}, "dataset.train=<file>"),
        ({"test": None, "selection": "development"}, "dataset.selection=development .*dataset.validation=<file>"),
        ({"selection": "nested"}, "Give dataset.train alone"),
        ({"test_fraction": 0.5}, "dataset.test=<file> or dataset.test_fraction"),
        ({"test": None, "test_fraction": 1.0}, "dataset.test_fraction .*between 0 and 1, .*1.0"),
        ({"group": "g", "validation": "rows.csv"}, "dataset.group .*dataset.validation"),
        ({"group": "g"}, "no column 'g'"),
        ({"train": "rows.xlsx"}, "'rows.xlsx' .*'.xlsx'.* .csv, .tsv"),
        ({"train": "rows"}, "'rows' .* .csv, .tsv"),
        ({"train": "none.csv"}, "'none.csv'"),
        ({"label": None}, "dataset.text and dataset.label"),
    ],
)
def test_contradicting_settings_are_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    write_rows(tmp_path, ".csv", ROWS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_dataset(option("files", **{"train": "rows.csv", "test": "rows.csv", **changes}), None)


def test_hidden_labels_of_a_test_file_are_refused(tmp_path: Path) -> None:
    train, test = write_rows(tmp_path, ".csv", ROWS), write_rows(tmp_path, ".csv", [("a", -1), ("b", -1)], name="test")
    with pytest.raises(UserError, match=r"split 'test' .*dataset.test"):
        load_dataset(option("files", train=train, test=test), None)
    signs = write_rows(tmp_path, ".csv", [("a", -1), ("b", 1)], name="signs")
    assert load_dataset(option("files", train=signs, test=test), None).test.label.tolist() == [0, 0]


def test_impossible_paths_and_archives_are_refused(tmp_path: Path) -> None:
    for path in ("~nobody-of-that-name/rows.csv", "nul\0.csv", "long" * 2000 + ".csv"):
        with pytest.raises(UserError):
            load_dataset(option("files", train=path, test=path), None)
    with pytest.raises(UserError, match=r"(?s)'.gz'.*Unpack it"):
        load_dataset(option("files", train="rows.csv.gz", test="rows.csv"), None)

"""A label is its value, in whatever file and spelling."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import option, write_rows


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet"])
def test_numbers_as_labels_sort_by_value(tmp_path: Path, extension: str) -> None:
    path = write_rows(tmp_path, extension, [("a", 10), ("b", 2), ("c", -1), ("d", 2)])
    read = load_dataset(option("files", train=path, test=path), None)
    assert (
        read.classes == ("-1", "2", "10")
        and read.train.label.tolist() == [2, 1, 0, 1]
        and read.metrics == ("accuracy",)
    )


def test_na_none_and_null_are_labels_and_texts(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ".csv", [("a", "NA"), ("null", "None"), ("NA", "null")])
    read = load_dataset(option("files", train=path, test=path), None)
    assert read.classes == ("NA", "None", "null") and read.train.text.to_pylist() == ["a", "null", "NA"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "1.0", "1e0", "+1", " 1 ", "1.", "10e-1"], ["1"] * 7),
        (["0", "-0", "0.0", "-0.0", "0e5"], ["0"] * 5),
        (["0.5", ".5", "0.50", "5e-1"], ["0.5"] * 4),
        (["01", "1", "001", "1_000", "1000"], ["01", "1", "001", "1_000", "1000"]),
        (["\u0661", "\uff11", "1"], ["\u0661", "\uff11", "1"]),
        (["TRUE", "True", "true", "\u00a0False", "false"], ["true", "true", "true", "false", "false"]),
        (
            ["9007199254740992", "9007199254740993", "9007199254740993.0"],
            ["9007199254740992", *["9007199254740993"] * 2],
        ),
        (["1" * 30, "1" * 29 + "2"], ["1" * 30, "1" * 29 + "2"]),
        (["1.0", "one", "1st", "1"], ["1", "one", "1st", "1"]),
        (["yes", " yes", "Yes"], ["yes", "yes", "Yes"]),
    ],
)
@pytest.mark.parametrize("extension", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_label_is_its_value_in_every_reader(
    tmp_path: Path, extension: str, labels: list[str], classes: list[str]
) -> None:
    path = write_rows(tmp_path, extension, [(f"text {row}", label) for row, label in enumerate(labels)])
    read = load_dataset(option("files", train=path, test=path), None)
    assert [read.classes[label] for label in read.train.label] == classes


@pytest.mark.parametrize("test", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("train", [".csv", ".jsonl", ".parquet"])
def test_train_and_test_of_different_formats_have_the_same_classes(tmp_path: Path, train: str, test: str) -> None:
    for written, classes in (
        (([1.0, 0.0], [0, 1]), ("0", "1")),
        (([True, False], ["FALSE", "True"]), ("false", "true")),
    ):
        files = [
            write_rows(tmp_path, extension, [("a", first), ("b", second)], name=name)
            for extension, (first, second), name in zip((train, test), written, ("train", "test"), strict=True)
        ]
        read = load_dataset(option("files", train=files[0], test=files[1]), None)
        assert (read.classes, read.train.label.tolist(), read.test.label.tolist()) == (classes, [1, 0], [0, 1])


def test_labels_that_numpy_and_databases_write_are_those_of_a_csv(tmp_path: Path) -> None:
    texts = write_rows(tmp_path, ".csv", [("a", "0.1"), ("b", "1")], name="texts")
    for column in (
        pa.array([0.1, 1], pa.float32()),
        pa.array([0.1, 1], pa.float16()),
        pa.array([Decimal("0.10"), Decimal("1.00")]),
    ):
        pq.write_table(pa.table({"text": ["a", "b"], "label": column}), tmp_path / "a.parquet")
        read = load_dataset(option("files", train=str(tmp_path / "a.parquet"), test=texts), None)
        assert read.classes == ("0.1", "1") and read.test.label.tolist() == [0, 1]


def test_configured_classes_match_by_value_and_keep_their_spelling(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ".csv", [("a", "1.0"), ("b", "TRUE"), ("c", "x")])
    read = load_dataset(option("files", train=path, test=path, classes=["x", "True", "one"], labels={"1": "one"}), None)
    assert read.classes == ("x", "True", "one") and read.train.label.tolist() == [2, 1, 0]
    codes = write_rows(tmp_path, ".csv", [("a", "1.1"), ("b", "1.10")])
    assert load_dataset(option("files", train=codes, test=codes), None).classes == ("1.1",)
    apart = load_dataset(option("files", train=codes, test=codes, classes=["1.1", "1.10"]), None)
    assert apart.train.label.tolist() == [0, 1], "codes that are written alike by value are told apart by name"


def test_scores_are_plain_decimal_numbers(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ".csv", [("a", " .5"), ("b", "+2"), ("c", "1e1"), ("d", "007."), ("e", "-0")])
    read = load_dataset(option("files", train=path, test=path, task="regression"), None)
    assert read.train.label.tolist() == [0.5, 2.0, 10.0, 7.0, 0.0]
    for bad in ("1_0", "\u0661", "0x10", "3,5", "1e400", "true", "9" * 400):
        path = write_rows(tmp_path, ".tsv", [("a", "1"), ("b", bad)])
        with pytest.raises(UserError, match=r"(?s)row 2 .*dataset.task=classification"):
            load_dataset(option("files", train=path, test=path, task="regression"), None)
    pq.write_table(pa.table({"text": ["a", "b"], "label": [Decimal("0.25"), Decimal("3.00")]}), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    assert load_dataset(option("files", train=path, test=path, task="regression"), None).train.label.tolist() == [
        0.25,
        3.0,
    ]

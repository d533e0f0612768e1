"""The table of predictions: a row per test row, right or wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from src.data.dataset import Dataset, Split
from src.trackers.examples import examples
from tests.helpers.records import make_predictions


def make_data(labels: np.ndarray, classes: tuple[str, ...] = (), **roles: str) -> Dataset:
    texts = [f"text {number}" for number in range(len(labels))]
    split = Split("dev", pa.array(texts, pa.large_string()), pa.array(reversed(texts), pa.large_string()), labels)
    return Dataset(
        "toy", "", classes, {"dev": split}, {"train": "train", "test": "dev", **roles}, "carve", 0, ("accuracy",), {}
    )


def rows(table):
    columns, lines = table
    return [dict(zip(columns, line, strict=True)) for line in lines]


def test_examples_say_which_rows_are_right():
    labels = np.array([0, 1, 1])
    arrays = make_predictions(labels, np.array([0, 1, 0])) | make_predictions(
        labels, np.array([1, 1, 1]), role="mismatched"
    )
    found = rows(examples(arrays, make_data(labels, ("no", "yes"), mismatched="dev")))
    assert [row["correct"] for row in found] == [1, 1, 0, 0, 1, 1]
    assert [row["split"] for row in found] == 3 * ["test"] + 3 * ["mismatched"]
    assert found[2] == {
        "split": "test",
        "row": f"{2:016x}",
        "fold": -1,
        "label": "yes",
        "prediction": "no",
        "correct": 0.0,
    }


def test_examples_of_draws_are_shares_and_of_numbers_errors():
    labels = np.array([0, 1])
    found = rows(
        examples(make_predictions(labels, np.array([[0, 1], [1, 1], [1, 1], [1, 0]])), make_data(labels, ("no", "yes")))
    )
    assert [(row["prediction"], row["correct"]) for row in found] == [("yes", 0.25), ("yes", 0.75)]
    scores = np.array([1.0, 2.0])
    found = rows(examples(make_predictions(scores, np.array([[1.0, 3.0], [2.0, 4.0]])), make_data(scores)))
    assert [(row["prediction"], row["error"]) for row in found] == [(1.5, 0.5), (3.5, 1.5)]


def test_examples_contain_texts_only_on_request():
    labels = np.array([0, 1])
    arrays, data = make_predictions(labels, labels), make_data(labels, ("no", "yes"))
    assert "text 0" not in str(examples(arrays, data))
    assert [(row["text"], row["text_pair"]) for row in rows(examples(arrays, data, text=True))] == [
        ("text 0", "text 1"),
        ("text 1", "text 0"),
    ]


def test_a_similarity_has_no_error() -> None:
    scores = np.array([0.5, 4.0])
    arrays, data = make_predictions(scores, np.array([0.1, 0.9])), make_data(scores)
    (with_error, without) = (rows(examples(arrays, data, errors=errors)) for errors in (True, False))
    assert set(with_error[0]) - set(without[0]) == {"error"} and without[1]["prediction"] == 0.9
    labels = np.array([0, 1])
    classes = make_data(labels, ("no", "yes"))
    assert "correct" in rows(examples(make_predictions(labels, labels), classes, errors=False))[0]

"""Data that no probe can be fitted to is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.data.checks import check_probe
from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import labelled_split, make_dataset, option, write_rows


def test_a_label_that_train_lacks_is_shown_beside_those_that_it_has() -> None:
    splits = {"train": labelled_split([0, 1] * 9), "test": labelled_split([0, 2], "test")}
    with pytest.raises(UserError) as caught:
        check_probe(make_dataset(splits))
    assert all(f"'{name}'" in str(caught.value) for name in ("no", "yes", "rare"))


@pytest.mark.parametrize(
    ("train", "test", "changes", "message"),
    [
        ([0] * 9, [0], {}, "split 'train' has the one label 'no' in all of its 9 rows"),
        ([0, 1] * 9, [0, 2], {}, r"split 'test' \(test\) has the label 'rare', which split 'train' lacks"),
        (
            [0, 1, 1],
            [0],
            {},
            "split 'train': class 'no' has 1 training row; choosing the grid on a part of train needs 2.$",
        ),
        ([0, 1, 1], [0], {"classes": ("n" * 70, "yes")}, "class 'n{57}\\.\\.\\.' has 1 training row"),
        ([0] * 9, [0], {"classes": ("n" * 70, "yes")}, "has the one label 'n{57}\\.\\.\\.' in all"),
        ([0, 1] * 9, [0, 2], {"classes": ("no", "yes", "r" * 70)}, "has the label 'r{57}\\.\\.\\.', which split"),
        ([0, 1, 0, 1], [0], {}, "4 training rows, 4 of them distinct, are too few to hold 20% out"),
        (
            [0, 1] * 9,
            [0],
            {"selection": "development"},
            "dataset.selection=development needs dataset.splits.development",
        ),
        ([0, 1] * 9, [0], {"selection": "nested"}, "train is 'train', test is 'test', the selection is nested"),
        ([0, 1, 1], [0], {"classes": ("1.5", "2.5")}, "If the labels are scores, set dataset.task=regression"),
        ([0, 1] * 4, [0], {"selection": "folds"}, "8 rows hold 8 distinct training rows, fewer than the 10 folds"),
        (
            [0] * 20 + [1] * 9,
            [0],
            {"selection": "folds"},
            "class 'yes' has 9 distinct training rows, fewer than the 10 folds",
        ),
        ([2.5] * 9, [1.0], {"task": "regression", "classes": ()}, "has the one label '2.5' in all of its 9 rows"),
    ],
)
def test_data_that_no_probe_fits(train: list[float], test: list[float], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_probe(make_dataset({"train": labelled_split(train), "test": labelled_split(test, "test")}, **changes))


@pytest.mark.parametrize(
    ("train", "changes"),
    [
        ([0, 0, 0, 1, 1, 1], {}),
        ([0, 1], {"selection": "development", "roles": {"train": "train", "development": "test", "test": "test"}}),
        ([0, 1] * 12, {"selection": "nested", "roles": {"train": "train", "test": "train"}}),
        (list(np.arange(30) / 7), {"task": "regression", "classes": ()}),
    ],
)
def test_data_that_a_probe_fits(train: list[float], changes: dict[str, Any]) -> None:
    check_probe(make_dataset({"train": labelled_split(train), "test": labelled_split(train, "test")}, **changes))


def test_a_test_label_that_train_lacks_is_read_but_not_fitted(tmp_path: Path) -> None:
    train = write_rows(tmp_path, ".csv", [(text, "xy"[number % 2]) for number, text in enumerate("abcdef")])
    test = write_rows(tmp_path, ".csv", [("a", "m"), ("b", "x")], name="test")
    read = load_dataset(option("files", train=train, test=test), None)
    assert read.classes == ("x", "y", "m") and read.test.label.tolist() == [2, 0]
    with pytest.raises(UserError, match="the label 'm', which split 'train' lacks"):
        check_probe(read)

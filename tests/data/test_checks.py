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


def test_the_error_for_a_label_missing_in_train_lists_its_labels() -> None:
    splits = {"train": labelled_split([0, 1] * 9), "test": labelled_split([0, 2], "test")}
    with pytest.raises(UserError) as caught:
        check_probe(make_dataset(splits))
    assert all(f"'{name}'" in str(caught.value) for name in ("no", "yes", "rare"))


@pytest.mark.parametrize(
    ("train", "test", "changes", "message"),
    [
        ([0] * 9, [0], {}, "split 'train' .*'no' .* 9 rows"),
        ([0, 1] * 9, [0, 2], {}, "split 'test' .*'rare', .*split 'train'"),
        (
            [0, 1, 1],
            [0],
            {},
            "split 'train': class 'no' .* 1 ",
        ),
        ([0, 1, 1], [0], {"classes": ("n" * 70, "yes")}, "class 'n{57}\\.\\.\\.' has 1 training row"),
        ([0] * 9, [0], {"classes": ("n" * 70, "yes")}, "'n{57}\\.\\.\\.'"),
        ([0, 1] * 9, [0, 2], {"classes": ("no", "yes", "r" * 70)}, "'r{57}\\.\\.\\.'"),
        ([0, 1, 0, 1], [0], {}, "4 training rows.* 20%.*dataset.validation"),
        (
            [0, 1] * 9,
            [0],
            {"selection": "development"},
            "dataset.splits.development=SPLIT",
        ),
        ([0, 1] * 9, [0], {"selection": "nested"}, "train is 'train', test is 'test', the selection is nested"),
        ([0, 1, 1], [0], {"classes": ("1.5", "2.5")}, "If the labels are scores, set dataset.task=regression"),
        ([0, 1] * 4, [0], {"selection": "folds"}, " 8 .* 10 folds. .*dataset.selection=carve"),
        (
            [0] * 20 + [1] * 9,
            [0],
            {"selection": "folds"},
            "class 'yes' .* 9 .* 10 folds. .*dataset.selection=carve",
        ),
        ([2.5] * 9, [1.0], {"task": "regression", "classes": ()}, "split 'train' .*'2.5' .* 9 rows"),
    ],
)
def test_unfit_data_is_refused_with_split_label_and_way_out(
    train: list[float], test: list[float], changes: dict[str, Any], message: str
) -> None:
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
def test_fit_data_passes(train: list[float], changes: dict[str, Any]) -> None:
    check_probe(make_dataset({"train": labelled_split(train), "test": labelled_split(train, "test")}, **changes))


def test_a_test_label_missing_in_train_is_read_but_refused_by_the_check(tmp_path: Path) -> None:
    train = write_rows(tmp_path, ".csv", [(text, "xy"[number % 2]) for number, text in enumerate("abcdef")])
    test = write_rows(tmp_path, ".csv", [("a", "m"), ("b", "x")], name="test")
    read = load_dataset(option("files", train=train, test=test), None)
    assert read.classes == ("x", "y", "m") and read.test.label.tolist() == [2, 0]
    with pytest.raises(UserError, match=r"'m', .*split 'train'"):
        check_probe(read)

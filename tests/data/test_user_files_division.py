"""The test part that is divided from one file: shares, groups and duplicates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.data.checks import check_probe
from src.data.dataset import Dataset
from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import counts, option, write_files


def load_divided(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> Dataset:
    path = folder / "whole.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return load_dataset(
        option("files", train=str(path), test_fraction=changes.pop("test_fraction", 0.25), **changes), None
    )


def test_a_fraction_is_stratified_complete_and_independent_of_the_order(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": "rare" if number % 10 == 0 else "common"} for number in range(1000)]
    read = load_divided(tmp_path, rows)
    assert (counts(read.train), counts(read.test)) == ([675, 75], [225, 25])
    assert sorted(read.train.text.to_pylist() + read.test.text.to_pylist()) == sorted(row["text"] for row in rows)
    assert read.test_in_train() == 0
    again = load_divided(tmp_path, rows[::-1])
    assert set(again.test.text.to_pylist()) == set(read.test.text.to_pylist())
    labels = {row["text"]: row["label"] for row in rows}
    assert [read.classes[label] for label in read.test.label] == [labels[text] for text in read.test.text.to_pylist()]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_groups_and_duplicates_stay_on_one_side_and_shares_hold(tmp_path: Path, fraction: float) -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "text": f"text {number if number % 5 else number // 50}",
            "label": int(random.integers(3)),
            "g": f"group {random.integers(200)}",
        }
        for number in range(2000)
    ]
    # Chains of duplicates through groups would tie everything together; keep duplicates inside one group.
    home = {row["text"]: row["g"] for row in rows}
    rows = [{**row, "g": home[row["text"]]} for row in rows]
    read = load_divided(tmp_path, rows, group="g", test_fraction=fraction)
    sides = [{home[text] for text in split.text.to_pylist()} for split in (read.train, read.test)]
    assert not sides[0] & sides[1] and read.test_in_train() == 0
    shares = np.bincount(read.test.label) / (np.bincount(read.test.label) + np.bincount(read.train.label))
    assert np.abs(shares - fraction).max() < 0.03


def test_duplicates_join_their_groups(tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": label, "g": group}
        for text, label, group in [("a", 0, "1"), ("b", 1, "1"), ("b", 1, "2"), ("c", 0, "2")]
    ]
    rows += [{"text": f"other {number}", "label": number % 2, "g": f"g{number}"} for number in range(20)]
    read = load_divided(tmp_path, rows, group="g", test_fraction=0.3)
    in_test = {"a", "b", "c"} & set(read.test.text.to_pylist())
    assert in_test in (set(), {"a", "b", "c"})


def test_pairs_are_duplicates_only_if_both_texts_are_equal(tmp_path: Path) -> None:
    rows = [{"text": "same", "pair": f"other {number}", "label": number % 2} for number in range(40)]
    read = load_divided(tmp_path, rows, text_pair="pair")
    assert (counts(read.train), counts(read.test)) == ([15, 15], [5, 5])


def test_small_classes_give_the_fraction_and_keep_a_training_row(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": f"class {number // 2}"} for number in range(100)]
    read = load_divided(tmp_path, rows, test_fraction=0.2)
    assert len(read.test) == 20 and len(np.unique(read.train.label)) == 50


def test_regression_is_split_by_size_alone(tmp_path: Path) -> None:
    read = load_divided(
        tmp_path, [{"text": f"text {number}", "label": number / 7} for number in range(40)], task="regression"
    )
    assert len(read.test) == 10 and read.train.label.dtype == np.float64
    assert all(
        label == pytest.approx(int(text.split()[1]) / 7)
        for text, label in zip(read.test.text.to_pylist(), read.test.label, strict=True)
    )


def test_groups_are_kept_in_train_and_enter_the_identity(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 2, "g": f"g{number % 13}"} for number in range(60)]
    path = write_files(tmp_path, {"rows.jsonl": "\n".join(map(json.dumps, rows))}) + "/rows.jsonl"
    plain, grouped = (
        load_dataset(option("files", train=path, test=path, **more), None) for more in ({}, {"group": "g"})
    )
    assert plain.group is None and np.array_equal(plain.groups, plain.train.row_digests())
    home = [row["g"] for row in rows]
    assert len(set(zip(grouped.groups.tolist(), home, strict=True))) == len(set(grouped.groups.tolist())) == 13
    assert set(grouped.identity()) - set(plain.identity()) == {"group", "test_group"}
    assert plain.test_groups is None and len(set(zip(grouped.test_groups.tolist(), home, strict=True))) == 13
    parted = load_divided(tmp_path, rows, group="g")
    assert len(parted.test_groups) == len(parted.test) and not set(parted.test_groups) & set(parted.groups)
    assert len(set(parted.test_groups.tolist())) < len(parted.test)
    assert len(parted.groups) == len(parted.train) < 60
    home_of = {row["text"]: row["g"] for row in rows}
    pairs_of = {
        (number, home_of[text])
        for number, text in zip(parted.groups.tolist(), parted.train.text.to_pylist(), strict=True)
    }
    assert len(pairs_of) == len(set(parted.groups.tolist())) == len({group for _, group in pairs_of})
    check_probe(parted)


def test_test_rows_may_lack_the_column_of_groups(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 2, "g": f"g{number % 13}"} for number in range(60)]
    bare = [{"text": row["text"], "label": row["label"]} for row in rows]
    folder = write_files(
        tmp_path, {name: "\n".join(map(json.dumps, each)) for name, each in (("a.jsonl", rows), ("b.jsonl", bare))}
    )
    read = load_dataset(option("files", train=f"{folder}/a.jsonl", test=f"{folder}/b.jsonl", group="g"), None)
    assert read.group is not None and read.test_groups is None
    nested = load_dataset(option("files", train=f"{folder}/a.jsonl", group="g", selection="nested"), None)
    assert np.array_equal(nested.test_groups, nested.groups)


def test_a_side_that_would_be_empty_is_an_error(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 2, "g": "all"} for number in range(10)]
    with pytest.raises(UserError, match="leaves no test row: 10 rows form 1 units"):
        load_divided(tmp_path, rows, group="g")
    with pytest.raises(UserError, match="row 3 has no group in column 'g'"):
        load_divided(tmp_path, [*rows[:2], {**rows[2], "g": None}], group="g")

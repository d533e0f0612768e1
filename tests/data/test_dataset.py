"""Digests of splits and datasets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from src.data.dataset import Split
from tests.helpers.datasets import make_dataset, make_split


def test_digests_depend_on_order_and_boundaries_of_rows() -> None:
    base = make_split([("ab", 0), ("c", 1)])
    assert base.text_digest == make_split([("ab", 1), ("c", 0)]).text_digest
    others = [[("c", 0), ("ab", 0)], [("a", 0), ("bc", 0)], [("abc", 0)], [("ab", 0), ("c", 0), ("", 0)]]
    assert len({base.text_digest, *(make_split(rows).text_digest for rows in others)}) == 5
    assert (
        base.text_pair_digest is None
        and make_split([("ab", 0)], pair=["c"]).text_pair_digest == make_split([("c", 0)]).text_digest
    )


def test_a_slice_has_the_digests_of_its_rows() -> None:
    texts = pa.array(["", "long text", "x", "y"], pa.large_string())
    part = Split("part", texts.slice(1, 2), None, np.zeros(2))
    whole = make_split([("long text", 0), ("x", 0)])
    assert part.text_digest == whole.text_digest and part.row_digests().tolist() == whole.row_digests().tolist()
    empty = Split("empty", texts.slice(0, 0), None, np.zeros(0))
    assert len(empty) == 0 and empty.row_digests().tolist() == [] and len(empty.text_digest) == 64


def test_row_digests_are_equal_for_equal_pairs_alone() -> None:
    both = make_split([("ab", 0), ("a", 0), ("ab", 0), ("abc", 0)], pair=["c", "bc", "c", ""])
    digests = both.row_digests()
    assert digests.dtype == np.uint64 and digests[0] == digests[2] and len(set(digests.tolist())) == 3


def test_test_rows_in_train_are_counted() -> None:
    splits = {
        "train": make_split([("a", 0), ("b", 1)]),
        "test": make_split([("b", 0), ("b", 1), ("c", 0)], name="test"),
    }
    assert make_dataset(splits).test_in_train() == 2

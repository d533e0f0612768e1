"""Splits become columns, and their vectors are combined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from src.data.dataset import Split
from src.features.inputs import encoder_inputs
from src.features.vectors import pair_features


def test_pairs_are_one_column_or_two() -> None:
    column = pa.array(["a", "b"], pa.large_string())
    split = Split("train", column, pa.array(["c", "d"], pa.large_string()), np.array([0, 1]))
    (joint,) = encoder_inputs(split, "joint", "x")
    u, v = encoder_inputs(split, "separate", "x")
    assert joint.text_pair is split.text_pair
    assert len({joint.digest, u.digest, v.digest}) == 3
    assert encoder_inputs(replace(split, text_pair=None), "joint", "x")[0].digest == u.digest, (
        "a side alone shares its features"
    )
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    np.testing.assert_array_equal(pair_features([a, b]), [[1, 2, 3, -1, 2, 3, 3, -2]])
    assert pair_features([a]) is a

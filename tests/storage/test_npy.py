"""Files of arrays: rows written in any order give the file that numpy writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.storage.npy import ArrayWriter


def test_rows_in_any_order_make_the_same_file_as_numpy(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    writer = ArrayWriter(tmp_path / "a.npy", (50, 7), np.float32)
    order = np.random.default_rng(1).permutation(50)
    for rows in np.array_split(order, 6):
        writer.rows(rows, values[rows])
    writer.close()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)

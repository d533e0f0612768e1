"""Build text columns of bounded size row by row."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from src.errors import UserError

BLOCK_ROWS = 8192  # rows that are held as Python strings
OFFSET_BYTES = 8  # bytes of a row of a text column in addition to its characters
MAX_TABLE_BYTES = 1 << 31  # bytes of the decoded columns
STRING = pa.large_string()


def table_from_rows(names: list[str], rows: Iterable[list[Any]], given: str) -> pa.Table:
    """Return the table of rows of texts; UserError if it grows too large."""
    columns = [TextColumnBuilder() for _ in names]
    rows = iter(rows)
    while block := list(itertools.islice(rows, BLOCK_ROWS)):
        for column, cells in zip(columns, zip(*block, strict=True), strict=True):
            column.extend(cells)
        check_size(sum(len(column.data) + OFFSET_BYTES * len(column.lengths) for column in columns), given)
    return pa.table({name: column.array() for name, column in zip(names, columns, strict=True)})


def check_size(size: int, given: str) -> None:
    """Raise a UserError if decoded columns of `size` bytes are too large."""
    if size > MAX_TABLE_BYTES:
        raise UserError(
            f"'{given}' holds more than {MAX_TABLE_BYTES >> 30} GiB in the columns asked for. Give a part of its rows."
        )


class TextColumnBuilder:
    """Builder of a large_string array.

    Its bytes grow in place, since joining blocks would hold them twice.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.lengths = array("q")
        self.nulls: list[int] = []

    def extend(self, cells: Sequence[str | None]) -> None:
        """Append rows; None becomes null."""
        self.nulls += [row for row, cell in enumerate(cells, len(self.lengths)) if cell is None]
        encoded = [(cell or "").encode() for cell in cells]
        self.data += b"".join(encoded)
        self.lengths.extend(map(len, encoded))

    def extend_array(self, cells: pa.LargeStringArray) -> None:
        """Append the rows of an array."""
        if not len(cells):
            return
        _, offsets, data = cells.buffers()
        places = np.frombuffer(offsets, dtype=np.int64)[cells.offset : cells.offset + len(cells) + 1]
        if cells.null_count:
            self.nulls += (np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False)) + len(self.lengths)).tolist()
        self.data += memoryview(data or b"")[int(places[0]) : int(places[-1])]
        self.lengths.frombytes(np.diff(places).tobytes())

    def array(self) -> pa.Array:
        """Return the array of all rows, which shares its bytes with the builder."""
        offsets = np.zeros(len(self.lengths) + 1, dtype=np.int64)
        np.cumsum(np.frombuffer(self.lengths, dtype=np.int64), out=offsets[1:])
        present = np.ones(len(self.lengths), dtype=bool)
        present[self.nulls] = False
        validity = pa.py_buffer(np.packbits(present, bitorder="little")) if self.nulls else None
        return pa.Array.from_buffers(
            STRING, len(self.lengths), [validity, pa.py_buffer(offsets), pa.py_buffer(self.data)]
        )

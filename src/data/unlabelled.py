"""Read rows without labels from a user's file, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from src.data.dataset import Split
from src.data.labels import first_row
from src.data.reading.columns import MissingColumn
from src.data.reading.files import expand_home
from src.data.reading.json_lines import surrogates_refused
from src.data.reading.tables import table_blocks
from src.data.user_files import read_rows
from src.errors import UserError


@dataclass(frozen=True)
class UnlabelledFile:
    """A CSV, TSV, JSON or Parquet file whose rows have texts and need no label.

    Attributes
    ----------
    path : str
        As the user wrote it.
    text, text_pair : str, str or None
        Columns; `text_pair` is None for single texts.
    quoting : bool or None
        Whether double quotes quote a field; None: in .csv, not in .tsv.
    """

    path: str
    text: str
    text_pair: str | None = None
    quoting: bool | None = None

    def blocks(self, size: int) -> Iterator[Split]:
        """Yield the rows in blocks of `size`, the last one with fewer; all labels are NaN.

        Raises
        ------
        UserError
            The file cannot be read, a column is missing, or a cell has no text.
        """
        columns = {"text": self.text} | ({} if self.text_pair is None else {"text_pair": self.text_pair})
        path, start = expand_home(self.path), 0
        try:
            with surrogates_refused(self.path):
                rows = read_rows(path, self.path, list(columns.values()), self.quoting)
                for table in table_blocks(list(columns), rows, self.path, size):
                    sides = {role: self._texts(table[role], columns[role], start) for role in columns}
                    yield Split("rows", sides["text"], sides.get("text_pair"), np.full(len(table), np.nan))
                    start += len(table)
        except MissingColumn as error:
            raise UserError(f"{error} Name the column with text= (the second text's with text_pair=).") from None

    def count(self, size: int) -> int:
        """Return the number of rows after a check of all of them; for errors see `blocks`.

        An empty file is an error too.
        """
        rows = sum(map(len, self.blocks(size)))
        if not rows:
            raise UserError(f"'{self.path}' has no rows. Give a file with at least one row of text.")
        return rows

    def _texts(self, column: pa.ChunkedArray, name: str, start: int) -> pa.LargeStringArray:
        """Return a block's texts; `start` rows come before it."""
        if column.null_count:
            raise UserError(
                f"'{self.path}': row {start + first_row(column.is_null())} has no text in column '{name}' (null). "
                "An empty text is written as an empty string."
            )
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

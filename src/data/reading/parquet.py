"""Read Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from src.data.reading.cells import check_type, is_text_or_bytes, plain_cells, plain_type, text_table
from src.data.reading.columns import find_column
from src.data.reading.files import open_file, peek
from src.data.reading.formats import refuse_other_formats
from src.data.reading.tables import BLOCK_ROWS, OFFSET_BYTES, STRING, TextColumnBuilder, check_size
from src.errors import UserError, flatten

TEXT_BATCH_ROWS = 128  # decoded at once, since a few compressed bytes can decode to long texts
NUMBER_BYTES = 16  # a row of a number as text, with its offset


def read_parquet(path: Path, given: str, wanted: Iterable[str]) -> pa.Table:
    """Return the `wanted` columns of a Parquet file as text.

    They are decoded in batches, since a few bytes can decode to gigabytes.

    Raises
    ------
    UserError
        The file is damaged or of another format, a column is missing, of another type or too large.
    """
    names = list(wanted)
    with _open_parquet(path, given) as parquet:
        fields = _find_fields(parquet, names, given)
        check_size(OFFSET_BYTES * parquet.metadata.num_rows * len(names), given)
        columns, size = {}, 0
        for name, field in zip(names, fields, strict=True):
            columns[name], size = _decode(parquet, field, given, size)
        return text_table(pa.table(columns), given)


def parquet_rows(path: Path, given: str, names: list[str]) -> Iterator[tuple[str | None, ...]]:
    """Yield the rows of a Parquet file: the cells of the columns `names` as text.

    Columns of numbers are read whole, because the spelling of a number depends on the others.
    """
    with _open_parquet(path, given) as parquet:
        fields = _find_fields(parquet, names, given)
        if all(is_text_or_bytes(field.type) for field in fields):
            for batch in parquet.iter_batches(TEXT_BATCH_ROWS, columns=names_of(fields), use_threads=False):
                cells = [batch.column(field.name) for field in fields]
                for column in cells:
                    column.validate(full=True)
                    check_size(_decoded_size(column), given)
                texts = [plain_cells(column, given, field.name) for column, field in zip(cells, fields, strict=True)]
                yield from zip(*(column.to_pylist() for column in texts), strict=True)
            return
    for batch in read_parquet(path, given, dict.fromkeys(names)).to_batches(max_chunksize=BLOCK_ROWS):
        yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)


def names_of(fields: list[pa.Field]) -> list[str]:
    """Return the distinct names of fields."""
    return list(dict.fromkeys(field.name for field in fields))


@contextmanager
def _open_parquet(path: Path, given: str) -> Iterator[Any]:
    """Yield an open Parquet file; the errors of its library become a UserError."""
    import pyarrow.parquet

    with open_file(path, given) as file:
        refuse_other_formats(peek(file, given), path, given, parquet=True)
        try:
            yield pyarrow.parquet.ParquetFile(file)
        except MemoryError:
            raise UserError(f"'{given}' takes more memory than there is. Give a part of its rows.") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(f"'{given}' is not a valid Parquet file: {flatten(error, 160)}.") from None


def _find_fields(parquet: Any, names: list[str], given: str) -> list[pa.Field]:
    """Return the fields of the columns, which hold text or numbers."""
    schema = parquet.schema_arrow
    fields = [schema.field(find_column(name, schema.names, f"'{given}'")) for name in names]
    for field in fields:
        check_type(field.type, given, field.name)
    return fields


def _decode(parquet: Any, field: pa.Field, given: str, size: int) -> tuple[pa.ChunkedArray, int]:
    """Return a column of a Parquet file without a dictionary, and `size` plus its bytes."""
    kind = plain_type(field.type)
    is_text = is_text_or_bytes(kind)
    rows = TEXT_BATCH_ROWS if is_text and kind == field.type else BLOCK_ROWS
    texts, numbers = TextColumnBuilder(), []
    for batch in parquet.iter_batches(rows, columns=[field.name], use_threads=False):
        cells = batch.column(0)
        cells.validate(full=True)
        size += _decoded_size(cells)
        check_size(size, given)
        if is_text:
            texts.extend_array(plain_cells(cells, given, field.name))
        else:
            numbers.append(plain_cells(cells, given, field.name))
    return pa.chunked_array([texts.array()] if is_text else numbers, STRING if is_text else kind), size


def _decoded_size(cells: pa.Array) -> int:
    """Return the bytes of cells as text; those behind a dictionary count once for each row."""
    kind = plain_type(cells.type)
    if not is_text_or_bytes(kind):
        return NUMBER_BYTES * len(cells)
    if kind == cells.type:
        return int(cells.nbytes) + OFFSET_BYTES * len(cells)
    lengths = pc.binary_length(cells.dictionary.cast(pa.large_binary())).cast(pa.int64())
    return OFFSET_BYTES * len(cells) + int(pc.sum(lengths.take(cells.indices)).as_py() or 0)

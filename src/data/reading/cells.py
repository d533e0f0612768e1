"""Write typed Arrow columns as text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.data.reading.tables import STRING
from src.errors import UserError
from src.storage.numbers import number_spelling

MAX_EXACT_FLOAT = 2.0**53  # below it every whole number has its own float


def text_table(table: pa.Table, given: str) -> pa.Table:
    """Return every column as large_string.

    Whole floats lose their point, since pandas turns an integer column with a gap into floats.
    """
    return pa.table({name: _text_column(table[name], given, name) for name in table.column_names})


def _text_column(column: pa.ChunkedArray, given: str, name: str) -> pa.ChunkedArray:
    check_type(column.type, given, name)
    plain = pa.chunked_array(
        [plain_cells(chunk, given, name) for chunk in column.chunks], None if column.num_chunks else STRING
    )
    if pa.types.is_decimal(plain.type):
        return _canonical_numbers(plain.cast(STRING))
    if pa.types.is_float16(plain.type):
        return _canonical_numbers(_half_floats(plain))
    if pa.types.is_floating(plain.type):
        whole = pc.and_(pc.equal(pc.floor(plain), plain), pc.less(pc.abs(plain), MAX_EXACT_FLOAT))
        if pc.all(whole).as_py():
            plain = plain.cast(pa.int64())
    return plain.cast(STRING)


def plain_cells(cells: pa.Array, given: str, name: str) -> pa.Array:
    """Return the cells of a column without a dictionary, texts and bytes as large_string."""
    kind = plain_type(cells.type)
    if is_text_or_bytes(kind):
        try:
            return cells.cast(STRING)
        except pa.ArrowInvalid:
            raise UserError(
                f"'{given}': column '{name}' holds bytes that are not UTF-8. Decode them, and write the column as text."
            ) from None
    return cells.cast(kind)


def _half_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return half-precision floats as shortest decimals; float32 would give more digits."""
    found = column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float16)
    values, places = np.unique(found.view(np.uint16), return_inverse=True)
    spelled = pa.array([str(value) for value in values.view(np.float16)], STRING).take(pa.array(places))
    return pa.chunked_array([pc.if_else(pc.is_valid(column.combine_chunks()), spelled, pa.scalar(None, STRING))])


def _canonical_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts of numbers in their canonical spelling."""
    texts = column.unique()
    spelled = pa.array([text and (number_spelling(text) or text) for text in texts.to_pylist()], STRING)
    return spelled.take(pc.index_in(column, texts)) if len(texts) else column


def check_type(kind: pa.DataType, given: str, name: str) -> None:
    """Raise a UserError if a column holds neither text nor numbers."""
    plain = plain_type(kind)
    is_number = (
        pa.types.is_integer(plain)
        or pa.types.is_floating(plain)
        or pa.types.is_decimal(plain)
        or pa.types.is_boolean(plain)
    )
    if not (is_number or is_text_or_bytes(plain)):
        raise UserError(
            f"'{given}': column '{name}' is of type {str(plain)[:80]}; text or numbers are needed. Write it as text."
        )


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values behind a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text_or_bytes(kind: pa.DataType) -> bool:
    """Return whether a type holds texts or bytes of any length."""
    types = pa.types
    checks = (
        types.is_string, types.is_large_string, types.is_string_view,
        types.is_binary, types.is_large_binary, types.is_binary_view,
    )  # fmt: skip
    return any(check(kind) for check in checks)

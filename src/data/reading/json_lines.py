"""Read JSON files: one object a line, a list of objects, or one object of columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.data.reading.columns import find_column, listed, trimmed
from src.data.reading.files import BOM, MAX_LINE, numbered_lines, open_file, peek, read_error
from src.data.reading.formats import refuse_other_formats
from src.data.reading.tables import table_from_rows
from src.errors import UserError, flatten
from src.storage.files import Unreadable, parse_json
from src.storage.numbers import number_spelling

MAX_DOCUMENT = 1 << 27  # bytes of a file that is one JSON value; its Python objects take 25 times as much
AS_LINES = "Write one object a line: DataFrame.to_json(FILE, orient='records', lines=True)"


class _Number(str):
    """A JSON number as it is written, since a float would round it."""


def read_json_lines(path: Path, given: str, wanted: Iterable[str]) -> pa.Table:
    """Return the `wanted` fields of a JSON file as text, null where a field is missing.

    The file holds one object a line, or it is one list of objects, or one object of columns as
    ``DataFrame.to_json`` writes it.

    Raises
    ------
    UserError
        The file is not JSON, a column is missing, or a cell is an object or a list.
    """
    names = list(wanted)
    with surrogates_refused(given):
        return table_from_rows(names, json_rows(path, given, names), given)


def json_rows(path: Path, given: str, names: list[str]) -> Iterator[list[str | None]]:
    """Return an iterator over the rows of a JSON file: the fields `names` as text."""
    rows = _document_rows(path, given, names)
    return _cells_of_lines(path, given, names) if rows is None else _cells_of_rows(rows, given, names)


@contextmanager
def surrogates_refused(given: str) -> Iterator[None]:
    """Turn the error for half a surrogate pair, which JSON can spell and UTF-8 cannot hold, into a UserError."""
    try:
        yield
    except UnicodeEncodeError as error:
        half = ascii(error.object[max(error.start - 20, 0) : error.start + 20])
        raise UserError(
            f"'{given}' has half a surrogate pair in a text, which is not Unicode: {half}. Correct the text."
        ) from None


def _cells_of_lines(path: Path, given: str, names: list[str]) -> Iterator[list[str | None]]:
    keys: list[str] | None = None
    for number, line in numbered_lines(path, given):
        if not line.strip():
            continue
        where = f"'{given}' line {number}"
        try:
            row = parse_json(line, _Number)
        except Unreadable as error:
            reason = re.sub(r" at line 1, column (\d+)$", r" at column \1", flatten(error, 120))
            raise UserError(f"{where} is {reason}. Each line holds one object.") from None
        if not isinstance(row, dict):
            raise UserError(f'{where} is not a JSON object. Each line holds one: {{"text": ..., "label": ...}}.')
        if keys is None:
            keys = _find_keys(names, row, given)
        yield [_cell_text(row.get(key), where, key) for key in keys]


def _cells_of_rows(rows: Iterable[Any], given: str, names: list[str]) -> Iterator[list[str | None]]:
    keys: list[str] | None = None
    for number, row in enumerate(rows, 1):
        where = f"'{given}' row {number}"
        if not isinstance(row, dict):
            raise UserError(f"{where} is not a JSON object.\n{AS_LINES}")
        if keys is None:
            keys = _find_keys(names, row, given)
        yield [_cell_text(row.get(key), where, key) for key in keys]


def _find_keys(names: list[str], row: dict[str, Any], given: str) -> list[str]:
    header = list(row)
    return [header[find_column(name, header, f"'{given}'")] for name in names]


def _document_rows(path: Path, given: str, names: list[str]) -> Iterable[Any] | None:
    """Return the rows of a file that is one JSON value.

    None for a file of lines, and for a damaged file whose error the reader of lines can name.
    """
    with open_file(path, given) as file:
        start = peek(file, given)
        refuse_other_formats(start, path, given)
        text = start.removeprefix(BOM).lstrip()
        if not text.startswith((b"[", b"{")):
            return None
        first = _first_object(file, given)
        if first is not None and all(any(_is_cell(first, key, name) for key in first) for name in names):
            return None
        try:
            file.seek(0)
            raw = file.read(MAX_DOCUMENT + 1)
        except OSError as error:
            raise read_error(given, error) from None
    if len(raw) > MAX_DOCUMENT:
        if first is not None:
            return None
        raise UserError(
            f"'{given}' does not begin with a line of JSON, and is longer than {MAX_DOCUMENT >> 20} MiB.\n{AS_LINES}"
        )
    try:
        value = parse_json(raw.removeprefix(BOM), _Number)
    except Unreadable as error:
        if text.partition(b"\n")[0].strip() in (b"[", b"{"):
            raise UserError(f"'{given}' is {flatten(error, 160)}.\n{AS_LINES}") from None
        return None
    return value if isinstance(value, list) else _rows_of_columns(value, given, names)


def _first_object(file: BufferedReader, given: str) -> dict[str, Any] | None:
    """Return the object in the first line that is not blank; None if it holds anything else."""
    line = b""
    try:
        while not line.strip():
            line = file.readline(MAX_LINE + 1).removeprefix(BOM)
            if not line:
                return None
        row = parse_json(line, _Number)
    except OSError as error:
        raise read_error(given, error) from None
    except Unreadable:
        return None
    return row if isinstance(row, dict) else None


def _is_cell(row: dict[str, Any], key: str, name: str) -> bool:
    return trimmed(key) == trimmed(name) and not isinstance(row[key], (dict, list))


def _rows_of_columns(value: dict[str, Any], given: str, names: list[str]) -> Iterator[dict[str, Any]] | None:
    """Return the rows of one object of columns, each a list or an object under row names.

    None where the columns are neither.
    """
    try:
        keys = _find_keys(names, value, given)
    except UserError as error:
        if value and all(isinstance(inner, (dict, list)) for inner in value.values()):
            raise UserError(f"{error}\n{AS_LINES}") from None
        raise
    columns = [value[key] for key in keys]
    if all(isinstance(column, dict) for column in columns):
        rows = list(columns[0])
        if any(list(column) != rows for column in columns):
            raise UserError(f"'{given}': the columns {listed(keys)} do not have the same rows.\n{AS_LINES}")
        columns = [list(column.values()) for column in columns]
    if not all(isinstance(column, list) for column in columns):
        return None
    if any(len(column) != len(columns[0]) for column in columns):
        raise UserError(f"'{given}': the columns {listed(keys)} do not have the same number of rows.\n{AS_LINES}")
    return (dict(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True))


def _cell_text(value: Any, where: str, name: str) -> str | None:
    """Return a cell as text: numbers in their canonical spelling, booleans in lower case."""
    if type(value) is str or value is None:
        return value
    if isinstance(value, _Number):
        if value in ("NaN", "Infinity", "-Infinity"):
            raise UserError(f"{where}: '{name}' is {value}; a string or a number is needed.")
        return number_spelling(value) or str(value)
    if isinstance(value, bool):
        return str(value).lower()
    raise UserError(
        f"{where}: '{name}' is a JSON {'object' if isinstance(value, dict) else 'list'}; "
        "a string or a number is needed."
    )

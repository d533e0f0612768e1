"""Data files to columns of strings: CSV, TSV, JSON lines, Parquet, and the plain layouts of the official downloads.

Every reader returns a `pa.Table` of large_string columns named as asked, null where a cell is absent, and streams its file, so that
600,000 rows never become 600,000 Python strings at once. Only a line feed ends a line: lone carriage returns, U+2028, form feeds
and NULs belong to the text. `given` is the path as the user wrote it; errors name it.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
import textwrap
from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from src.errors import UserError, flatten

BLOCK = 8192  # rows held as Python strings
LONGEST_FIELD = 2**31 - 1  # characters; the csv module's own limit is 131,072
EXACT = 2.0**53  # below it every whole number is a float of its own
BOM = b"\xef\xbb\xbf"
STRING = pa.large_string()
SEPARATORS = {";": "';'", "\t": "tabs", ",": "','", "|": "'|'"}
LONE_RETURNS = "seems to end its lines with lone carriage returns.\nSave it with line feeds, for example: tr '\\r' '\\n' < OLD > NEW"


def opened(path: Path, given: str) -> BufferedReader:
    """The file, open for reading bytes; a missing, unreadable or wrong kind of file becomes a `UserError`."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UserError(f"there is no file '{given}'. Relative paths start at the current directory.") from None
    except IsADirectoryError:
        raise UserError(f"'{given}' is a folder; a file is needed.") from None
    except OSError as error:
        raise UserError(f"cannot read '{given}': {error.strerror or flatten(error)}.") from None


def sha256(path: Path, given: str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with opened(path, given) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numbered_lines(path: Path, given: str, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Each line's number, from 1, and its text with the line end kept; a byte-order mark is dropped."""
    with opened(path, given) as file:
        for number, line in enumerate(file, 1):
            raw = line.removeprefix(BOM) if number == 1 and encoding == "utf-8" else line
            try:
                yield number, raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"'{given}' line {number}, byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not {encoding.upper()}.\n"
                    f"Save the file as {encoding.upper()}, for example: iconv -f WINDOWS-1252 -t UTF-8 {Path(given).name}"
                ) from None
            except LookupError:
                raise UserError(f"dataset.local.encoding '{encoding}' is unknown. Known are utf-8, latin-1, cp1252 and others.") from None


def without_end(line: str) -> str:
    """The line without its line end, LF or CRLF."""
    return line.removesuffix("\n").removesuffix("\r")


def read_delimited(
    path: Path,
    given: str,
    wanted: Iterable[str],
    *,
    delimiter: str,
    quoting: bool,
    columns: list[str] | None = None,
    encoding: str = "utf-8",
) -> pa.Table:
    """The `wanted` columns of a CSV or TSV file.

    Parameters
    ----------
    quoting : bool
        Whether a double quote that opens a field quotes it, as RFC 4180 says; otherwise every quote is a plain character.
    columns : list of str or None
        The column names of a file without a header; None reads the first line.

    Raises
    ------
    UserError
        A missing or doubled column, a row with too many or too few fields, a quote that does not close.
    """
    records = _quoted_records(path, given, delimiter, encoding) if quoting else _plain_records(path, given, delimiter, encoding)
    header = columns or next(records, (0, None))[1]
    if header is None:
        raise UserError(f"'{given}' is empty: not even a header line.")
    names = list(wanted)
    if any("\r" in name for name in header) and not quoting:
        raise UserError(f"'{given}' {LONE_RETURNS}")
    places = [_place(name, header, given) for name in names]

    def cells() -> Iterator[list[str]]:
        for number, fields in records:
            if len(fields) != len(header):
                way_out = "" if quoting else " In your own files, dataset.quoting=true lets double quotes hold a field together."
                raise UserError(f"'{given}' line {number} has {len(fields)} fields, not {len(header)}.\nMend the line.{way_out}")
            yield [fields[place] for place in places]

    return _table(names, cells())


def _plain_records(path: Path, given: str, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered_lines(path, given, encoding):
        if text := without_end(line):
            yield number, text.split(delimiter)


def _quoted_records(path: Path, given: str, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_FIELD)
    # `strict`, or a quote that never closes swallows the rest of the file without an error.
    reader = csv.reader((line for _, line in numbered_lines(path, given, encoding)), delimiter=delimiter, strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        if start == 1 and "new-line character" in str(error):
            raise UserError(f"'{given}' {LONE_RETURNS}") from None
        raise UserError(
            f"'{given}' line {start} is no valid CSV: {flatten(error, 120)}.\n"
            "Mend it (a quote inside a quoted field is written twice), or set dataset.quoting=false if quotes are plain characters."
        ) from None


def _place(name: str, header: list[str], given: str) -> int:
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise UserError(f"'{given}' has {header.count(name)} columns called '{name}'. Rename all but one.")
    there = textwrap.shorten(", ".join(header), 300, placeholder=" ...")
    raise UserError(f"'{given}' has no column '{name}'. There are: {there}.{_separated(header) if header else ''}")


def _separated(header: list[str]) -> str:
    """What a header of one name tells of a file that was read with the wrong separator."""
    other = max(SEPARATORS, key=header[0].count)
    if len(header) != 1 or other not in header[0]:
        return ""
    return f"\nThe file seems to be separated by {SEPARATORS[other]}. Save it with commas as .csv, or with tabs as .tsv."


def read_json_lines(path: Path, given: str, wanted: Iterable[str]) -> pa.Table:
    """The `wanted` fields of a file with one JSON object a line; numbers and booleans are spelled as text, a missing field is null."""
    names = list(wanted)

    def cells() -> Iterator[list[str | None]]:
        seen = False
        for number, line in numbered_lines(path, given):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"'{given}' line {number} is no JSON: {flatten(error, 120)}. Each line holds one object.") from None
            if not isinstance(row, dict):
                raise UserError(f'\'{given}\' line {number} is no JSON object. Each line holds one: {{"text": ..., "label": ...}}.')
            if not seen:
                for name in names:
                    _place(name, list(row), given)
            seen = True
            yield [_spelled(row.get(name), given, number, name) for name in names]

    try:
        return _table(names, cells())
    except UnicodeEncodeError as error:  # JSON can spell what UTF-8 cannot hold
        half = ascii(error.object[max(error.start - 20, 0) : error.start + 20])
        raise UserError(f"'{given}' has half a surrogate pair in a text, which is no Unicode: {half}. Mend the text.") from None


def _spelled(value: Any, given: str, number: int, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value.is_integer() else repr(value)
    raise UserError(f"'{given}' line {number}: '{name}' is a JSON {type(value).__name__}; a string or a number is needed.")


def read_parquet(path: Path, given: str, wanted: Iterable[str]) -> pa.Table:
    """The `wanted` columns of a Parquet file, spelled as text."""
    import pyarrow.parquet

    names = list(wanted)
    with opened(path, given) as file:
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
            for name in names:
                _place(name, parquet.schema_arrow.names, given)
            table = parquet.read(columns=names)
            table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"'{given}' is no sound Parquet file: {flatten(error, 160)}.") from None
    return spelled_table(table.select(names), given)


def spelled_table(table: pa.Table, given: str) -> pa.Table:
    """Every column as large_string: whole floats lose their point (pandas turns an integer column with a gap into floats)."""
    return pa.table({name: _spelled_column(table[name], given, name) for name in table.column_names})


def _spelled_column(column: pa.ChunkedArray, given: str, name: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or _is_text(kind)):
        raise UserError(f"'{given}': column '{name}' is of type {kind}; text or numbers are needed.")
    plain = column.cast(pa.float32() if pa.types.is_float16(kind) else kind)
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(plain), plain), pc.less(pc.abs(plain), EXACT))
        if pc.all(whole).as_py():
            plain = plain.cast(pa.int64())
    return plain.cast(STRING)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def read_sentences(path: Path, given: str, label: str, encoding: str = "utf-8") -> pa.Table:
    """One sentence a line, every line a row (an empty one too), all of the class `label`: columns text, label."""
    return _table(["text", "label"], ([without_end(line), label] for _, line in numbered_lines(path, given, encoding)))


def read_labelled_lines(path: Path, given: str, label_end: str | None, encoding: str = "utf-8") -> pa.Table:
    """A label, a space and the sentence on each line: columns text, label. `label_end` cuts a label such as ``COARSE:fine``."""

    def cells() -> Iterator[list[str]]:
        for number, line in numbered_lines(path, given, encoding):
            if not (text := without_end(line)):
                continue
            label, space, sentence = text.partition(" ")
            if not space:
                raise UserError(f"'{given}' line {number} holds no space: a label, a space and the sentence are expected.")
            yield [sentence, label.partition(label_end)[0] if label_end else label]

    return _table(["text", "label"], cells())


def _table(names: list[str], rows: Iterable[list[Any]]) -> pa.Table:
    columns = [_Column() for _ in names]
    rows = iter(rows)
    while block := list(itertools.islice(rows, BLOCK)):
        for column, cells in zip(columns, zip(*block, strict=True), strict=True):
            column.extend(cells)
    return pa.table({name: column.array() for name, column in zip(names, columns, strict=True)})


class _Column:
    """A large_string array in the making. Its bytes grow in place: joining finished blocks would hold all of them twice."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lengths = array("q")
        self.nulls: list[int] = []

    def extend(self, cells: Sequence[str | None]) -> None:
        self.nulls += [row for row, cell in enumerate(cells, len(self.lengths)) if cell is None]
        encoded = [(cell or "").encode() for cell in cells]
        self.data += b"".join(encoded)
        self.lengths.extend(map(len, encoded))

    def array(self) -> pa.Array:
        offsets = np.concatenate([[0], np.cumsum(np.frombuffer(self.lengths, dtype=np.int64), dtype=np.int64)]).astype(np.int64)
        present = np.ones(len(self.lengths), dtype=bool)
        present[self.nulls] = False
        validity = pa.py_buffer(np.packbits(present, bitorder="little")) if self.nulls else None
        return pa.Array.from_buffers(STRING, len(self.lengths), [validity, pa.py_buffer(offsets), pa.py_buffer(self.data)])

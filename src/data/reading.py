"""Data files to columns of strings: CSV, TSV, JSON lines, Parquet, and the plain layouts of the official downloads.

Every reader returns a `pa.Table` of large_string columns named as asked, null where a cell is absent, and streams its file, so that
600,000 rows never become 600,000 Python strings at once. Only a line feed ends a line: lone carriage returns, U+2028, form feeds
and NULs belong to the text. `given` is the path as the user wrote it; errors name it. A file may be of unknown origin: only regular
files are opened, and the length of a line, of a JSON document and of all columns together is bounded.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import itertools
import re
import shlex
import textwrap
from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from src.errors import UserError, flatten
from src.storage.files import Unreadable, open_regular, parse_json

BLOCK = 8192  # rows held as Python strings
TEXT_BATCH = 128  # rows of a Parquet text column decoded at once: a few compressed bytes can stand for long texts
LONGEST_LINE = 1 << 26  # bytes of a line, and characters of a CSV record
LONGEST_DOCUMENT = 1 << 27  # bytes of a file that is one JSON value; its Python objects take up to 25 times as much
NUMBER_BYTES = 16  # of a number spelled as text, with its offset
OFFSET_BYTES = 8  # of a text in a column, beside its characters
MOST_BYTES = 1 << 31  # of the columns asked for, once decoded
LONGEST_WHOLE = 40  # digits of a whole number that is spelled without an exponent, unless all of them are needed
EXACT = 2.0**53  # below it every whole number is a float of its own
BOM = b"\xef\xbb\xbf"
NUMBER = re.compile(r"([+-]?)(0|[1-9][0-9]*)?(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,9}))?")
STRING = pa.large_string()
SEPARATORS = {";": "';'", "\t": "tabs", ",": "','", "|": "'|'"}
AS_LINES = "Write one object a line: DataFrame.to_json(FILE, orient='records', lines=True)"
LONE_RETURNS = "seems to end its lines with lone carriage returns.\nSave it with line feeds, for example: tr '\\r' '\\n' < OLD > NEW"


def number_spelling(text: str) -> str | None:
    """The one spelling of a number's value, exact at any length; None where `text` is no plain decimal number.

    A leading zero makes a code of it, and digits of other scripts or with underscores are text.

    >>> [number_spelling(text) for text in ("1", "+1.0", "1e0", "-0", ".50", "1e300", "01", "1_000")]
    ['1', '1', '1', '0', '0.5', '1e+300', None, None]
    """
    if len(text) < LONGEST_WHOLE and text.isascii() and text.isdigit() and text[0] != "0":
        return text  # most labels
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction, exponent = found[1].strip("+"), found[2] or "", found[3] or "", int(found[4] or 0)
    if not whole and not fraction:
        return None
    digits = (whole + fraction).lstrip("0")
    zeros = exponent - len(fraction) + len(digits) - len(digits.rstrip("0"))
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    first = zeros + len(digits) - 1  # the power of ten of the first digit
    if 0 <= zeros <= max(0, LONGEST_WHOLE - len(digits)):
        return sign + digits + "0" * zeros
    if zeros < 0 <= first:
        return f"{sign}{digits[: first + 1]}.{digits[first + 1 :]}"
    if -5 <= first < 0:
        return f"{sign}0.{'0' * (-first - 1)}{digits}"
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{first:+d}"


def opened(path: Path, given: str) -> BufferedReader:
    """The file, open for reading bytes; a missing, unreadable or wrong kind of file becomes a `UserError`."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise UserError(f"there is no file '{given}'. Relative paths start at the current directory.") from None
    except IsADirectoryError:
        raise UserError(f"'{given}' is a folder; a file is needed.") from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise _cannot_read(given, error) from None


def _cannot_read(given: str, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or flatten(error)
    way_out = " Write what it gives to a file, and name that." if getattr(error, "errno", None) == errno.EINVAL else ""
    return UserError(f"cannot read '{given}': {reason}.{way_out}")


def sha256(path: Path, given: str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with opened(path, given) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _cannot_read(given, error) from None


def numbered_lines(path: Path, given: str, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Each line's number, from 1, and its text with the line end kept; a byte-order mark is dropped."""
    _check_encoding(encoding)
    with opened(path, given) as file:
        _refuse_other_formats(_start(file, given), path, given)
        for number, line in enumerate(_lines(file, given), 1):
            raw = line.removeprefix(BOM) if number == 1 and encoding == "utf-8" else line
            try:
                yield number, raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"'{given}' line {number}, byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not {encoding.upper()}.\n"
                    f"Save the file as {encoding.upper()}, for example: {_conversion(path, 'WINDOWS-1252', encoding.upper())}"
                ) from None


def _lines(file: BufferedReader, given: str) -> Iterator[bytes]:
    for number in itertools.count(1):
        try:
            line = file.readline(LONGEST_LINE + 1)
        except OSError as error:
            raise _cannot_read(given, error) from None
        if len(line) > LONGEST_LINE:
            raise UserError(
                f"'{given}' line {number} is longer than {LONGEST_LINE >> 20} MiB.\nEnd each row with a line feed, or shorten the text."
            )
        if not line:
            return
        yield line


def _check_encoding(encoding: str) -> None:
    try:
        one_byte = "\n".encode(encoding) == b"\n"
    except (LookupError, UnicodeError):
        raise UserError(
            f"dataset.local.encoding '{encoding}' is unknown. Known are utf-8, latin-1, cp1252 and others."
        ) from None
    if not one_byte:  # lines are cut at the byte of a line feed
        raise UserError(
            f"dataset.local.encoding '{encoding}' does not write a line feed as one byte. Save the files as UTF-8."
        )


# The first bytes of formats that are not text, their names, and the way to text; {old} and {new} are quoted paths.
FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed by gzip", "Unpack it: gunzip < {old} > {new}"),
    (b"\xfd7zXZ\x00", "compressed by xz", "Unpack it: xz -dc < {old} > {new}"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "Unpack it: zstd -dc < {old} > {new}"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "Unpack it: lz4 -dc < {old} > {new}"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it, and give the file inside."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it, and give the file inside."),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", "Save it from there as 'CSV UTF-8'."),
    (b"%PDF-", "a PDF", "Give its text as .csv, .tsv, .jsonl or .parquet."),
    (b"ARROW1\x00\x00", "an Arrow (Feather) file", "Write it as Parquet: pandas.read_feather(OLD).to_parquet(NEW)"),
    (b"SQLite format 3\x00", "an SQLite database", "Export its table as .csv with a header."),
    (b"\x93NUMPY", "a NumPy array", "Give text and labels as .csv, .tsv, .jsonl or .parquet."),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "Give text and labels as .csv, .tsv, .jsonl or .parquet."),
    (b"Obj\x01", "an Avro file", "Give text and labels as .csv, .tsv, .jsonl or .parquet."),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch the file: git lfs pull"),
)  # fmt: skip
WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)


def _start(file: BufferedReader, given: str) -> bytes:
    """The first bytes of a file, without moving on in it."""
    try:
        return file.peek(4096)[:4096]
    except OSError as error:
        raise _cannot_read(given, error) from None


def _refuse_other_formats(start: bytes, path: Path, given: str, parquet: bool = False) -> None:
    """Raise a `UserError` for a file whose first bytes show another format, or a Unicode encoding other than UTF-8."""
    what, way_out = _other_format(start, parquet)
    if what:
        new = path.with_name(f"{path.stem}-unpacked{path.suffix}")
        raise UserError(f"'{given}' is {what}.\n{way_out.format(old=_word(path), new=_word(new))}")
    if not parquet and (encoding := _wide_encoding(start)):
        name, marked = encoding
        how = "its byte-order mark says so" if marked else "it has no byte-order mark, and NULs between its letters"
        raise UserError(f"'{given}' is {name}: {how}. UTF-8 is needed.\nConvert it: {_conversion(path, name, 'UTF-8')}")


def _other_format(start: bytes, parquet: bool) -> tuple[str, str]:
    for magic, what, way_out in FORMATS:
        if start.startswith(magic):
            return what, way_out
    if re.match(rb"BZh[1-9]1AY&SY", start):
        return "compressed by bzip2", "Unpack it: bunzip2 < {old} > {new}"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        office = b"[Content_Types].xml" in start or b"mimetypeapplication/vnd" in start or b"xl/" in start
        if office:
            return "a spreadsheet or an office document", "Save its table from there as 'CSV UTF-8'."
        return "a ZIP archive", "Unpack it, and give the file inside: unzip {old}"
    if start[257:262] == b"ustar":
        return "a tar archive", "Unpack it, and give the file inside: tar -xf {old}"
    if WEB_PAGE.match(start):
        return (
            "a web page, not the data",
            "Download the file itself: on the hub and on GitHub its address holds 'resolve' or 'raw'.",
        )
    if not parquet and re.match(rb"PAR1[\x00-\x1f]", start):
        return "a Parquet file", "Give it a name that ends in .parquet."
    return "", ""


def _wide_encoding(start: bytes) -> tuple[str, bool] | None:
    """UTF-16 or UTF-32, and whether a byte-order mark says so; without one, letters of ASCII at the start tell."""
    if start.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32", True
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16", True
    letter = rb"[\t\n\r\x20-\x7e]"
    for name, pattern in (
        ("UTF-16LE", rb"(?:%b\x00){3}" % letter),
        ("UTF-16BE", rb"(?:\x00%b){3}" % letter),
        ("UTF-32LE", rb"(?:%b\x00\x00\x00){2}" % letter),
        ("UTF-32BE", rb"(?:\x00\x00\x00%b){2}" % letter),
    ):
        if re.match(pattern, start):
            return name, False
    return None


def _conversion(path: Path, old: str, new: str) -> str:
    """The command that writes a file anew in another encoding, to be copied into a shell."""
    return f"iconv -f {old} -t {new} {_word(path)} > {_word(path.with_name(f'{path.stem}-{new.lower()}{path.suffix}'))}"


def _word(path: Path) -> str:
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


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
    records = (
        _quoted_records(path, given, delimiter, encoding)
        if quoting
        else _plain_records(path, given, delimiter, encoding)
    )
    header = columns or next(records, (0, None))[1]
    if header is None:
        raise UserError(f"'{given}' is empty: not even a header line.")
    names = list(wanted)
    if any("\r" in name for name in header) and not quoting:
        raise UserError(f"'{given}' {LONE_RETURNS}")
    places = [place(name, header, f"'{given}'", hint=True) for name in names]

    def cells() -> Iterator[list[str]]:
        for number, fields in records:
            if len(fields) != len(header):
                way_out = (
                    ""
                    if quoting
                    else " In your own files, dataset.quoting=true lets double quotes hold a field together."
                )
                if quoting and any(_opens_late(field) for field in fields):
                    way_out = " A quote holds a field together only where no space stands before it."
                raise UserError(
                    f"'{given}' line {number} has {len(fields)} fields, not {len(header)}.\nMend the line.{way_out}"
                )
            yield [fields[place] for place in places]

    return _table(names, cells(), given)


def _plain_records(path: Path, given: str, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered_lines(path, given, encoding):
        if text := without_end(line):
            yield number, text.split(delimiter)


def _quoted_records(path: Path, given: str, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_LINE)
    raw: list[str] = []  # the lines of the record at hand

    def lines() -> Iterator[str]:
        size = 0
        for number, line in numbered_lines(path, given, encoding):
            size = len(line) + (size if raw else 0)
            raw.append(line)
            if size > LONGEST_LINE:
                raise UserError(
                    f"'{given}' line {number - len(raw) + 1} begins a row of more than {LONGEST_LINE >> 20} MiB: "
                    "a quote there may not close.\nMend it, or set dataset.quoting=false if quotes are plain characters."
                )
            yield line

    source = lines()
    # `strict`, or a quote that never closes swallows the rest of the file without an error.
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    start, spaced = 1, None
    try:
        while (fields := next(reader, None)) is not None:
            if spaced is None and fields:
                # In a file of ", " the space belongs to the separator, and quotes open after it.
                spaced = len(fields) > 1 and all(field.startswith(" ") for field in fields[1:])
                if spaced:
                    fields = _spaces_skipped(raw, delimiter)
                    reader = csv.reader(source, delimiter=delimiter, strict=True, skipinitialspace=True)
            elif (
                not spaced
                and ' "' in (raw[0] if len(raw) == 1 else "".join(raw))
                and any(_opens_late(field) for field in fields)
            ):
                _refuse_late_quotes(fields, raw, delimiter, f"'{given}' line {start}")
            if fields:
                yield start, fields
            start += len(raw)
            raw.clear()
    except csv.Error as error:
        if start == 1 and "new-line character" in str(error):
            raise UserError(f"'{given}' {LONE_RETURNS}") from None
        raise UserError(
            f"'{given}' line {start} is no valid CSV: {flatten(error, 120)}.\n"
            "Mend it (a quote inside a quoted field is written twice), or set dataset.quoting=false if quotes are plain characters."
        ) from None


def _spaces_skipped(raw: list[str], delimiter: str) -> list[str]:
    """The fields of a record, given as lines, with the spaces after a delimiter left out."""
    records = list(csv.reader(raw, delimiter=delimiter, strict=True, skipinitialspace=True))
    if len(records) != 1:
        raise csv.Error("a quote opens or closes after a space")
    return records[0]


def _opens_late(field: str) -> bool:
    return field.startswith(" ") and field.lstrip(" ").startswith('"')


def _refuse_late_quotes(fields: list[str], raw: list[str], delimiter: str, where: str) -> None:
    """Refuse a record whose quotes would hold other fields together if the spaces before them were left out."""
    try:
        others = _spaces_skipped(raw, delimiter)
    except csv.Error:
        return  # the quotes hold nothing together: they are text
    if len(others) != len(fields) or any(
        _opens_late(field) and field != other for field, other in zip(fields, others, strict=True)
    ):
        raise UserError(
            f"{where}: a space stands before a quote that opens a field, so that the quote counts as text. Remove the space."
        )


def place(name: str, header: Sequence[str], where: str, hint: bool = False) -> int:
    """The index of a column; spaces around its name count only where two names differ in nothing else.

    Parameters
    ----------
    hint : bool
        Whether `header` is the first line of a table, so that advice about separators and missing headers fits.

    Raises
    ------
    UserError
        No column or several of that name; the message lists the names.
    """
    places = [index for index, other in enumerate(header) if other == name]
    places = places or [index for index, other in enumerate(header) if trimmed(other) == trimmed(name)]
    if len(places) == 1:
        return places[0]
    if places:
        alike = "" if header[places[0]] == name else f" but for spaces: {_listed([header[index] for index in places])}"
        raise UserError(f"{where} has {len(places)} columns called '{name}'{alike}. Rename all but one.")
    advice = (_separated(header) or _headless(name, header)) if hint and header else ""
    raise UserError(f"{where} has no column '{name}'. There are: {_listed(header)}.{advice}")


def trimmed(name: str) -> str:
    """A column's name or a label without the spaces, of any script, and the byte-order mark around it."""
    return name.strip().strip("\ufeff").strip()


def _listed(header: Sequence[str]) -> str:
    """Column names for a message, quoted where a space at an end would not be seen."""
    return textwrap.shorten(
        ", ".join(name if name and name == name.strip() else f"'{name}'" for name in header), 300, placeholder=" ..."
    )


def _headless(name: str, header: Sequence[str]) -> str:
    """Advice where a file's first line looks like a row of data: a number, an empty cell or a sentence among its cells."""
    if not any(number_spelling(cell.strip()) or not cell.strip() or " " in cell.strip() for cell in header):
        return ""
    return f"\nIf that is a row of data, write a first line of column names above it, with '{name}' among them."


def _separated(header: Sequence[str]) -> str:
    """What a header of one name tells of a file that was read with the wrong separator."""
    other = max(SEPARATORS, key=header[0].count)
    if len(header) != 1 or other not in header[0]:
        return ""
    return (
        f"\nThe file seems to be separated by {SEPARATORS[other]}. Save it with commas as .csv, or with tabs as .tsv."
    )


class _Number(str):
    """A JSON number as it is written: a float would round it."""


def read_json_lines(path: Path, given: str, wanted: Iterable[str]) -> pa.Table:
    """The `wanted` fields of a JSON file; numbers and booleans are spelled as text, a missing field is null.

    The file holds one object a line, or it is one list of objects, or one object of columns as ``DataFrame.to_json`` writes it.
    """
    names = list(wanted)
    rows = _document_rows(path, given, names)
    cells = _line_cells(path, given, names) if rows is None else _row_cells(rows, given, names)
    try:
        return _table(names, cells, given)
    except UnicodeEncodeError as error:  # JSON can spell what UTF-8 cannot hold
        half = ascii(error.object[max(error.start - 20, 0) : error.start + 20])
        raise UserError(
            f"'{given}' has half a surrogate pair in a text, which is no Unicode: {half}. Mend the text."
        ) from None


def _line_cells(path: Path, given: str, names: list[str]) -> Iterator[list[str | None]]:
    keys: list[str] | None = None
    for number, line in numbered_lines(path, given):
        if not line.strip():
            continue
        try:
            row = parse_json(line, _Number)
        except Unreadable as error:
            raise UserError(f"'{given}' line {number} is {_in_one_line(error)}. Each line holds one object.") from None
        if not isinstance(row, dict):
            raise UserError(
                f'\'{given}\' line {number} is no JSON object. Each line holds one: {{"text": ..., "label": ...}}.'
            )
        if keys is None:
            keys = _keys(names, row, given)
        yield [_spelled(row.get(key), f"'{given}' line {number}", key) for key in keys]


def _row_cells(rows: Iterable[Any], given: str, names: list[str]) -> Iterator[list[str | None]]:
    keys: list[str] | None = None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"'{given}' row {number} is no JSON object.\n{AS_LINES}")
        if keys is None:
            keys = _keys(names, row, given)
        yield [_spelled(row.get(key), f"'{given}' row {number}", key) for key in keys]


def _keys(names: list[str], row: dict[str, Any], given: str) -> list[str]:
    header = list(row)
    return [header[place(name, header, f"'{given}'")] for name in names]


def _document_rows(path: Path, given: str, names: list[str]) -> Iterable[Any] | None:
    """The rows of a file that is one JSON value; None for a file of lines, and where the reader of lines can say what is wrong."""
    with opened(path, given) as file:
        start = _start(file, given)
        _refuse_other_formats(start, path, given)
        text = start.removeprefix(BOM).lstrip()
        if not text.startswith((b"[", b"{")):
            return None
        first = _first_object(file, given)
        if first is not None and all(any(_is_cell(first, key, name) for key in first) for name in names):
            return None
        try:
            file.seek(0)
            raw = file.read(LONGEST_DOCUMENT + 1)
        except OSError as error:
            raise _cannot_read(given, error) from None
    if len(raw) > LONGEST_DOCUMENT:
        if first is not None:
            return None
        raise UserError(
            f"'{given}' does not begin with a line of JSON, and is longer than {LONGEST_DOCUMENT >> 20} MiB.\n{AS_LINES}"
        )
    try:
        value = parse_json(raw.removeprefix(BOM), _Number)
    except Unreadable as error:
        if text.partition(b"\n")[0].strip() in (b"[", b"{"):
            raise UserError(f"'{given}' is {flatten(error, 160)}.\n{AS_LINES}") from None
        return None
    return value if isinstance(value, list) else _column_rows(value, given, names)


def _first_object(file: BufferedReader, given: str) -> dict[str, Any] | None:
    """The object in the first line that is not blank; None where that line is anything else."""
    line = b""
    try:
        while not line.strip():
            line = file.readline(LONGEST_LINE + 1).removeprefix(BOM)
            if not line:
                return None
        row = parse_json(line, _Number)
    except OSError as error:
        raise _cannot_read(given, error) from None
    except Unreadable:
        return None
    return row if isinstance(row, dict) else None


def _is_cell(row: dict[str, Any], key: str, name: str) -> bool:
    return trimmed(key) == trimmed(name) and not isinstance(row[key], (dict, list))


def _column_rows(value: dict[str, Any], given: str, names: list[str]) -> Iterator[dict[str, Any]] | None:
    """The rows of one object of columns, each an object under row names or a list; None where the columns are neither."""
    try:
        keys = _keys(names, value, given)
    except UserError as error:
        if value and all(isinstance(inner, (dict, list)) for inner in value.values()):
            raise UserError(f"{error}\n{AS_LINES}") from None
        raise
    columns = [value[key] for key in keys]
    if all(isinstance(column, dict) for column in columns):
        rows = list(columns[0])
        if any(list(column) != rows for column in columns):
            raise UserError(f"'{given}': the columns {_listed(keys)} do not have the same rows.\n{AS_LINES}")
        columns = [list(column.values()) for column in columns]
    if not all(isinstance(column, list) for column in columns):
        return None
    if any(len(column) != len(columns[0]) for column in columns):
        raise UserError(f"'{given}': the columns {_listed(keys)} do not have the same number of rows.\n{AS_LINES}")
    return (dict(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True))


def _in_one_line(error: Unreadable) -> str:
    return re.sub(r" at line 1, column (\d+)$", r" at column \1", flatten(error, 120))


def _spelled(value: Any, where: str, name: str) -> str | None:
    if type(value) is str or value is None:
        return value
    if isinstance(value, _Number):
        if value in ("NaN", "Infinity", "-Infinity"):
            raise UserError(f"{where}: '{name}' is {value}; a string or a number is needed.")
        return number_spelling(value) or str(value)
    if isinstance(value, bool):
        return str(value).lower()
    raise UserError(
        f"{where}: '{name}' is a JSON {'object' if isinstance(value, dict) else 'list'}; a string or a number is needed."
    )


def read_parquet(path: Path, given: str, wanted: Iterable[str]) -> pa.Table:
    """The `wanted` columns of a Parquet file, spelled as text, decoded in batches because a few bytes can stand for gigabytes."""
    import pyarrow.parquet

    names = list(wanted)
    with opened(path, given) as file:
        _refuse_other_formats(_start(file, given), path, given, parquet=True)
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
            schema = parquet.schema_arrow
            places = [place(name, schema.names, f"'{given}'") for name in names]
            for index in places:
                _check_type(schema.field(index).type, given, schema.names[index])
            _refuse_too_much(OFFSET_BYTES * parquet.metadata.num_rows * len(names), given)
            columns, size = {}, 0
            for name, index in zip(names, places, strict=True):
                columns[name], size = _decoded(parquet, schema.field(index), given, size)
            return spelled_table(pa.table(columns), given)
        except MemoryError:
            raise UserError(f"'{given}' takes more memory than there is. Give a part of its rows.") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(f"'{given}' is no sound Parquet file: {flatten(error, 160)}.") from None


def _decoded(parquet: Any, field: pa.Field, given: str, size: int) -> tuple[pa.ChunkedArray, int]:
    """A column of a Parquet file without dictionaries, and `size` plus its bytes."""
    kind = _plain_type(field.type)
    is_text = _is_text(kind) or _is_binary(kind)
    rows = TEXT_BATCH if is_text and kind == field.type else BLOCK
    texts, numbers = _Column(), []
    for batch in parquet.iter_batches(rows, columns=[field.name], use_threads=False):
        cells = batch.column(0)
        cells.validate(full=True)
        size += _decoded_bytes(cells)
        _refuse_too_much(size, given)
        if is_text:
            texts.extend_array(_plain(cells, given, field.name))
        else:
            numbers.append(_plain(cells, given, field.name))
    return pa.chunked_array([texts.array()] if is_text else numbers, STRING if is_text else kind), size


def _decoded_bytes(cells: pa.Array) -> int:
    """Bytes of a column's cells as text, those behind a dictionary counted once for each row."""
    import pyarrow.compute as pc

    kind = _plain_type(cells.type)
    if not (_is_text(kind) or _is_binary(kind)):
        return NUMBER_BYTES * len(cells)
    if kind == cells.type:
        return int(cells.nbytes) + OFFSET_BYTES * len(cells)
    lengths = pc.binary_length(cells.dictionary.cast(pa.large_binary())).cast(pa.int64())
    return OFFSET_BYTES * len(cells) + int(pc.sum(lengths.take(cells.indices)).as_py() or 0)


def _refuse_too_much(size: int, given: str) -> None:
    if size > MOST_BYTES:
        raise UserError(
            f"'{given}' holds more than {MOST_BYTES >> 30} GiB in the columns asked for. Give a part of its rows."
        )


def spelled_table(table: pa.Table, given: str) -> pa.Table:
    """Every column as large_string: whole floats lose their point (pandas turns an integer column with a gap into floats)."""
    return pa.table({name: _spelled_column(table[name], given, name) for name in table.column_names})


def _spelled_column(column: pa.ChunkedArray, given: str, name: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    _check_type(column.type, given, name)
    plain = pa.chunked_array(
        [_plain(chunk, given, name) for chunk in column.chunks], None if column.num_chunks else STRING
    )
    kind = plain.type
    if pa.types.is_decimal(kind):
        return _each_spelled(plain.cast(STRING))
    if pa.types.is_float16(kind):
        return _each_spelled(_half_floats(plain))
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(plain), plain), pc.less(pc.abs(plain), EXACT))
        if pc.all(whole).as_py():
            plain = plain.cast(pa.int64())
    return plain.cast(STRING)


def _plain(cells: pa.Array, given: str, name: str) -> pa.Array:
    """A column's cells without a dictionary; text and bytes as large_string."""
    kind = _plain_type(cells.type)
    if _is_text(kind) or _is_binary(kind):
        try:
            return cells.cast(STRING)
        except pa.ArrowInvalid:
            raise UserError(
                f"'{given}': column '{name}' holds bytes that are not UTF-8. Decode them, and write the column as text."
            ) from None
    return cells.cast(kind)


def _half_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Half-precision floats as the shortest decimals that give them back; a cast by way of float32 would show more digits."""
    import pyarrow.compute as pc

    found = column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float16)
    values, places = np.unique(found.view(np.uint16), return_inverse=True)
    spelled = pa.array([str(value) for value in values.view(np.float16)], STRING).take(pa.array(places))
    return pa.chunked_array([pc.if_else(pc.is_valid(column.combine_chunks()), spelled, pa.scalar(None, STRING))])


def _each_spelled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts of numbers, each in its one spelling."""
    import pyarrow.compute as pc

    texts = column.unique()
    spelled = pa.array([text and (number_spelling(text) or text) for text in texts.to_pylist()], STRING)
    return spelled.take(pc.index_in(column, texts)) if len(texts) else column


def _check_type(kind: pa.DataType, given: str, name: str) -> None:
    plain = _plain_type(kind)
    is_number = (
        pa.types.is_integer(plain)
        or pa.types.is_floating(plain)
        or pa.types.is_decimal(plain)
        or pa.types.is_boolean(plain)
    )
    if not (is_number or _is_text(plain) or _is_binary(plain)):
        raise UserError(
            f"'{given}': column '{name}' is of type {str(plain)[:80]}; text or numbers are needed. Write it as text."
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_binary(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def read_sentences(path: Path, given: str, label: str, encoding: str = "utf-8") -> pa.Table:
    """One sentence a line, every line a row (an empty one too), all of the class `label`: columns text, label."""
    return _table(
        ["text", "label"], ([without_end(line), label] for _, line in numbered_lines(path, given, encoding)), given
    )


def read_labelled_lines(path: Path, given: str, label_end: str | None, encoding: str = "utf-8") -> pa.Table:
    """A label, a space and the sentence on each line: columns text, label. `label_end` cuts a label such as ``COARSE:fine``."""

    def cells() -> Iterator[list[str]]:
        for number, line in numbered_lines(path, given, encoding):
            if not (text := without_end(line)):
                continue
            label, space, sentence = text.partition(" ")
            if not space:
                raise UserError(
                    f"'{given}' line {number} holds no space: a label, a space and the sentence are expected."
                )
            yield [sentence, label.partition(label_end)[0] if label_end else label]

    return _table(["text", "label"], cells(), given)


def _table(names: list[str], rows: Iterable[list[Any]], given: str) -> pa.Table:
    columns = [_Column() for _ in names]
    rows = iter(rows)
    while block := list(itertools.islice(rows, BLOCK)):
        for column, cells in zip(columns, zip(*block, strict=True), strict=True):
            column.extend(cells)
        _refuse_too_much(sum(len(column.data) + OFFSET_BYTES * len(column.lengths) for column in columns), given)
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

    def extend_array(self, cells: pa.LargeStringArray) -> None:
        if not len(cells):
            return
        _, offsets, data = cells.buffers()
        places = np.frombuffer(offsets, dtype=np.int64)[cells.offset : cells.offset + len(cells) + 1]
        if cells.null_count:
            self.nulls += (np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False)) + len(self.lengths)).tolist()
        self.data += memoryview(data or b"")[int(places[0]) : int(places[-1])]
        self.lengths.frombytes(np.diff(places).tobytes())

    def array(self) -> pa.Array:
        offsets = np.concatenate([[0], np.cumsum(np.frombuffer(self.lengths, dtype=np.int64), dtype=np.int64)]).astype(
            np.int64
        )
        present = np.ones(len(self.lengths), dtype=bool)
        present[self.nulls] = False
        validity = pa.py_buffer(np.packbits(present, bitorder="little")) if self.nulls else None
        return pa.Array.from_buffers(
            STRING, len(self.lengths), [validity, pa.py_buffer(offsets), pa.py_buffer(self.data)]
        )

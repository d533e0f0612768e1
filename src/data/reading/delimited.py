"""Read CSV and TSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from src.data.reading.columns import find_column
from src.data.reading.files import MAX_LINE, numbered_lines, without_line_end
from src.data.reading.tables import table_from_rows
from src.errors import UserError, flatten

LONE_RETURNS = (
    "seems to end its lines with lone carriage returns.\n"
    "Save it with line feeds, for example: tr '\\r' '\\n' < OLD > NEW"
)
Record = tuple[int, list[str]]  # number of its first line, fields


def read_delimited(
    path: Path,
    given: str,
    wanted: Iterable[str],
    *,
    delimiter: str,
    quoting: bool,
    columns: list[str] | None = None,
    encoding: str = "utf-8",
    further_fields: bool = False,
) -> pa.Table:
    """Return the `wanted` columns of a CSV or TSV file.

    Parameters
    ----------
    quoting : bool
        Whether double quotes quote a field, as in RFC 4180; otherwise they are plain characters.
    columns : list of str or None, default None
        The column names of a file without a header; None reads the first line.
    further_fields : bool, default False
        Whether a row may have more fields than there are columns; they are ignored.

    Raises
    ------
    UserError
        A column is missing or occurs twice, a row has too many or too few fields, or a quote does
        not close.
    """
    read_records = _quoted_records if quoting else _plain_records
    records = read_records(path, given, delimiter, encoding)
    header = columns or next(records, (0, None))[1]
    if header is None:
        raise UserError(f"'{given}' is empty: not even a header line.")
    names = list(wanted)
    if any("\r" in name for name in header) and not quoting:
        raise UserError(f"'{given}' {LONE_RETURNS}")
    places = [find_column(name, header, f"'{given}'", advise=True) for name in names]

    def rows() -> Iterator[list[str]]:
        for number, fields in records:
            if len(fields) != len(header) and not (further_fields and len(fields) > len(header)):
                raise _wrong_number_of_fields(f"'{given}' line {number}", fields, len(header), quoting)
            yield [fields[place] for place in places]

    return table_from_rows(names, rows(), given)


def _wrong_number_of_fields(where: str, fields: list[str], expected: int, quoting: bool) -> UserError:
    way_out = ""
    if not quoting:
        way_out = " In your own files, dataset.quoting=true reads double quotes as the marks of a field."
    elif any(_has_late_quote(field) for field in fields):
        way_out = " A quote opens a field only if no space precedes it."
    return UserError(f"{where} has {len(fields)} fields, not {expected}.\nCorrect the line.{way_out}")


def _plain_records(path: Path, given: str, delimiter: str, encoding: str) -> Iterator[Record]:
    for number, line in numbered_lines(path, given, encoding):
        if text := without_line_end(line):
            yield number, text.split(delimiter)


def _quoted_records(path: Path, given: str, delimiter: str, encoding: str) -> Iterator[Record]:
    csv.field_size_limit(MAX_LINE)
    raw: list[str] = []  # lines of the current record
    source = _record_lines(path, given, encoding, raw)
    # `strict`, or a quote that never closes swallows the rest of the file without an error.
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    start, spaced = 1, None
    try:
        while (fields := next(reader, None)) is not None:
            if spaced is None and fields:
                # In a file of ", " the space belongs to the separator, and quotes open after it.
                spaced = len(fields) > 1 and all(field.startswith(" ") for field in fields[1:])
                if spaced:
                    fields = _without_spaces(raw, delimiter)
                    reader = csv.reader(source, delimiter=delimiter, strict=True, skipinitialspace=True)
            elif not spaced and ' "' in (raw[0] if len(raw) == 1 else "".join(raw)):
                _refuse_late_quotes(fields, raw, delimiter, f"'{given}' line {start}")
            if fields:
                yield start, fields
            start += len(raw)
            raw.clear()
    except csv.Error as error:
        if start == 1 and "new-line character" in str(error):
            raise UserError(f"'{given}' {LONE_RETURNS}") from None
        raise UserError(
            f"'{given}' line {start} is not valid CSV: {flatten(error, 120)}.\n"
            "Correct it (a quote inside a quoted field is written twice), "
            "or set dataset.quoting=false if quotes are plain characters."
        ) from None


def _record_lines(path: Path, given: str, encoding: str, raw: list[str]) -> Iterator[str]:
    """Yield the lines of a file, and append them to `raw`, which is cleared after each record."""
    size = 0
    for number, line in numbered_lines(path, given, encoding):
        size = len(line) + (size if raw else 0)
        raw.append(line)
        if size > MAX_LINE:
            raise UserError(
                f"'{given}' line {number - len(raw) + 1} begins a row of more than {MAX_LINE >> 20} MiB: "
                "a quote there may not close.\nCorrect it, or set dataset.quoting=false if quotes are plain characters."
            )
        yield line


def _without_spaces(raw: list[str], delimiter: str) -> list[str]:
    """Return the fields of a record, given as lines, without the spaces after delimiters."""
    records = list(csv.reader(raw, delimiter=delimiter, strict=True, skipinitialspace=True))
    if len(records) != 1:
        raise csv.Error("a quote opens or closes after a space")
    return records[0]


def _has_late_quote(field: str) -> bool:
    """Return whether spaces precede a field's opening quote."""
    return field.startswith(" ") and field.lstrip(" ").startswith('"')


def _refuse_late_quotes(fields: list[str], raw: list[str], delimiter: str, where: str) -> None:
    """Refuse a record whose fields would differ if the spaces before quotes were left out."""
    if not any(_has_late_quote(field) for field in fields):
        return
    try:
        others = _without_spaces(raw, delimiter)
    except csv.Error:
        return  # the quotes open no field and are text
    if len(others) != len(fields) or any(
        _has_late_quote(field) and field != other for field, other in zip(fields, others, strict=True)
    ):
        raise UserError(
            f"{where}: a space precedes a quote, so that the quote counts as text and opens no field. Remove the space."
        )

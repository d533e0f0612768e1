"""Find columns by name, and explain why one is missing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pyarrow as pa

from src.errors import UserError
from src.storage.numbers import number_spelling

SEPARATORS = {";": "';'", "\t": "tabs", ",": "','", "|": "'|'"}


class MissingColumn(UserError):
    """A column that a file does not have."""


def find_column(name: str, header: Sequence[str], where: str, *, advise: bool = False) -> int:
    """Return the index of a column.

    Spaces around a name count only where two names differ in nothing else.

    Parameters
    ----------
    advise : bool, default False
        Whether `header` is the first line of a table, so that advice about separators and missing
        headers fits.

    Raises
    ------
    UserError
        No column or several have that name; the message lists the names.
    """
    places = [index for index, other in enumerate(header) if other == name]
    places = places or [index for index, other in enumerate(header) if trimmed(other) == trimmed(name)]
    if len(places) == 1:
        return places[0]
    if places:
        alike = "" if header[places[0]] == name else f" but for spaces: {listed([header[index] for index in places])}"
        raise UserError(f"{where} has {len(places)} columns called '{name}'{alike}. Rename all but one.")
    advice = (_separator_advice(header) or _header_advice(name, header)) if advise and header else ""
    raise MissingColumn(f"{where} has no column '{name}'. There are: {listed(header)}.{advice}")


def trimmed(name: str) -> str:
    """Return a name or a label without surrounding spaces, of any script, and byte-order mark."""
    return name.strip().strip("\ufeff").strip()


def role_columns(text: str | None, text_pair: str | None, label: str | None) -> dict[str, str]:
    """Return role to column name, without the roles that have no column."""
    named = {"text": text, "text_pair": text_pair, "label": label}
    return {role: column for role, column in named.items() if column is not None}


def rename_columns(table: pa.Table, columns: dict[str, str]) -> pa.Table:
    """Return the columns of a table under the names of their roles."""
    return pa.table({role: table[column] for role, column in columns.items()})


def listed(header: Sequence[str]) -> str:
    """Return column names for a message, quoted where a space at an end would not be seen."""
    return textwrap.shorten(
        ", ".join(name if name and name == name.strip() else f"'{name}'" for name in header), 300, placeholder=" ..."
    )


def _header_advice(name: str, header: Sequence[str]) -> str:
    """Return advice if the first line looks like data: a number, an empty cell or a sentence."""
    if not any(number_spelling(cell.strip()) or not cell.strip() or " " in cell.strip() for cell in header):
        return ""
    return f"\nIf that is a row of data, write a first line of column names above it, with '{name}' among them."


def _separator_advice(header: Sequence[str]) -> str:
    """Return advice where a header of one name holds another separator."""
    other = max(SEPARATORS, key=header[0].count)
    if len(header) != 1 or other not in header[0]:
        return ""
    return (
        f"\nThe file seems to be separated by {SEPARATORS[other]}. Save it with commas as .csv, or with tabs as .tsv."
    )

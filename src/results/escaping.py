"""Escaping of names that users chose: in Markdown, in CSV, and in a command to be pasted."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from src.errors import printable
from src.storage.numbers import is_decimal

MARKUP = re.compile(r"[\\`*<>|]|(?<=\])[(\[:]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|^[#+-](?=\s)")
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")  # full-width signs begin one too
BARE = re.compile(r"[\w./-]+", re.ASCII)


def markdown(text: str) -> str:
    r"""Return a line that Markdown shows unchanged, also in a cell of a table.

    >>> markdown("<b> [a](b) | `c`")
    '\\<b\\> [a]\\(b) \\| \\`c\\`'
    """
    return printable(MARKUP.sub(r"\\\g<0>", " ".join(text.split())))


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet reads as a formula, with an apostrophe if necessary.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell(-0.5)
    ("'=1+1", '-0.5', -0.5)
    """
    if not isinstance(value, str):
        return value
    return "'" * bool(FORMULA.match(value) and not is_decimal(value)) + printable(value)


def option(key: str, value: str) -> str:
    r"""Return ``key=value`` with any value, quoted for a shell and for `experiments.cli`.

    >>> option("records", "multirun/a"), option("records", "my runs, new")
    ('records=multirun/a', '\'records="my runs, new"\'')
    """
    if BARE.fullmatch(value) and value != "null":
        return f"{key}={value}"
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # OmegaConf would replace ${...}
    return shlex.quote(f"{key}={json.dumps(literal, ensure_ascii=False)}")

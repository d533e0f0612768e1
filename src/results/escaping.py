"""Names that users chose, written so that a table shows them as they stand: in Markdown, in CSV, and in a command to be pasted."""

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
    r"""A line that Markdown shows as it stands, also in a table's cell.

    >>> markdown("<b> [a](b) | `c`")
    '\\<b\\> [a]\\(b) \\| \\`c\\`'
    """
    return printable(MARKUP.sub(r"\\\g<0>", " ".join(text.split())))


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text that would begin one gets an apostrophe, a number stays a number.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell(-0.5)
    ("'=1+1", '-0.5', -0.5)
    """
    if not isinstance(value, str):
        return value
    return "'" * bool(FORMULA.match(value) and not is_decimal(value)) + printable(value)


def option(key: str, value: str) -> str:
    r"""``key=value`` as a shell takes it, for the commands of `experiments.cli`, whatever the value holds.

    >>> option("records", "multirun/a"), option("records", "my runs, new")
    ('records=multirun/a', '\'records="my runs, new"\'')
    """
    if BARE.fullmatch(value) and value != "null":
        return f"{key}={value}"
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # OmegaConf would replace ${...}
    return shlex.quote(f"{key}={json.dumps(literal, ensure_ascii=False)}")

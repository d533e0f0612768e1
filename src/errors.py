"""The one exception a user is meant to read, and text that a terminal may be given."""

from __future__ import annotations

import re

# What could move a terminal's cursor or hide what stands there, and what has no encoding; the newline alone is ours.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """Bad input, in one to three lines: what came, what is allowed, the way out. The doors print it without a traceback and exit 1."""


def flatten(error: BaseException, limit: int = 300) -> str:
    """Fold a library's message into one line of at most `limit` characters, for quoting inside a `UserError`."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def printable(text: str) -> str:
    r"""A text for a terminal or a table, its control characters written as escapes.

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\nc'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)

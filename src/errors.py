"""The one exception a user is meant to read, and text that a terminal may be given."""

from __future__ import annotations

import re

# What could move a terminal's cursor or hide what stands there, and what has no encoding; the newline alone is ours.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# Names and passwords before an address's host (pathlib leaves one slash of two), as they stand or percent-encoded, and secrets of a query.
CREDENTIALS = re.compile(
    r"""(?P<start>\b[a-z][a-z0-9+.-]{1,20}:/{1,3}|(?<![^\s"'=,(\[])//)
            (?:[^\s/?\#"<>]{1,999} | [^\s/?\#"<>:@]{0,99}:(?!\d+(?:[/?\#\s]|$))[^\s"<>]{1,999})(?P<end>@)
      | (?P<coded>%3A(?:%2F){2})(?:(?!%2F|%3F|%23)[^\s/?\#"<>]){1,999}(?P<at>%40|@)
      | (?P<token>\bhf_)[A-Za-z0-9]{20,}
      | (?P<query>[?&;\#](?:[\w.-]{0,40}
            (?:token|secret|passw(?:or)?d|signature|credential|api_?key|access_?key|auth)[\w.-]{0,40}|sig|key|pwd)=)[^&;\s"'<>\#]+""",
    re.IGNORECASE | re.VERBOSE,
)


class UserError(Exception):
    """Bad input, in one to three lines: what came, what is allowed, the way out. The doors print it without a traceback and exit 1."""


def flatten(error: BaseException, limit: int = 300) -> str:
    """Fold a library's message into one line of at most `limit` characters, for quoting inside a `UserError`."""
    text = mask(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def mask(text: str) -> str:
    """A text without the credentials of the addresses in it, for whatever is shown or written down.

    >>> mask("s3://key:secret@bucket/a.csv"), mask("https://host/a.csv?sig=abc&page=2")
    ('s3://***@bucket/a.csv', 'https://host/a.csv?sig=***&page=2')
    """
    return CREDENTIALS.sub(_masked, text) if "/" in text or "%" in text or "=" in text or "hf_" in text else text


def _masked(found: re.Match[str]) -> str:
    if found["query"] and not re.search(":/", found.string[: found.start()].split(" ")[-1]):
        return found[0]  # no address: columns and file names may hold these signs
    return "".join(
        (found["start"] or found["coded"] or found["token"] or found["query"], "***", found["end"] or found["at"] or "")
    )


def printable(text: str) -> str:
    r"""A text for a terminal or a table, its control characters written as escapes and the credentials of addresses masked.

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\nc'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), mask(text))

"""The exception that users read, and texts that are safe to show."""

from __future__ import annotations

import re
from typing import Any

# Characters that move a terminal's cursor, hide text or cannot be encoded; newlines are allowed.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# Names and passwords before the host of an address, as they stand or percent-encoded, and secrets
# of a query. `pathlib` leaves one slash of two.
CREDENTIALS = re.compile(
    r"""(?P<start>\b[a-z][a-z0-9+.-]{1,20}:/{1,3}|(?<![^\s"'=,(\[])//)
            (?:[^\s/?\#"<>]{1,999} | [^\s/?\#"<>:@]{0,99}:(?!\d+(?:[/?\#\s]|$))[^\s"<>]{1,999})(?P<end>@)
      | (?P<coded>%3A(?:%2F){2})(?:(?!%2F|%3F|%23)[^\s/?\#"<>]){1,999}(?P<at>%40|@)
      | (?P<token>\bhf_)[A-Za-z0-9]{20,}
      | (?P<query>[?&;\#](?:[\w.-]{0,40}
            (?:token|secret|passw(?:or)?d|signature|credential|api_?key|access_?key|auth)[\w.-]{0,40}|sig|key|pwd)=)
        [^&;\s"'<>\#]+""",
    re.IGNORECASE | re.VERBOSE,
)


class UserError(Exception):
    """Report bad input in one to three lines: what came, what is allowed, the way out.

    Commands print it without a traceback and exit with status 1.
    """


def flatten(error: BaseException, limit: int = 300) -> str:
    """Return an error's message as one line of at most `limit` characters."""
    return shortened(mask(" ".join(str(error).split())) or type(error).__name__, limit)


def shortened(value: object, limit: int = 100) -> str:
    """Return a value as text of at most `limit` characters."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def mask(text: str) -> str:
    """Return a text without the credentials of the addresses in it.

    >>> mask("s3://key:secret@bucket/a.csv"), mask("https://host/a.csv?sig=abc&page=2")
    ('s3://***@bucket/a.csv', 'https://host/a.csv?sig=***&page=2')
    """
    return CREDENTIALS.sub(_masked, text) if "/" in text or "%" in text or "=" in text or "hf_" in text else text


def _masked(found: re.Match[str]) -> str:
    """Return a match with its secret replaced."""
    if found["query"] and not re.search(":/", found.string[: found.start()].split(" ")[-1]):
        return found[0]  # not an address: names of columns and files may hold these characters
    return "".join(
        (found["start"] or found["coded"] or found["token"] or found["query"], "***", found["end"] or found["at"] or "")
    )


def refuse_credentials(value: Any, key: str = "") -> None:
    """Refuse a setting that holds an address with a password, a token or a signature.

    Parameters
    ----------
    value : object
        Text, or mappings and lists of it. Keys of mappings are checked too.
    key : str
        What the user calls the setting.

    Raises
    ------
    UserError
        Credentials were found. They would be written into records, notes and trackers.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            refuse_credentials(str(name))
            refuse_credentials(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            refuse_credentials(item, key)
    elif isinstance(value, str) and mask(value) != value:
        raise UserError(
            f"{key}={mask(value)[:200]} holds credentials, which would be written into the run's files. Leave them "
            "out: files are read from this machine, and a token of the hub belongs in HF_TOKEN."
        )


def printable(text: str) -> str:
    r"""Return a text for a terminal: control characters as escapes, credentials masked.

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\nc'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), mask(text))

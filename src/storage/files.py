"""What is read from disk, read with bounds: regular files alone, and JSON of a sane depth with finite numbers.

A file that another program wrote, or that a power cut tore, is data: whatever it holds ends in one exception with a phrase, so that each
caller can say what is damaged and what the way out is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

DEEPEST = 64  # arrays and objects within one another; records and configurations have fewer than ten
MOST_BYTES = 1 << 28  # of a JSON file
MOST_DIGITS = 300  # of a whole number: it still fits a float; tokenizers write 1e30 as a whole number


class Unreadable(ValueError):
    """A file's content that cannot be used; the message is a phrase without a capital or a full stop."""


# Errors that damaged bytes raise when they are read.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def open_regular(path: str | Path, *, folder: int | None = None) -> BufferedReader:
    """Open a file for reading bytes; OSError where it is missing or no regular file, without waiting for a pipe's other end.

    With `folder`, the descriptor of an open folder, the name is looked up there, and a link is refused instead of followed.
    """
    more = getattr(os, "O_NONBLOCK", 0) | (0 if folder is None else os.O_NOFOLLOW)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | more, dir_fd=folder))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return file


def read_json(path: str | Path, *, folder: int | None = None) -> Any:
    """The value in a JSON file, which is opened as `open_regular` does.

    Raises
    ------
    OSError
        The file is missing, cannot be read or is no regular file.
    Unreadable
        Its content is too long or no JSON, as `parse_json` says.
    """
    with open_regular(path, folder=folder) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise Unreadable(f"longer than {MOST_BYTES >> 20} MiB")
        return parse_json(file.read(MOST_BYTES + 1))


def file_digest(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces.

    Raises
    ------
    OSError
        The file is missing, cannot be read or is not a regular file.
    """
    with open_regular(path) as file:
        return open_digest(file)


def open_digest(file: BufferedReader) -> str:
    """Return the hexadecimal SHA-256 of an open file, and go back to its start."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def parse_json(text: str | bytes, numbers: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text.

    Parameters
    ----------
    numbers : callable or None
        Makes a value of the text of each number, ``NaN`` and ``Infinity`` included. None: int and float, with bounds.

    Raises
    ------
    Unreadable
        No UTF-8, no JSON, nested too deeply, or, without `numbers`, a number that is not finite or too large for a float.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = _decoder(numbers).decode(text)
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}" if text.strip() else "empty"
        ) from None
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise Unreadable("nested too deeply")
    return value


@lru_cache(maxsize=4)
def _decoder(numbers: Callable[[str], Any] | None) -> json.JSONDecoder:
    """The decoder of `parse_json`, kept because making one takes longer than a short line."""
    if numbers is not None:
        return json.JSONDecoder(parse_constant=numbers, parse_float=numbers, parse_int=numbers)
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_float, parse_int=_int)


def checked(value: Any, required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A JSON object whose fields are of the types given (a type, or a tuple of them); other fields are let through.

    A whole number counts as a float, a boolean as no number, and an optional field may be null.

    Raises
    ------
    Unreadable
        No object, a field that is missing, or one of another type.
    """
    if not isinstance(value, dict):
        raise Unreadable(f"{_named(value)} where an object is needed")
    for name, kinds in [*required.items(), *(optional or {}).items()]:
        if name not in value or (value[name] is None and name not in required):
            if name in required:
                raise Unreadable(f"no field '{name}'")
            continue
        allowed = kinds if isinstance(kinds, tuple) else (kinds,)
        found = value[name]
        fits = type(found) in allowed or (float in allowed and type(found) is int)
        if not fits:
            wanted = " or ".join(_NAMES.get(kind, kind.__name__) for kind in allowed)
            raise Unreadable(f"'{name}' is {_named(found)}, not {wanted}")
    return value


_NAMES: dict[type, str] = {
    dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null",
}  # fmt: skip


def _named(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


def _depth(value: Any) -> int:
    """Containers within one another; stops counting beyond `DEEPEST`."""
    level, depth = [value], 0
    while depth <= DEEPEST:
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            break
        depth += 1
    return depth


def _refuse_constant(name: str) -> Any:
    raise Unreadable(f"{name} is no number")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Unreadable(f"the number {digits[:20]} is too large")
    return value


def _int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise Unreadable(f"a whole number of {len(digits)} digits is too large")
    return int(digits)

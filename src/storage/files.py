"""Reading of files with limits: regular files only, and JSON of limited depth with finite numbers.

Another program may have written a file, or a power cut may have truncated it. Any content that
cannot be used raises one exception with a phrase, so that the caller can say which file is damaged.
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

MAX_DEPTH = 64  # nested arrays and objects; records and configurations have fewer than ten
MAX_BYTES = 1 << 28  # bytes of a JSON file
MAX_DIGITS = 300  # digits of a whole number that fits a float; tokenizers write 1e30 as one


class Unreadable(ValueError):
    """Content of a file that cannot be used; the message is a phrase, not a sentence."""


# Errors that damaged bytes raise when they are read.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def open_regular(path: str | Path, *, folder: int | None = None) -> BufferedReader:
    """Open a regular file for reading bytes; a pipe is refused without waiting.

    Parameters
    ----------
    path : path
    folder : int, optional
        Descriptor of the open folder that holds the file. A link is then an error.

    Raises
    ------
    OSError
        The file is missing or is not a regular file.
    """
    more = getattr(os, "O_NONBLOCK", 0) | (0 if folder is None else os.O_NOFOLLOW)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | more, dir_fd=folder))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return file


def read_json(path: str | Path, *, folder: int | None = None) -> Any:
    """Return the value in a JSON file.

    Parameters
    ----------
    path, folder
        As in `open_regular`.

    Raises
    ------
    OSError
        The file is missing, cannot be read or is not a regular file.
    Unreadable
        Its content is too long, or not JSON that `parse_json` accepts.
    """
    with open_regular(path, folder=folder) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise Unreadable(f"longer than {MAX_BYTES >> 20} MiB")
        return parse_json(file.read(MAX_BYTES + 1))


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
    """Return the value of a JSON text.

    Parameters
    ----------
    text : str or bytes
    numbers : callable, optional
        Converts the text of each number, ``NaN`` and ``Infinity`` included. Default: int and
        float, with limits.

    Raises
    ------
    Unreadable
        The text is not UTF-8, not JSON or nested too deeply. Without `numbers`: a number is
        not finite or too large for a float.
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
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}" if text.strip() else "empty"
        ) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Unreadable("nested too deeply")
    return value


@lru_cache(maxsize=4)
def _decoder(numbers: Callable[[str], Any] | None) -> json.JSONDecoder:
    """Return the decoder of `parse_json`, cached because creating one is slow."""
    if numbers is not None:
        return json.JSONDecoder(parse_constant=numbers, parse_float=numbers, parse_int=numbers)
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_float, parse_int=_int)


def require_fields(
    value: Any, required: Mapping[str, Any], optional: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a JSON object after a check of its fields; other fields are allowed.

    Parameters
    ----------
    value : dict
    required, optional : mapping of str to type or tuple of types
        Types by field. A whole number counts as a float. A boolean does not count as a number.
        An optional field may be null.

    Raises
    ------
    Unreadable
        The value is not an object, a required field is missing, or a field has another type.
    """
    if not isinstance(value, dict):
        raise Unreadable(f"{_kind(value)} where an object is needed")
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
            raise Unreadable(f"'{name}' is {_kind(found)}, not {wanted}")
    return value


_NAMES: dict[type, str] = {
    dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "true or false",
    type(None): "null",
}  # fmt: skip


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


def _depth(value: Any) -> int:
    """Return how deeply arrays and objects are nested; the count stops beyond `MAX_DEPTH`."""
    level, depth = [value], 0
    while depth <= MAX_DEPTH:
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
    raise Unreadable(f"{name} is not a number")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Unreadable(f"the number {digits[:20]} is too large")
    return value


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Unreadable(f"a whole number of {len(digits)} digits is too large")
    return int(digits)

"""Open data files, and read their lines with bounds."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from src.data.reading.formats import conversion_command, refuse_other_formats
from src.errors import UserError, flatten
from src.storage.files import open_digest, open_regular

MAX_LINE = 1 << 26  # bytes
BOM = b"\xef\xbb\xbf"


def expand_home(given: str) -> Path:
    """Return the user's path with ``~`` replaced."""
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise UserError(
            f"'{given}' begins with the name of a user who has no home folder. Write the path out."
        ) from None


def open_file(path: Path, given: str) -> BufferedReader:
    """Open a file for reading bytes; UserError if it is missing, unreadable or no regular file."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise UserError(f"there is no file '{given}'. Relative paths start at the current directory.") from None
    except IsADirectoryError:
        raise UserError(f"'{given}' is a folder; a file is needed.") from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise read_error(given, error) from None


def read_error(given: str, error: Exception) -> UserError:
    """Return the error for a file that the system cannot read."""
    reason = getattr(error, "strerror", None) or flatten(error)
    way_out = ""
    if getattr(error, "errno", None) == errno.EINVAL:  # a pipe or a device
        way_out = " Save its output to a file, and give that file."
    return UserError(f"cannot read '{given}': {reason}.{way_out}")


def file_sha256(path: Path, given: str) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open_file(path, given) as file:
        try:
            return open_digest(file)
        except OSError as error:
            raise read_error(given, error) from None


def peek(file: BufferedReader, given: str) -> bytes:
    """Return the first bytes of a file without moving on in it."""
    try:
        return file.peek(4096)[:4096]
    except OSError as error:
        raise read_error(given, error) from None


def numbered_lines(path: Path, given: str, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield each line's number, from 1, and its text with the line end; drop a byte-order mark.

    Raises
    ------
    UserError
        The file is of another format, a line is too long, or bytes do not fit the encoding.
    """
    _check_encoding(encoding)
    with open_file(path, given) as file:
        refuse_other_formats(peek(file, given), path, given)
        for number, line in enumerate(_lines(file, given), 1):
            raw = line.removeprefix(BOM) if number == 1 and encoding == "utf-8" else line
            try:
                yield number, raw.decode(encoding)
            except UnicodeDecodeError as error:
                name = encoding.upper()
                raise UserError(
                    f"'{given}' line {number}, byte {error.start + 1} of the line (0x{raw[error.start]:02X}) "
                    f"is not {name}.\n"
                    f"Save the file as {name}, for example: {conversion_command(path, 'WINDOWS-1252', name)}"
                ) from None


def _lines(file: BufferedReader, given: str) -> Iterator[bytes]:
    for number in itertools.count(1):
        try:
            line = file.readline(MAX_LINE + 1)
        except OSError as error:
            raise read_error(given, error) from None
        if len(line) > MAX_LINE:
            raise UserError(
                f"'{given}' line {number} is longer than {MAX_LINE >> 20} MiB.\n"
                "End each row with a line feed, or shorten the text."
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


def without_line_end(line: str) -> str:
    """Return a line without its line end, LF or CRLF."""
    return line.removesuffix("\n").removesuffix("\r")

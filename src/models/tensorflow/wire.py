"""Read the wire format of protocol buffers; every length is checked against the data."""

from __future__ import annotations

from collections.abc import Iterator

MAX_BITS = 64


class DamagedError(Exception):
    """Raised for bytes that do not follow their format; the message is the reason."""


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    r"""Return a number stored with seven bits a byte, lowest first, and the position after it.

    >>> read_varint(b"\xac\x02", 0)
    (300, 2)
    """
    number = 0
    for shift in range(0, MAX_BITS + 6, 7):
        if place >= len(data):
            raise DamagedError("it ends within a number")
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >> MAX_BITS:
                break
            return number, place
    raise DamagedError("a number is too large")


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    r"""Yield number and value of each field of a message: bytes if its length is stored, else a number.

    >>> list(read_fields(b"\x08\x01\x12\x02ab\x35\x01\x00\x00\x00"))
    [(1, 1), (2, b'ab'), (6, 1)]

    References
    ----------
    Protocol Buffers documentation, Encoding.
    """
    place = 0
    while place < len(data):
        tag, place = read_varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = read_varint(data, place)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, place = read_varint(data, place)
        if size is None or size > len(data) - place:
            raise DamagedError("a field does not end" if size is not None else "a field is of no known kind")
        content = data[place : place + size]
        place += size
        yield tag >> 3, content if kind == 2 else int.from_bytes(content, "little")


def as_number(value: int | bytes) -> int:
    """Return the value of a field that holds a number."""
    if not isinstance(value, int):
        raise DamagedError("a number is expected where text is stored")
    return value


def as_bytes(value: int | bytes) -> bytes:
    """Return the value of a field that holds text, bytes or a message."""
    if not isinstance(value, bytes):
        raise DamagedError("text is expected where a number is stored")
    return value


def as_text(value: int | bytes) -> str:
    """Return the value of a field that holds text."""
    try:
        return as_bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError("a name is not UTF-8") from error

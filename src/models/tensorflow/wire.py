"""The wire format of protocol buffers: fields as they come, every length held against what is there."""

from __future__ import annotations

from collections.abc import Iterator

MOST_BITS = 64


class Damaged(Exception):
    """The bytes are not what their format says; the message is the reason, in a few words."""


def varint(data: bytes, place: int) -> tuple[int, int]:
    r"""A number of seven bits a byte, lowest first, and the place after it.

    >>> varint(b"\xac\x02", 0)
    (300, 2)
    """
    number = 0
    for shift in range(0, MOST_BITS + 6, 7):
        if place >= len(data):
            raise Damaged("it ends within a number")
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >> MOST_BITS:
                break
            return number, place
    raise Damaged("a number is too large")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    r"""Number and value of each field of a message: bytes where its length is given, else a number.

    >>> list(fields(b"\x08\x01\x12\x02ab\x35\x01\x00\x00\x00"))
    [(1, 1), (2, b'ab'), (6, 1)]

    References
    ----------
    Protocol Buffers documentation, Encoding.
    """
    place = 0
    while place < len(data):
        tag, place = varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = varint(data, place)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, place = varint(data, place)
        if size is None or size > len(data) - place:
            raise Damaged("a field does not end" if size is not None else "a field is of no known kind")
        content = data[place : place + size]
        place += size
        yield tag >> 3, content if kind == 2 else int.from_bytes(content, "little")


def number(value: int | bytes) -> int:
    """The value of a field that holds a number."""
    if not isinstance(value, int):
        raise Damaged("a number is expected where there is text")
    return value


def content(value: int | bytes) -> bytes:
    """The value of a field that holds text, bytes or a message."""
    if not isinstance(value, bytes):
        raise Damaged("text is expected where there is a number")
    return value


def text(value: int | bytes) -> str:
    """The value of a field that holds text."""
    try:
        return content(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("a name is not UTF-8") from error

"""LevelDB's table: sorted keys with their values, in blocks with checksums. TensorFlow keeps a checkpoint's index in one.

References
----------
LevelDB, doc/table_format.md; TensorFlow, tensorflow/tsl/lib/io/format.h.
"""

from __future__ import annotations

from collections.abc import Iterator

from src.models.tensorflow.checksum import crc32c, masked
from src.models.tensorflow.wire import Damaged, varint

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two handles, padding, the magic number
TRAILER = 5  # bytes after a block: its compression, its checksum
PLAIN = 0
LONGEST_KEY, MOST_KEYS = (
    4096,
    100_000,
)  # keys share their beginnings, so that a small file could hold more of them than fits into memory


def read(data: bytes) -> dict[bytes, bytes]:
    """Every key of a table with its value.

    Raises
    ------
    Damaged
        No table, a table that was cut, a checksum that does not match, keys out of order, compressed blocks, more than memory can take.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise Damaged("it does not end as such a file does")
    footer = data[-FOOTER:]
    _, place = _handle(footer, 0)  # of blocks that say nothing of the keys
    index, _ = _handle(footer, place)
    found: dict[bytes, bytes] = {}
    last = b""
    end = 0
    for _, handle in _entries(_block(data, index)):
        place, size = _handle(handle, 0)[0]
        if place < end:
            raise Damaged("its blocks overlap")
        end = place + size
        for key, value in _entries(_block(data, (place, size))):
            if found and key <= last:
                raise Damaged("its keys are out of order")
            found[key] = value
            last = key
            if len(found) > MOST_KEYS:
                raise Damaged("it holds more keys than any checkpoint has variables")
    return found


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the place after them."""
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return (offset, size), place


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    offset, size = handle
    end = offset + size
    if end + TRAILER > len(data) - FOOTER:
        raise Damaged("a block lies outside of it")
    if int.from_bytes(data[end + 1 : end + TRAILER], "little") != masked(crc32c(data[offset : end + 1])):
        raise Damaged("a block does not match its checksum")
    if data[end] != PLAIN:
        raise Damaged("a block is compressed, which TensorFlow never wrote here")
    return data[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys, each sharing a prefix with the one before it, and values."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise Damaged("a block is too short")
    content, place, key = block[:end], 0, b""
    while place < end:
        shared, place = varint(content, place)
        fresh, place = varint(content, place)
        size, place = varint(content, place)
        if shared > len(key) or fresh + size > end - place:
            raise Damaged("an entry lies outside of its block")
        if shared + fresh > LONGEST_KEY:
            raise Damaged("a key is longer than any name")
        key = key[:shared] + content[place : place + fresh]
        place += fresh
        yield key, content[place : place + size]
        place += size

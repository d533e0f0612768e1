"""Read LevelDB's table format, in which TensorFlow keeps a checkpoint's index.

A table holds sorted keys with their values, in blocks with checksums.

References
----------
LevelDB, doc/table_format.md; TensorFlow, tensorflow/tsl/lib/io/format.h.
"""

from __future__ import annotations

from collections.abc import Iterator

from src.models.tensorflow.checksum import crc32c, mask_crc
from src.models.tensorflow.wire import DamagedError, read_varint

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two handles, padding, the magic number
TRAILER = 5  # bytes after a block: its compression, its checksum
UNCOMPRESSED = 0
# Keys share their beginnings, so that a small file could expand to more than fits into memory.
MAX_KEY_LENGTH, MAX_KEYS = 4096, 100_000


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Return every key of a table with its value.

    Raises
    ------
    DamagedError
        The bytes are no table or not all of one, a checksum does not match, keys are out of order,
        a block is compressed, or there are more than `MAX_KEYS` keys.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise DamagedError("it does not end as such a file does")
    footer = data[-FOOTER:]
    _, place = _handle(footer, 0)  # of the blocks of metadata, which are not needed
    index, _ = _handle(footer, place)
    found: dict[bytes, bytes] = {}
    last = b""
    end = 0
    for _, handle in _entries(_block(data, index)):
        place, size = _handle(handle, 0)[0]
        if place < end:
            raise DamagedError("its blocks overlap")
        end = place + size
        for key, value in _entries(_block(data, (place, size))):
            if found and key <= last:
                raise DamagedError("its keys are out of order")
            found[key] = value
            last = key
            if len(found) > MAX_KEYS:
                raise DamagedError("it holds more keys than any checkpoint has variables")
    return found


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Return offset and size of a block, and the position after them."""
    offset, place = read_varint(data, place)
    size, place = read_varint(data, place)
    return (offset, size), place


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    """Return the content of a block, checked."""
    offset, size = handle
    end = offset + size
    if end + TRAILER > len(data) - FOOTER:
        raise DamagedError("a block lies outside of it")
    if int.from_bytes(data[end + 1 : end + TRAILER], "little") != mask_crc(crc32c(data[offset : end + 1])):
        raise DamagedError("a block does not match its checksum")
    if data[end] != UNCOMPRESSED:
        raise DamagedError("a block is compressed, which TensorFlow never wrote here")
    return data[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block; each key shares a prefix with the one before it."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise DamagedError("a block is too short")
    content, place, key = block[:end], 0, b""
    while place < end:
        shared, place = read_varint(content, place)
        unshared, place = read_varint(content, place)
        size, place = read_varint(content, place)
        if shared > len(key) or unshared + size > end - place:
            raise DamagedError("an entry lies outside of its block")
        if shared + unshared > MAX_KEY_LENGTH:
            raise DamagedError("a key is longer than any name")
        key = key[:shared] + content[place : place + unshared]
        place += unshared
        yield key, content[place : place + size]
        place += size

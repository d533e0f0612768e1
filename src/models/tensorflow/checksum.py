"""CRC-32C, the checksum of TensorFlow's and LevelDB's files, fast enough for half a gigabyte.

A CRC is linear over GF(2): lanes of the data are advanced side by side with numpy, then each is moved past those that follow it.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reflected
MASK = 0xA282EAD8
LANES = (8192, 64)  # data in many lanes first, what is left of it in few
LEAST_STEPS = 8


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """CRC-32C of contiguous data.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'

    References
    ----------
    RFC 3720, appendix B.4.
    """
    rest = np.frombuffer(data, np.uint8)
    register = 0xFFFFFFFF
    for lanes in LANES:
        steps = len(rest) // (4 * lanes)
        if steps >= LEAST_STEPS:
            size = 4 * lanes * steps
            register = int(_move(np.uint32(register), size) ^ _advance(rest[:size].view("<u4").reshape(lanes, steps)))
            rest = rest[size:]
    table = _tables()[0]
    for byte in rest.tobytes():
        register = int(table[(register ^ byte) & 0xFF]) ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as both formats store it, so that data which holds checksums can be checked too."""
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _advance(words: np.ndarray) -> np.uint32:
    """The register, from zero, after the words (lanes, steps) in row order."""
    _, low, high = _tables()
    register = np.zeros(len(words), np.uint32)
    for step in range(words.shape[1]):
        register ^= words[:, step]
        register = low[register & np.uint32(0xFFFF)] ^ high[register >> np.uint32(16)]
    size = 4 * words.shape[1]
    while len(register) > 1:
        register = _move(register[::2], size) ^ register[1::2]
        size *= 2
    return np.uint32(register[0])


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a register becomes by one byte (256 values), and by four through its lower and through its upper half (65,536 each)."""
    value = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        value = (value >> np.uint32(1)) ^ np.where(value & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    # Two bytes at once of a value whose lower byte is zero are one byte of the upper.
    return value[:: 1 << 8].copy(), value[value & np.uint32(0xFFFF)] ^ (value >> np.uint32(16)), value


def _move(register: np.ndarray | np.uint32, size: int) -> np.ndarray:
    """Registers after `size` bytes of zero."""
    return _spread(_zeros(size), np.asarray(register, np.uint32))


@lru_cache(maxsize=512)
def _zeros(size: int) -> np.ndarray:
    """What each of the four bytes of a register becomes by `size` bytes of zero: (4, 256)."""
    if size == 1:
        one = np.arange(256, dtype=np.uint32)
        return np.stack([_tables()[0][one], one, one << np.uint32(8), one << np.uint32(16)])
    half = _zeros(size // 2)
    whole = _spread(half, half)
    return _spread(_zeros(1), whole) if size % 2 else whole


def _spread(tables: np.ndarray, register: np.ndarray) -> np.ndarray:
    moved = tables[0][register & np.uint32(0xFF)]
    for byte in (1, 2, 3):
        moved = moved ^ tables[byte][register >> np.uint32(8 * byte) & np.uint32(0xFF)]
    return moved

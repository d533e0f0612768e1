"""Compute CRC-32C, the checksum of TensorFlow's and LevelDB's files, with numpy.

A CRC is linear over GF(2). So the registers of many lanes of the data are computed
together, and each is then advanced past the lanes that follow it.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reflected
MASK = 0xA282EAD8
LANES = (8192, 64)  # many lanes first, few for the rest of the data
MIN_STEPS = 8


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """Return the CRC-32C of contiguous data.

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
        if steps >= MIN_STEPS:
            size = 4 * lanes * steps
            register = int(
                _append_zeros(np.uint32(register), size) ^ _advance(rest[:size].view("<u4").reshape(lanes, steps))
            )
            rest = rest[size:]
    table = _tables()[0]
    for byte in rest.tobytes():
        register = int(table[(register ^ byte) & 0xFF]) ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def mask_crc(crc: int) -> int:
    """Return a checksum in the form that both formats store: data may itself contain checksums."""
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _advance(words: np.ndarray) -> np.uint32:
    """Return the register, zero at first, after the words (lanes, steps) in row order."""
    _, low, high = _tables()
    register = np.zeros(len(words), np.uint32)
    for step in range(words.shape[1]):
        register ^= words[:, step]
        register = low[register & np.uint32(0xFFFF)] ^ high[register >> np.uint32(16)]
    size = 4 * words.shape[1]
    while len(register) > 1:
        register = _append_zeros(register[::2], size) ^ register[1::2]
        size *= 2
    return np.uint32(register[0])


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a register becomes after one byte, and after four bytes.

    Returns
    -------
    one : array (256,)
        By the register's lowest byte.
    low, high : arrays (65536,)
        By the register's lower and upper half; their sum over GF(2) is the register.
    """
    value = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        value = (value >> np.uint32(1)) ^ np.where(value & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    # If the lower byte is zero, two bytes have the effect of one byte on the upper.
    return value[:: 1 << 8].copy(), value[value & np.uint32(0xFFFF)] ^ (value >> np.uint32(16)), value


def _append_zeros(register: np.ndarray | np.uint32, size: int) -> np.ndarray:
    """Return registers after `size` bytes of zero."""
    return _look_up(_zero_tables(size), np.asarray(register, np.uint32))


@lru_cache(maxsize=512)
def _zero_tables(size: int) -> np.ndarray:
    """Return the contribution of a register's four bytes after `size` bytes of zero, (4, 256)."""
    if size == 1:
        one = np.arange(256, dtype=np.uint32)
        return np.stack([_tables()[0][one], one, one << np.uint32(8), one << np.uint32(16)])
    half = _zero_tables(size // 2)
    whole = _look_up(half, half)
    return _look_up(_zero_tables(1), whole) if size % 2 else whole


def _look_up(tables: np.ndarray, register: np.ndarray) -> np.ndarray:
    """Look up the four bytes of registers in tables (4, 256), and add the results over GF(2)."""
    moved = tables[0][register & np.uint32(0xFF)]
    for byte in (1, 2, 3):
        moved = moved ^ tables[byte][register >> np.uint32(8 * byte) & np.uint32(0xFF)]
    return moved

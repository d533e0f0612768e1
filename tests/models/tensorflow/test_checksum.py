"""Checksums equal those of a slow implementation."""

from __future__ import annotations

import numpy as np

from src.models.tensorflow.checksum import POLYNOMIAL, crc32c


def test_checksums_equal_those_of_a_bitwise_implementation() -> None:
    def slowly(data: bytes) -> int:
        register = 0xFFFFFFFF
        for byte in data:
            register ^= byte
            for _ in range(8):
                register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
        return register ^ 0xFFFFFFFF

    rng = np.random.default_rng(0)
    for size in (0, 1, 3, 4, 255, 2047, 2048, 2049, 9001, 8192 * 4 * 8 + 2057):
        data = rng.bytes(size)
        assert crc32c(data) == slowly(data), size
    assert crc32c(b"\0" * 32) == 0x8A9136AA, "RFC 3720, appendix B.4"

"""Messages are read, and bytes that are no message raise."""

from __future__ import annotations

import pytest

from src.models.tensorflow.wire import DamagedError, read_fields, read_varint


@pytest.mark.parametrize("data", [b"\x80", b"\xff" * 11, b"\x0a\x05ab", b"\x0b", b"\x0d\x01"])
def test_bytes_that_are_no_message_raise(data: bytes) -> None:
    with pytest.raises(DamagedError):
        list(read_fields(data))
    assert read_varint(b"\x80" * 9 + b"\x01", 0) == (1 << 63, 10)

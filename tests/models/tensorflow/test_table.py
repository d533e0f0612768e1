"""LevelDB's tables are read as they were written, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from src.models.tensorflow import table
from src.models.tensorflow.checksum import crc32c, mask_crc
from src.models.tensorflow.wire import DamagedError
from tests.helpers import bundles
from tests.helpers.google import CHECKPOINT


def test_a_table_is_read_as_it_was_written() -> None:
    rng = np.random.default_rng(1)
    entries = {f"{'a' * (number % 7)}{number}".encode(): rng.bytes(number * 3 % 50) for number in range(200)}
    assert table.read_table(bundles.table(entries)) == entries
    assert table.read_table((CHECKPOINT / "bert_model.ckpt.index").read_bytes()).keys() > {
        b"",
        b"bert/pooler/dense/kernel",
    }


def test_a_table_that_expands_beyond_memory_is_refused() -> None:
    def block(content: bytes) -> bytes:
        return content + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"

    def signed(whole: bytes) -> bytes:
        return whole + mask_crc(crc32c(whole)).to_bytes(4, "little")

    def made(first: bytes, handles: int) -> bytes:
        data = signed(block(first))
        handle = bundles.varint(0) + bundles.varint(len(block(first)) - 1)
        index = block(b"".join(bytes([0, 1, len(handle)]) + bytes([number]) + handle for number in range(handles)))
        footer = handle + bundles.varint(len(data)) + bundles.varint(len(index) - 1)
        return data + signed(index) + footer.ljust(40, b"\0") + table.MAGIC.to_bytes(8, "little")

    long = b"\0" + bundles.varint(table.MAX_KEY_LENGTH + 1) + b"\0" + b"k" * (table.MAX_KEY_LENGTH + 1)
    many = b"".join(b"\0\x03\0" + number.to_bytes(3, "big") for number in range(table.MAX_KEYS + 1))
    for content, handles, message in (
        (long, 1, "longer than any name"),
        (many, 1, "more keys"),
        (b"", 2, "blocks overlap"),
    ):
        with pytest.raises(DamagedError, match=message):
            table.read_table(made(content, handles))
    assert table.read_table(made(b"\0\x01\x01ab", 1)) == {b"a": b"b"}

"""Writes TensorFlow's tensor bundles, so that any checkpoint, sound or not, can be made where TensorFlow is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.models.tensorflow.checksum import crc32c, mask_crc
from src.models.tensorflow.table import MAGIC

KINDS = {"float32": 1, "float64": 2, "int64": 9}
BLOCK = 400  # bytes of entries a block, so that small checkpoints have several


def varint(number: int) -> bytes:
    made = b""
    while number >= 0x80:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


def field(key: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(key << 3 | 2) + varint(len(value)) + value
    return varint(key << 3) + varint(value)


def entry(kind: int, shape: tuple[int, ...], shard: int, offset: int, size: int, checksum: int) -> bytes:
    dimensions = b"".join(field(2, field(1, length)) for length in shape)
    numbers = field(1, kind) + field(2, dimensions) + field(3, shard) + field(4, offset) + field(5, size)
    return numbers + varint(6 << 3 | 5) + checksum.to_bytes(4, "little")


def table(entries: Mapping[bytes, bytes]) -> bytes:
    """A LevelDB table; nothing is prefix-compressed but what shares all of the last key."""
    data, index, block, last = b"", b"", b"", b""

    def close(block: bytes) -> bytes:
        nonlocal data
        whole = block + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"
        handle = varint(len(data)) + varint(len(whole) - 1)
        data += whole + mask_crc(crc32c(whole)).to_bytes(4, "little")
        return handle

    for key, value in sorted(entries.items()):
        shared = len(last) if block and key.startswith(last) else 0
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
        if len(block) > BLOCK:
            handle = close(block)
            index += varint(0) + varint(len(key)) + varint(len(handle)) + key + handle
            block = b""
    if block:
        handle = close(block)
        index += varint(0) + varint(len(last)) + varint(len(handle)) + last + handle
    footer = close(b"") + close(index)
    return data + footer.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")


def write(
    prefix: Path, tensors: Mapping[str, np.ndarray], shards: int = 1, header: Mapping[int, int] | None = None
) -> None:
    """A checkpoint of these tensors, dealt to `shards` data files."""
    parts = [b""] * shards
    entries = {b"": b"".join(field(key, value) for key, value in (header or {1: shards}).items())}
    for number, (name, values) in enumerate(sorted(tensors.items())):
        shard, raw = number % shards, values.tobytes()
        entries[name.encode()] = entry(
            KINDS[values.dtype.name], values.shape, shard, len(parts[shard]), len(raw), mask_crc(crc32c(raw))
        )
        parts[shard] += raw
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries))
    for shard, part in enumerate(parts):
        prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}").write_bytes(part)


def change(index: Path, name: str, **numbers: Any) -> None:
    """Change entries of a tensor (kind, shape, shard, offset, size, checksum) in a valid index."""
    from src.models.tensorflow import bundle
    from src.models.tensorflow import table as reading

    entries = reading.read_table(index.read_bytes())
    old = bundle._entry(entries[name.encode()], shards=1)
    known = {key: getattr(old, key) for key in ("kind", "shape", "shard", "offset", "size", "checksum")}
    entries[name.encode()] = entry(**{**known, **numbers})
    index.write_bytes(table(entries))

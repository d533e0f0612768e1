"""Files of W&B's offline runs: whether one ends with the record of its run's end."""

from __future__ import annotations

import os
import time
from pathlib import Path

from src.storage.files import open_regular

HEADER = 7  # bytes with which the library begins a run's file
BLOCK = 1 << 15  # bytes of a block of a run's file
END = 18  # field of a record that says how the run ended
END_TIMEOUT = 2.0  # seconds


def has_ended(run: Path, timeout: float = END_TIMEOUT) -> bool:
    """Return whether a run's file ends with the record of the run's end.

    Parameters
    ----------
    run : Path
        Folder of the run.
    timeout : float
        Seconds to wait: the library's service may write the record a moment after it has answered.
    """
    until = time.monotonic() + timeout
    (log_file,) = run.glob("run-*.wandb")
    while not (ended := END in _field_numbers(_last_record(log_file))) and time.monotonic() < until:
        time.sleep(0.005)
    return ended


def is_empty(run: Path) -> bool:
    """Return whether nothing has been written to a run."""
    return all(path.stat().st_size <= HEADER for path in run.glob("run-*.wandb"))


def _last_record(log_file: Path) -> bytes:
    """Return the first bytes of the last record in a run's file, or none if it is incomplete.

    References
    ----------
    The format is that of LevelDB's log: blocks of 32 KiB; pieces with checksum, length and kind
    (4, 2 and 1 bytes), of which kinds 1 and 4 end a record.
    """
    last = record = b""
    with open_regular(log_file) as file:
        size, at = os.fstat(file.fileno()).st_size, HEADER
        while at + HEADER <= size:
            if (rest := BLOCK - at % BLOCK) < HEADER:
                at += rest
                continue
            file.seek(at)
            head = file.read(HEADER)
            length, kind = int.from_bytes(head[4:6], "little"), head[6]
            record += file.read(min(length, 256))
            at += HEADER + length
            if kind in (1, 4):
                last, record = record, b""
    return last if at == size and not record else b""


def _field_numbers(message: bytes) -> set[int]:
    """Return the numbers of the top fields of a possibly truncated Protocol Buffers message."""
    found, at = set(), 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while at < len(message):
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                break
        return value

    while at < len(message):
        field, kind = divmod(number(), 8)
        found.add(field)
        at += {0: 0, 1: 8, 5: 4}.get(kind, 0)
        if kind in (0, 2):
            value = number()
            at += value if kind == 2 else 0
    return found

"""The progress of a pass, seen from the store's folder."""

from __future__ import annotations

from pathlib import Path

POLL_INTERVAL = 0.002  # seconds


def count_shards(store: Path) -> int:
    """Return the number of finished shards of the running pass."""
    return sum(1 for _ in store.glob("partial/*/*.npy"))


def is_writing(store: Path) -> bool:
    """Return whether values are being assembled from the shards."""
    return any(store.glob("tmp/*/values.npy"))


def is_written(store: Path) -> bool:
    """Return whether a value is complete; the first appears when all have been assembled."""
    return any(store.glob("features/*/*/values.npy"))

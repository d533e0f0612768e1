"""The progress of a pass, seen from the store's folder."""

from __future__ import annotations

from pathlib import Path

POLL_INTERVAL = 0.002  # seconds


def count_shards(store: Path) -> int:
    """Return the number of finished shards."""
    return sum(1 for _ in store.glob("passes/*/*.npy"))


def is_writing(store: Path) -> bool:
    """Return whether values that name the shards are stored."""
    return any(store.glob("features/*/*/meta.json"))


def is_written(store: Path) -> bool:
    """Return whether the pass is finished."""
    return is_writing(store) and not any(store.glob("passes/*/claims"))

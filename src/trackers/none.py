"""No tracker: the local record alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.results.result import Result
from src.trackers import Table


class NoTracker:
    """Do nothing, imports nothing."""

    def start(
        self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path
    ) -> None:
        """Open nothing."""

    def holds(self, folder: Path, key: str) -> bool:
        """There is nothing to be held."""
        return True

    def log(self, result: Result) -> None:
        """Keep nothing: the record is on disk."""

    def show(self, tables: Mapping[str, Table], images: Mapping[str, Path] | None = None) -> None:
        """Keep nothing."""

    def measure(self, values: dict[str, float], step: int) -> None:
        """Keep nothing."""

    def finish(self, failed: bool) -> str | None:
        """Close nothing and say nothing."""
        return None

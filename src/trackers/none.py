"""The tracker that does nothing: there is only the local record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config.schema import TrackerConfig
from src.results.result import Result
from src.trackers.registry import tracker
from src.trackers.tracker import Table


@tracker("none")
class NoTracker:
    """Tracker that does nothing and imports nothing."""

    def __init__(self, config: TrackerConfig) -> None:
        """Take the configuration, as every tracker does."""

    def start(
        self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path
    ) -> None:
        """Do nothing."""

    def holds(self, folder: Path, key: str) -> bool:
        """Return True, because no run is missing."""
        return True

    def log(self, result: Result) -> None:
        """Do nothing."""

    def show(self, tables: Mapping[str, Table], images: Mapping[str, Path] | None = None) -> None:
        """Do nothing."""

    def attach(self, result: Result, folder: Path) -> None:
        """Do nothing."""

    def measure(self, values: dict[str, float], step: int) -> None:
        """Do nothing."""

    def finish(self, failed: bool) -> str | None:
        """Return None: the user gets no line."""
        return None

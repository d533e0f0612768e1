"""Interface of trackers, to which records are copied; the local record is always written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from src.results.result import Result

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # columns, rows


class Tracker(Protocol):
    """One run in an experiment tracker.

    A tracker that fails during a run warns in one line, because the record is complete without it.
    """

    def start(
        self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path
    ) -> None:
        """Open the run.

        Parameters
        ----------
        config : dict
            The resolved configuration.
        name, job_type : str
        group : str or None
        tags : list of str
        folder : Path
            The run's output folder.
        """

    def holds(self, folder: Path, key: str) -> bool:
        """Return whether `folder` already has a run of the record with this key."""

    def log(self, result: Result) -> None:
        """Log the record."""

    def show(self, tables: Mapping[str, Table], images: Mapping[str, Path] | None = None) -> None:
        """Add tables and images to the run, by name."""

    def measure(self, values: dict[str, float], step: int) -> None:
        """Add one point to the run's curves, during long work."""

    def attach(self, result: Result, folder: Path) -> None:
        """Add the files of a record in `folder` to the run: record, predictions and fitted probe."""

    def finish(self, failed: bool) -> str | None:
        """Close the run, also after a failure, and return a line for the user or None."""

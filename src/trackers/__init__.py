"""Trackers mirror the records: start, log, finish. The local record is written whatever the choice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from src.config.schema import TrackerConfig
from src.registry import unknown
from src.results.result import Result

NAMES = ("none", "wandb")
Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # columns, rows


class Tracker(Protocol):
    """One run in an experiment tracker. A tracker that fails while a run works warns in one line: the record is what counts."""

    def start(
        self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path
    ) -> None:
        """Open the run, with its resolved configuration; `folder` is the run's output folder."""

    def holds(self, folder: Path, key: str) -> bool:
        """Whether a run of the record with this key is in `folder`, so that there is none to be made."""

    def log(self, result: Result) -> None:
        """Hand the record over."""

    def show(self, tables: Mapping[str, Table], images: Mapping[str, Path] | None = None) -> None:
        """Add tables and images to the run."""

    def measure(self, values: dict[str, float], step: int) -> None:
        """Add one point to the run's curves, while long work goes on."""

    def finish(self, failed: bool) -> str | None:
        """Close the run, also after a failure. Returns one line for the user, if there is something to do."""


def run_group(config: TrackerConfig, sweep: str | None) -> str | None:
    """The group of a run: what is configured, else the environment's, else the sweep's name; None for a single run."""
    return config.group or os.environ.get("WANDB_RUN_GROUP") or sweep


def build(config: TrackerConfig) -> Tracker:
    """The tracker that a configuration asks for.

    Raises
    ------
    UserError
        The name is unknown, or ``tracker.mode=online`` cannot be had.
    """
    if config.name == "none":
        from src.trackers.none import NoTracker

        return NoTracker()
    if config.name == "wandb":
        from src.trackers.wandb import WandbTracker

        return WandbTracker(config)
    raise unknown("tracker", config.name, NAMES)

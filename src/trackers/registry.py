"""The registered trackers, and the one that a configuration names.

A tracker is a class in one file of this folder, registered under the name that `tracker=` takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from src.config.schema import TrackerConfig
from src.registry import Registry
from src.trackers.tracker import Tracker

T = TypeVar("T", bound=Callable[[TrackerConfig], Tracker])

trackers: Registry[Callable[[TrackerConfig], Tracker]] = Registry("tracker")


def tracker(name: str) -> Callable[[T], T]:
    """Register a tracker's class, which is called with the tracker's section of the configuration."""

    def add(kind: T) -> T:
        trackers.add(name, kind)
        return kind

    return add


def build_tracker(config: TrackerConfig) -> Tracker:
    """Return the tracker that a configuration names.

    Raises
    ------
    UserError
        The name is unknown, or ``tracker.mode=online`` is not possible.
    """
    return trackers[config.name](config)


def run_group(config: TrackerConfig, sweep: str | None) -> str | None:
    """Return the group of a run: as configured, else as in the environment, else the sweep's name."""
    return config.group or os.environ.get("WANDB_RUN_GROUP") or sweep

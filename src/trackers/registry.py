"""The tracker that a configuration names."""

from __future__ import annotations

import os

from src.config.schema import TrackerConfig
from src.registry import unknown
from src.trackers.tracker import Tracker

NAMES = ("none", "wandb")


def build_tracker(config: TrackerConfig) -> Tracker:
    """Return the tracker that a configuration names; its library is imported only then.

    Raises
    ------
    UserError
        The name is unknown, or ``tracker.mode=online`` is not possible.
    """
    if config.name == "none":
        from src.trackers.none import NoTracker

        return NoTracker()
    if config.name == "wandb":
        from src.trackers.wandb import WandbTracker

        return WandbTracker(config)
    raise unknown("tracker", config.name, NAMES)


def run_group(config: TrackerConfig, sweep: str | None) -> str | None:
    """Return the configured group of a run, else the environment's, else the sweep's name."""
    return config.group or os.environ.get("WANDB_RUN_GROUP") or sweep

"""Trackers by the name of their option: each is a class with `@tracker` in a file of that name."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from src.config.schema import TrackerConfig
from src.registry import Registry
from src.trackers.tracker import Tracker

TRACKERS: Registry[Callable[[TrackerConfig], Tracker]] = Registry("tracker")

T = TypeVar("T", bound=Callable[[TrackerConfig], Tracker])


def tracker(built: T) -> T:
    """Register a tracker under the name of its module, which is its option in conf/tracker."""
    TRACKERS.add(built.__module__.rpartition(".")[2], built)
    return built


def build_tracker(config: TrackerConfig) -> Tracker:
    """Return the tracker that a configuration names; its module is imported only then.

    Raises
    ------
    UserError
        The name is unknown, or ``tracker.mode=online`` is not possible.
    """
    modules = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    for name in [config.name] if config.name in modules else modules:
        importlib.import_module(f"{__package__}.{name}")
    return TRACKERS[config.name](config)


def run_group(config: TrackerConfig, sweep: str | None) -> str | None:
    """Return the configured group of a run, else the environment's, else the sweep's name."""
    return config.group or os.environ.get("WANDB_RUN_GROUP") or sweep

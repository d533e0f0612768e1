"""Limits of settings, and checks that several packages share."""

from __future__ import annotations

import math
import re
from typing import Any

from src.config.schema import TrackerConfig
from src.errors import UserError, mask, shortened

MAX_DRAWS = 1000
MAX_FOLDS = 1000
MAX_SHARDS = 1000  # the size of a Slurm array
MAX_RESAMPLES = 1_000_000
LONGEST_GROUP = 128  # characters of the name of a group of W&B runs
MAX_GRID_VALUES = 100  # all are fitted in the same passes over the rows
MIN_C, MAX_C = 1e-12, 1e12  # beyond, scikit-learn's solvers overflow or do not end


def at_least(key: str, value: int | None, least: int) -> None:
    """Raise a UserError if a value is set and below `least`."""
    if value is not None and value < least:
        raise UserError(f"{key}={value}: at least {least} is needed.")


def at_most(key: str, value: int, most: int) -> None:
    """Raise a UserError if a value is above `most`."""
    if value > most:
        raise UserError(f"{key}={value}: at most {most:,} is allowed.")


def check_grid(key: str, grid: Any) -> None:
    """Check that a grid holds one parameter with a bounded number of finite values.

    Parameters
    ----------
    key : str
        What the user calls the grid, such as ``probe.grid``.
    grid : object
        A value of any type: settings of protocols are not typed.

    Raises
    ------
    UserError
        The grid is of another shape, or a value is out of range.
    """
    numbers = isinstance(grid, dict) and all(
        isinstance(values, list) and values and all(type(value) in (int, float) for value in values)
        for values in grid.values()
    )
    if not numbers or len(grid) != 1 or not all(0 <= value < math.inf for values in grid.values() for value in values):
        name = next(iter(grid), "alpha") if isinstance(grid, dict) else "alpha"
        raise UserError(
            f"{key}={shortened(grid)}: one parameter with finite values of zero or more is needed, such as "
            f"{key}.{name}=[0.001,0.1]. For another one set {key}.{name}=null and +{key}.NAME=[...]."
        )
    for name, values in grid.items():
        at_most(f"the number of values of {key}.{name}", len(values), MAX_GRID_VALUES)
        wrong = [value for value in values if not (value == 0 or MIN_C <= value <= MAX_C)]
        if name == "C" and wrong:
            raise UserError(f"{key}.C={wrong[0]:g}: {MIN_C:g} to {MAX_C:g} is allowed.")


def check_tracker(tracker: TrackerConfig) -> None:
    """Check names that W&B would refuse only when a run is sent; raise a UserError."""
    check_wandb_name("tracker.project", tracker.project)
    check_wandb_name("tracker.entity", tracker.entity)
    group = tracker.group or ""
    if len(group) > LONGEST_GROUP or not group.isprintable():
        raise UserError(
            f"tracker.group={shortened(mask(group), 40)!r}: at most {LONGEST_GROUP} characters are allowed, "
            "none of them a control character."
        )


def check_wandb_name(key: str, name: str | None) -> None:
    """Check the name of a W&B project or entity; `key` is what the user calls it.

    Raises
    ------
    UserError
        The name is empty, longer than 128 characters, or has a character that W&B refuses.

    References
    ----------
    `wandb.Settings.validate_project` of wandb 0.31. An entity becomes a part of addresses too.
    """
    if name is not None and not re.fullmatch(r"[^/\\#?%:\x00-\x1f\x7f]{1,128}", name):
        raise UserError(
            f"{key}={mask(name)[:40]!r}: 1 to 128 characters are needed, none of them / \\ # ? % : or a control "
            "character."
        )

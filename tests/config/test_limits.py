"""Limits that several packages share."""

from __future__ import annotations

import math

import pytest

from src.config.limits import MAX_C, MAX_GRID_VALUES, at_least, at_most, check_grid, check_tracker, check_wandb_name
from src.config.schema import TrackerConfig
from src.errors import UserError


def test_limits_are_allowed_themselves() -> None:
    at_least("seed", 0, 0)
    at_least("seed", None, 0)
    at_most("draws", 3, 3)
    with pytest.raises(UserError, match=r"seed=-1.* 0 "):
        at_least("seed", -1, 0)
    with pytest.raises(UserError, match=r"draws=4000.*3,000"):
        at_most("draws", 4000, 3000)


@pytest.mark.parametrize(
    "grid",
    [None, {}, {"alpha": []}, {"alpha": 1.0}, {"alpha": ["x"]}, {"alpha": [True]}, {"alpha": [-1.0]},
     {"alpha": [math.inf]}, {"alpha": [math.nan]}, {"alpha": [1.0], "beta": [1.0]},
     {"alpha": [1.0] * (MAX_GRID_VALUES + 1)}, {"C": [2 * MAX_C]}],
)  # fmt: skip
def test_a_grid_of_another_shape_or_out_of_range_is_refused(grid: object) -> None:
    with pytest.raises(UserError, match=r"probe\.grid"):
        check_grid("probe.grid", grid)


@pytest.mark.parametrize("grid", [{"alpha": [0, 1.0]}, {"C": [0.0, MAX_C]}])
def test_a_grid_of_one_parameter_is_allowed(grid: object) -> None:
    check_grid("probe.grid", grid)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "x" * 129, "a\nb"])
def test_a_name_that_wandb_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"tracker\.project=.*128"):
        check_wandb_name("tracker.project", name)


@pytest.mark.parametrize("group", [None, "", "night", "2026-01-31 12-00-00 bert-books mrpc,rte", "Grüße", "g" * 128])
def test_groups_of_runs_are_accepted(group: str | None) -> None:
    check_tracker(TrackerConfig(group=group))


@pytest.mark.parametrize("group", ["g" * 129, "two\nlines", "\x1b[31m"])
def test_groups_that_the_server_would_refuse_are_refused(group: str) -> None:
    with pytest.raises(UserError, match=r"tracker\.group"):
        check_tracker(TrackerConfig(group=group))

"""Laws of the choice from the grid."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest

from src.data.splits import RowSplitter, resample
from src.errors import UserError
from src.probes.fitter import ProbeFitter
from src.probes.grid import HALF_DECADES, pick
from src.probes.outcome import GridChoice, ProbeOutcome
from src.probes.settings import Rows
from src.probes.solvers.estimators import LogisticRegression
from tests.helpers.probes import fit, make, run, settings


def test_ties_choose_the_stronger_penalty_and_edges_are_reported():
    assert pick([0.5 + 5e-10, 0.5, 0.6]) == 0
    from sklearn.linear_model import LogisticRegression as Peer

    assert ProbeFitter(Peer(), settings(C=[0.1, 10.0, 1.0]), make(), 2).values == [0.1, 1.0, 10.0]
    noise = Rows(make().x, np.random.default_rng(0).integers(2, size=300))
    assert fit(noise, {"test": make(seed=1)}).choice.at_edge in ("high", None)


def test_infinite_losses_are_ignored_and_refused_if_all_are_infinite():
    assert pick([np.nan, np.inf, 0.5, 0.5]) == 2
    with pytest.raises(UserError, match="NaN or infinite"):
        pick([np.nan, np.inf])


def wide(shift: float = 0.0, rows: int = 240, noise: float = 1.0) -> Rows:
    return make(rows=rows, width=20, seed=int(shift), noise=noise)


def test_half_decades_span_the_limits():
    assert HALF_DECADES[0] == 1e4 and HALF_DECADES[-1] == 1e-7 and len(HALF_DECADES) == 23
    assert all(2.9 < one / next_one < 3.4 for one, next_one in pairwise(HALF_DECADES))


@functools.cache
def over_half_decades(selection: str, grid: tuple[float, ...] = tuple(HALF_DECADES)) -> ProbeOutcome:
    """The outcome on a grid, which goes on unless it is all there is."""
    tests = {} if selection == "nested" else {"test": wide(1)}
    chosen, extend = settings(alpha=list(grid)), len(grid) < len(HALF_DECADES)
    return run(
        LogisticRegression(tolerance=1e-11), chosen, wide(), tests, extend_grid=extend, selection=selection, folds=3
    )


@pytest.mark.parametrize("start", [(1e4, 3e3), (3e-7, 1e-7), (0.3, 0.1)])
@pytest.mark.parametrize("selection", ["carve", "folds", "nested"])
def test_a_grid_goes_on_until_its_best_value_is_inside(start, selection):
    whole, found = over_half_decades(selection), over_half_decades(selection, start)
    values = [each["value"] for each in found.choice.grid]
    assert values == [each for each in HALF_DECADES if values[-1] <= each <= values[0]], "no gap"
    assert found.choice.value == whole.choice.value and found.choice.at_edge is None
    assert values[0] > found.choice.value > values[-1]
    losses = {each["value"]: each["loss"] for each in whole.choice.grid}
    assert [each["loss"] for each in found.choice.grid] == pytest.approx([losses[value] for value in values], rel=1e-4)


def test_a_named_grid_is_taken_as_it_stands_and_its_ends_are_reported():
    train = wide(rows=400)
    for grid, edge in (([1e4, 1e3], "low"), ([1e-6, 1e-7], "high")):
        choice = fit_grid(train, grid)
        assert [each["value"] for each in choice.grid] == grid and choice.at_edge == edge
    noise = Rows(train.x, np.random.default_rng(5).integers(2, size=len(train.y)))
    choice = fit_grid(noise, [10.0, 3.0], extend_grid=True)
    assert choice.at_edge in ("high", None) and choice.grid[0]["value"] >= 30


def fit_grid(train: Rows, grid: list[float], **options: object) -> GridChoice:
    return run(LogisticRegression(), settings(alpha=grid), train, {"test": wide(1)}, **options).choice


def test_equal_losses_do_not_extend_the_grid():
    train = Rows(np.zeros((60, 4), np.float32), np.arange(60) % 2)
    assert [each["value"] for each in fit_grid_on(train).grid] == [1.0, 0.3]


def fit_grid_on(train: Rows) -> GridChoice:
    chosen = settings(alpha=[1.0, 0.3])
    return run(LogisticRegression(), chosen, train, {"test": train}, extend_grid=True).choice


@pytest.mark.parametrize("classes", [2, 3, 0])
@pytest.mark.parametrize("selection", ["carve", "development", "folds", "nested"])
def test_the_losses_of_choice_and_constant_follow_from_the_rows(classes, selection):
    train, development = make(classes=classes), make(classes=classes, seed=3)
    tests = {} if selection == "nested" else {"test": make(classes=classes, seed=1)}
    outcome = fit(train, tests, classes, selection=selection, folds=3, development=development)
    choice = outcome.choice
    splitter = RowSplitter(train.y, 0, fraction=0.2, folds=3, regression=classes == 0)

    def constant(fitted: np.ndarray) -> np.ndarray:
        return np.bincount(fitted, minlength=classes) / len(fitted) if classes else fitted.mean()

    def loss(fitted: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        found = constant(fitted)
        return -np.log(found[held_out]) if classes else (held_out - found) ** 2

    def over_folds(y: np.ndarray, fold_ids: np.ndarray) -> float:
        return float(np.concatenate([loss(y[fold_ids != k], y[fold_ids == k]) for k in range(3)]).mean())

    if selection == "carve":
        held = splitter.holdout_mask()
        expected = loss(train.y[~held], train.y[held]).mean()
    elif selection == "development":
        expected = loss(train.y, development.y).mean()
    elif selection == "folds":
        expected = over_folds(train.y, splitter.fold_ids())
    else:
        parts = [np.flatnonzero(outcome.fold_ids != k) for k in range(3)]
        expected = np.mean([over_folds(train.y[rows], splitter.subset(rows).fold_ids()) for rows in parts])
    assert choice.constant_loss == pytest.approx(expected, rel=1e-12)
    assert choice.loss < choice.constant_loss
    if selection == "nested":
        assert np.allclose(choice.constants, [constant(train.y[outcome.fold_ids != k]) for k in range(3)])
    else:
        assert np.allclose(choice.constants, [constant(train.y)])
        assert choice.loss in [each["loss"] for each in choice.grid]


def test_draws_of_scores_have_a_constant_each():
    choice = fit(make(classes=0), {"test": make(classes=0, seed=1)}, 0, draws=3).choice
    means = [resample(make(classes=0).y, 0, draw, regression=True) @ make(classes=0).y / 300 for draw in range(3)]
    assert np.allclose(choice.constants, means)


def test_other_estimators_have_no_constant_loss():
    from sklearn.linear_model import LogisticRegression as Peer

    choice = run(Peer(), settings(C=[0.1, 1.0]), make(), {"test": make(seed=1)}).choice
    assert choice.loss is None and choice.constant_loss is None and choice.constants is None

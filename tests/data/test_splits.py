"""Laws of dividing rows: a seed decides, classes keep shares, groups stay together."""

from __future__ import annotations

import numpy as np
import pytest

from src.data.splits import RowSplitter, resample
from src.errors import UserError


@pytest.mark.parametrize("regression", [False, True])
def test_splits_depend_on_labels_and_seed_alone_and_are_stratified(regression):
    y = np.random.default_rng(0).standard_normal(500) if regression else np.repeat([0, 1, 2], [300, 150, 50])
    held = RowSplitter(y, 7, fraction=0.2, regression=regression).holdout_mask()
    assert np.array_equal(
        held, RowSplitter(y, 7, fraction=0.2, regression=regression).holdout_mask()
    ) and not np.array_equal(held, RowSplitter(y, 8, fraction=0.2, regression=regression).holdout_mask())
    fold = RowSplitter(y, 7, folds=10, regression=regression).fold_ids()
    assert held.mean() == pytest.approx(0.2, abs=0.02) and (np.abs(np.bincount(fold) - 50) <= 1).all()
    if not regression:
        assert np.array_equal(np.bincount(y[held]), [60, 30, 10])
        assert all((np.abs(np.bincount(y[fold == number]) - [30, 15, 5]) <= 1).all() for number in range(10))


def test_duplicates_stay_on_one_side():
    y = np.repeat([0, 1], 100)
    groups = np.concatenate([np.arange(100) // 3, 50 + np.arange(100) // 2])
    for sides in (
        RowSplitter(y, 0, fraction=0.2, groups=groups).holdout_mask(),
        RowSplitter(y, 0, folds=5, groups=groups).fold_ids(),
    ):
        assert all(len(set(sides[groups == group])) == 1 for group in groups)
    assert 25 <= RowSplitter(y, 0, fraction=0.2, groups=groups).holdout_mask().sum() <= 55


def test_a_class_of_one_row_is_fitted_on():
    held = RowSplitter(np.array([0] * 20 + [1] * 20 + [2]), 0, fraction=0.2).holdout_mask()
    assert held.sum() == 8 and not held[-1]


def test_resamples_keep_the_classes():
    y = np.repeat([0, 1], [70, 30])
    times = resample(y, 0, 1)
    assert times[y == 0].sum() == 70 and times[y == 1].sum() == 30 and times.max() > 1
    assert not np.array_equal(times, resample(y, 0, 2)) and np.array_equal(times, resample(y, 0, 1))


def test_the_division_of_ungrouped_rows_does_not_change():
    """Another division of the same rows would move every published score."""
    y = np.tile([0, 0, 1], 10)
    assert np.flatnonzero(RowSplitter(y, 0, fraction=0.2).holdout_mask()).tolist() == [3, 6, 8, 9, 20, 28]
    fold = RowSplitter(y, 0, folds=5).fold_ids().tolist()
    assert fold == [1, 1, 4, 3, 0, 0, 0, 4, 0, 3, 3, 2, 1, 4, 3, 0, 4, 1, 2, 3, 2, 0, 2, 3, 4, 2, 1, 1, 2, 4]


def mixed_groups(seed: int, rows: int = 600, groups: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of three classes, and groups of uneven sizes that mix classes."""
    generator = np.random.default_rng(seed)
    group = generator.choice(groups, p=generator.dirichlet(np.ones(groups)), size=rows)
    home = generator.integers(3, size=groups)
    return np.where(generator.random(rows) < 0.7, home[group], generator.integers(3, size=rows)), group


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_groups_that_span_classes_stay_on_one_side_and_classes_keep_their_shares(seed, regression):
    y, group = mixed_groups(seed)
    target = y + np.random.default_rng(seed).random(len(y)) if regression else y
    held = RowSplitter(
        target, seed, fraction=0.2, groups=group, groups_span_classes=True, regression=regression
    ).holdout_mask()
    fold = RowSplitter(target, seed, folds=5, groups=group, groups_span_classes=True, regression=regression).fold_ids()
    for sides in (held, fold):
        assert all(len(set(sides[group == each])) == 1 for each in set(group))
    shares = np.bincount(y, weights=held) / np.bincount(y)
    assert np.abs(shares - 0.2).max() < 0.1
    table = np.stack([np.bincount(y, weights=fold == number, minlength=3) for number in range(5)])
    assert np.abs(table / np.bincount(y) - 0.2).max() < 0.12
    assert not np.array_equal(
        held,
        RowSplitter(
            target, seed + 1, fraction=0.2, groups=group, groups_span_classes=True, regression=regression
        ).holdout_mask(),
    )


def test_every_class_is_fitted_on_if_groups_span_classes():
    generator = np.random.default_rng(0)
    for seed in range(50):
        group = generator.integers(6, size=40)
        y = generator.integers(4, size=40)
        y[group == 0] = 4  # a class in one group alone
        held = RowSplitter(y, seed, fraction=0.4, groups=group, groups_span_classes=True).holdout_mask()
        assert set(y[~held]) == set(y) and held.any()


@pytest.mark.parametrize(
    "divide",
    [
        lambda y, groups: RowSplitter(y, 0, fraction=0.5, groups=groups).holdout_mask(),
        lambda y, groups: RowSplitter(y, 0, folds=2, groups=groups).fold_ids(),
    ],
)
def test_a_class_whose_rows_all_stay_with_another_class_is_refused(divide):
    y = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2])
    lost = 0
    for order in range(13):
        groups = np.roll(np.arange(13), order)
        groups[8] = groups[0]
        try:
            sides = divide(y, groups)
        except UserError as error:
            assert "class 1 " in str(error)
            lost += 1
        else:
            assert all(set(y[sides != side]) == {0, 1, 2} or (sides.dtype == bool and side == 0) for side in set(sides))
    assert lost


@pytest.mark.parametrize(
    ("options", "selection", "message"),
    [
        ({}, "carve", "'b' has 1 .* 2"),
        (
            {"fraction": 0.01, "y": np.arange(8) % 2},
            "carve",
            "8 .* 1% .*dataset.validation",
        ),
        (
            {"groups": np.zeros(21), "groups_span_classes": True, "y": np.arange(21) % 2},
            "carve",
            "21 .* 1 group .*20% .*dataset.validation",
        ),
        ({}, "folds", "'b' has 1 .*10 folds.*dataset.folds"),
        (
            {"groups": np.arange(21) % 4, "groups_span_classes": True},
            "folds",
            "21 .* 4 groups .*10 folds.*dataset.folds",
        ),
        (
            {"groups": np.arange(21) % 12, "groups_span_classes": True},
            "folds",
            "'b' has 1 group .*10 folds.*dataset.folds",
        ),
        ({"y": np.repeat([0, 1], 10)}, "nested", "'a' has 9 .*10 folds.*dataset.folds"),
    ],
)
def test_rows_that_cannot_be_divided_are_refused(options, selection, message):
    fields = {"y": np.array([0] * 20 + [1]), "seed": 0, "names": ["a", "b"], **options}
    with pytest.raises(UserError, match=message):
        RowSplitter(**fields).check(selection)
    RowSplitter(**fields).check("development")


def test_whole_groups_are_drawn_and_no_class_is_lost():
    groups, y = np.arange(120) // 6, (np.arange(120) // 6 >= 19).astype(int)  # class 1 is one group of twenty
    for draw in range(30):
        counts = resample(y, 0, draw, groups=groups)
        by_group = counts.reshape(20, 6)
        assert (by_group == by_group[:, :1]).all() and by_group[:, 0].sum() == 20 and counts[y == 1].sum() > 0
    assert np.array_equal(resample(y, 0, 1, groups=groups), resample(y, 0, 1, groups=groups))
    with pytest.raises(UserError, match="draws"):
        resample(np.arange(300), 0, 0, groups=np.arange(300))

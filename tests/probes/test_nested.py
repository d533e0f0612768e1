"""Laws of nested cross-validation."""

from __future__ import annotations

import numpy as np

from src.data.splits import RowSplitter
from src.probes.settings import Rows
from tests.helpers.probes import fit, make


def test_a_row_does_not_affect_its_own_prediction():
    train = make(rows=120)
    before = fit(train, {}, selection="nested", folds=4)
    fold = before.fold_ids
    assert set(fold) == {0, 1, 2, 3} and len(before.choice.votes) == 4
    changed = train.x.copy()
    inside = np.flatnonzero(fold == 1)
    changed[inside] = changed[inside] * 3 - 10  # features alone: folds depend on labels only
    after = fit(Rows(changed, train.y), {}, selection="nested", folds=4)
    assert np.array_equal(after.fold_ids, fold) and after.choice.votes[1] == before.choice.votes[1]
    one, two = before.fitted, after.fitted
    assert not np.allclose(one.weight, two.weight)
    again = fit(Rows(np.where((fold == 1)[:, None], changed, train.x), train.y), {}, selection="nested", folds=4)
    assert np.array_equal(again.predictions["test"].decisions[inside], after.predictions["test"].decisions[inside])
    single = changed.copy()
    single[inside[0]] += 50  # another row of the fold must not move its neighbours' predictions
    third = fit(Rows(single, train.y), {}, selection="nested", folds=4)
    assert np.allclose(
        third.predictions["test"].decisions[inside[1:]], after.predictions["test"].decisions[inside[1:]], atol=2e-3
    )


def test_groups_that_span_classes_stay_together():
    train = make(rows=200)
    groups = np.random.default_rng(0).integers(40, size=200)
    outcome = fit(train, {}, selection="nested", folds=4, groups=groups, groups_span_classes=True)
    assert all(len(set(outcome.fold_ids[groups == group])) == 1 for group in set(groups))
    held = RowSplitter(train.y, 0, fraction=0.2, groups=groups, groups_span_classes=True).holdout_mask()
    assert fit(train, {"test": train}, groups=groups, groups_span_classes=True).choice.rows["held_out"] == held.sum()

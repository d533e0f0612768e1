"""MTEB's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from src.evaluation.estimates import Estimate
from src.probes.protocols.base import get_protocol
from src.probes.settings import Rows
from tests.helpers.protocols import fit, make, probe_config

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_each_experiment_fits_eight_rows_of_each_class() -> None:
    train, test = make(classes=3), make(rows=50, classes=3, seed=1)
    outcome = fit(probe_config("mteb"), train, {"test": test}, 3)
    assert outcome.predictions["test"].values.shape == (10, 50) and outcome.predictions["test"].decisions.shape == (
        10,
        50,
        3,
    )
    assert outcome.choice.rows["fitted"] == 24
    assert len({tuple(draw["test"].values) for draw in outcome.draws}) > 5, "every experiment has its own rows"
    again, other = (fit(probe_config("mteb"), train, {"test": test}, 3, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.predictions["test"].values, outcome.predictions["test"].values)
    assert not np.array_equal(other.predictions["test"].values, outcome.predictions["test"].values)
    # The first probe again, from the rows that it must have been fitted on.
    generator = np.random.default_rng([0, 5, 0, 0])
    sample = np.concatenate([generator.choice(np.flatnonzero(train.y == name), 8, replace=False) for name in range(3)])
    expected = Reference(max_iter=100).fit(train.x[sample], train.y[sample]).predict(test.x)
    assert (outcome.draws[0]["test"].values == expected).mean() > 0.97


def test_folds_fit_no_row_that_they_predict() -> None:
    train = make(rows=100)
    before = fit(probe_config("mteb"), train, {}, selection="nested", folds=4)
    assert before.predictions["test"].values.shape == (10, 100) and set(before.fold_ids) == {0, 1, 2, 3}
    inside = np.flatnonzero(before.fold_ids == 1)
    changed = train.x.copy()
    changed[inside[0]] += 100
    after = fit(probe_config("mteb"), Rows(changed, train.y), {}, selection="nested", folds=4)
    np.testing.assert_array_equal(
        after.predictions["test"].values[:, inside[1:]], before.predictions["test"].values[:, inside[1:]]
    )
    assert (before.predictions["test"].values == train.y).mean() > 0.55


TRUTH = float(np.mean(1 / (1 + np.exp(-(1 + np.hypot(0.3, 0.8) * np.random.default_rng(1).standard_normal(400_000))))))


def test_the_interval_covers_new_rows_and_new_draws() -> None:
    """Draws differ in quality, rows in difficulty; the truth is the mean over both."""
    generator = np.random.default_rng(0)
    mteb, covered, trials = get_protocol(probe_config("mteb")), 0, 300
    for _ in range(trials):
        logits = 1 + 0.3 * generator.standard_normal((10, 1)) + 0.8 * generator.standard_normal(200)
        predictions = (generator.random((10, 200)) < 1 / (1 + np.exp(-logits))).astype(np.int64)
        labels = np.ones(200, dtype=np.int64)
        half = 1.96 * predictions.mean(axis=0).std(ddof=1) / np.sqrt(200)

        def rows(each: Any, half: float = half) -> Estimate:
            return Estimate(each.mean(), each.mean() - half, each.mean() + half, None, "normal")

        found = mteb.score("accuracy", labels, list(predictions), None, rows)
        covered += found["low"] <= TRUTH <= found["high"]
    assert 0.92 <= covered / trials <= 0.995

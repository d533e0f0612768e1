"""One set of resamples serves all runs."""

from __future__ import annotations

import numpy as np
import pytest

from src.evaluation.estimates import evaluate
from src.evaluation.metrics import pearson
from src.evaluation.resampled_runs import pearson_jackknife, resample_runs
from src.evaluation.samples import Sample
from tests.helpers.predictions import simulate_pair


def test_few_differing_rows_widen_the_interval(monkeypatch):
    y = np.arange(400) % 2
    a, b = y.copy(), y.copy()
    a[:20], b[18:30] = 1 - y[:20], 1 - y[18:30]
    found = resample_runs("mcc", y, [a, b], classes=2, resamples=3000)
    few = found.difference(0, 1)
    monkeypatch.setattr("src.evaluation.resampled_runs._degrees_of_freedom", lambda *_: 1e9)
    normal = found.difference(0, 1)
    assert 1.02 < (few.high - few.low) / (normal.high - normal.low) < 1.1 and few.p > normal.p


def test_differences_of_shared_resamples_add_up():
    y, a, b = simulate_pair(200, 3, 0.8, 0.7)
    c = simulate_pair(200, 3, 0.6, 0.7, seed=4)[1]
    found = resample_runs("mcc", y, [a, b, c], classes=3, resamples=300)
    ab, bc, ac = (found.resamples_of(*pair) for pair in ((0, 1), (1, 2), (0, 2)))
    assert np.allclose(ab + bc, ac) and np.allclose(found.resamples_of(1, 0), -ab)
    for place, one in enumerate((a, b, c)):
        alone = evaluate("mcc", y, one, classes=3, resamples=20).value
        assert found.points[place, 0] == pytest.approx(alone, abs=1e-12)
        assert found.values[:, place].mean() == pytest.approx(alone, abs=0.02)
    forth, back = found.difference(0, 1), found.difference(1, 0)
    assert (back.value, back.low, back.high90) == pytest.approx((-forth.value, -forth.high, -forth.low90), abs=1e-9)
    assert back.p == pytest.approx(forth.p, abs=1e-9)


@pytest.mark.parametrize("name, classes", [("accuracy", 3), ("f1", 2), ("pearson", 0)])
def test_shared_resamples_score_the_drawn_rows(name, classes):
    y, a, b = simulate_pair(60, classes, 0.8, 0.7)
    rows = np.random.default_rng(1).integers(60, size=60)
    found = [
        resample_runs(name, y[picked], [a[picked], b[picked]], classes=classes, resamples=20).points
        for picked in (rows, rows[::-1])
    ]
    assert np.allclose(*found, atol=1e-12)
    left_out = resample_runs(name, y, [a, b], classes=classes, resamples=20).left_out
    assert np.abs(left_out - evaluate(name, y[1:], a[1:], classes=classes, resamples=20).value).min() < 1e-9


def test_pearson_jackknife_equals_the_generic_jackknife():
    generator = np.random.default_rng(0)
    labels = generator.normal(size=60)
    runs = np.stack([labels + generator.normal(size=60), generator.normal(size=60), np.full(60, 2.0)])
    found = pearson_jackknife(labels, runs)
    for run, mine in zip(runs, found.T, strict=True):
        sample = Sample(np.ones(60, np.int64), lambda weights: pearson(labels, run, weights))  # noqa: B023
        np.testing.assert_allclose(mine, sample.jackknife(), atol=1e-12, equal_nan=True)

"""Metrics have scikit-learn's and scipy's values, and weights count as repeated rows."""

from __future__ import annotations

import numpy as np
import pytest

from src.evaluation.estimates import evaluate
from src.evaluation.metrics import metrics
from tests.helpers.predictions import CLASSIFICATION, REGRESSION, simulate


@pytest.mark.parametrize("classes", [2, 5])
def test_values_equal_those_of_scikit_learn(classes):
    from sklearn import metrics as peer

    wanted = {
        "accuracy": peer.accuracy_score,
        "mcc": peer.matthews_corrcoef,
        "balanced_accuracy": peer.balanced_accuracy_score,
        "macro_f1": lambda y, p: peer.f1_score(y, p, average="macro", zero_division=0),
    }
    if classes == 2:
        wanted["f1"] = lambda y, p: peer.f1_score(y, p, zero_division=0)
    assert set(wanted) | {"f1"} == set(CLASSIFICATION)
    y, p = simulate(300, classes)
    for predictions in (p, np.zeros_like(y), np.ones_like(y), y):
        for name, function in wanted.items():
            assert evaluate(name, y, predictions, classes=classes, resamples=50).value == pytest.approx(
                function(y, predictions), abs=1e-12
            ), name


def test_values_equal_those_of_scipy():
    from scipy import stats

    y, p = simulate(200, 0)
    for labels, predictions in ((y, p), (np.round(y), np.round(p)), (y + 1e4, p * 1e3)):
        assert evaluate("pearson", labels, predictions, classes=0, resamples=50).value == pytest.approx(
            stats.pearsonr(labels, predictions)[0], abs=1e-12
        )
        assert evaluate("spearman", labels, predictions, classes=0, resamples=50).value == pytest.approx(
            stats.spearmanr(labels, predictions)[0], abs=1e-12
        )
    assert evaluate("rmse", y, p, classes=0, resamples=50).value == pytest.approx(
        np.sqrt(np.mean((y - p) ** 2)), abs=1e-12
    )


@pytest.mark.parametrize("name", REGRESSION)
def test_a_weight_counts_rows_as_repeating_them_does(name):
    y, p = (np.round(values, 1) for values in simulate(80, 0))
    times = np.random.default_rng(1).integers(0, 4, size=(5, 80))
    function = metrics[name].function
    weighted = function(y, p, times.astype(float))
    for value, row in zip(weighted, times, strict=True):
        rows = np.repeat(np.arange(80), row)
        assert value == pytest.approx(function(y[rows], p[rows], np.ones((1, len(rows))))[0], abs=1e-12)

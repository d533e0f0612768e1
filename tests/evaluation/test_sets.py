"""Rows that come in sets: means over sets, and resamples within them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from src.evaluation.comparisons import compare
from src.evaluation.estimates import evaluate
from src.evaluation.samples import Sample
from src.evaluation.sets import set_estimates

SETS = ("headlines", "forum")


def rows(seed: int = 0, sizes: tuple[int, ...] = (300, 100)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, predictions and sets, in mixed order; the sets differ in both means."""
    generator = np.random.default_rng(seed)
    ids = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = generator.standard_normal(len(ids)) + 3 * ids
    return labels, labels + generator.standard_normal(len(ids)) - 5 * ids, ids


def test_the_mean_over_sets_is_weighted_by_rows() -> None:
    labels, predictions, ids = rows()
    found = set_estimates("spearman", labels, predictions, SETS, ids, resamples=500)
    assert list(found) == ["spearman_mean_of_sets", "spearman_headlines", "spearman_forum"]
    by_hand = [spearmanr(labels[ids == number], predictions[ids == number])[0] for number in (0, 1)]
    assert found["spearman_headlines"].value == pytest.approx(by_hand[0], abs=1e-12)
    mean = found["spearman_mean_of_sets"]
    assert mean.value == pytest.approx(np.average(by_hand, weights=[300, 100]), abs=1e-12)
    assert mean.low is not None and mean.high is not None and mean.low < by_hand[0] < mean.high
    assert mean.value > evaluate("spearman", labels, predictions, classes=0, resamples=500).value + 0.3


def test_a_set_without_a_value_is_undefined_with_its_reason() -> None:
    labels, predictions, ids = rows()
    found = set_estimates("spearman", np.where(ids == 1, 2.0, labels), predictions, SETS, ids, resamples=500)
    for name in ("spearman_mean_of_sets", "spearman_forum"):
        assert found[name].value is None and found[name].reason
    assert found["spearman_headlines"].value is not None


def test_resamples_keep_the_size_of_each_set() -> None:
    _, _, ids = rows()
    sizes = Sample(np.ones(400), lambda weights: weights[:, ids == 1].sum(axis=1), strata=ids).bootstrap(0, 200)
    assert (sizes == 100).all()
    weights = Sample(np.ones(400), lambda weights: (weights[:, ids == 1] ** 2).sum(axis=1), strata=ids).bootstrap(0, 50)
    assert np.ptp(weights) > 0


def test_intervals_and_paired_tests_resample_within_sets() -> None:
    labels, predictions, ids = rows()
    other = predictions + np.random.default_rng(1).standard_normal(len(ids))
    apart = evaluate("spearman", labels, predictions, classes=0, resamples=500, strata=ids)
    assert (
        "2 sets" in apart.method
        and apart.low != evaluate("spearman", labels, predictions, classes=0, resamples=500).low
    )
    first, second = (
        compare("pearson", labels, predictions, other, classes=0, resamples=500, strata=strata)
        for strata in (None, ids)
    )
    assert first.value == second.value and first.low != second.low


def test_intervals_of_the_mean_cover() -> None:
    covered, truth = 0, 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2)  # of normal variables with correlation 0.71
    for seed in range(200):
        labels, predictions, ids = rows(seed, (150, 100))
        found = set_estimates("spearman", labels, predictions, SETS, ids, seed=seed, resamples=500)
        mean = found["spearman_mean_of_sets"]
        covered += bool(mean.low is not None and mean.high is not None and mean.low <= truth <= mean.high)
    assert 0.91 <= covered / 200 <= 0.99

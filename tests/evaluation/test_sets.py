"""Rows that come in sets: means over sets, and resamples within them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from src.evaluation.bootstrap import bca, bca_of_resamples
from src.evaluation.comparisons import compare
from src.evaluation.contrasts import Task, resample_task
from src.evaluation.estimates import evaluate
from src.evaluation.resampled_runs import resample_runs
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


def test_the_acceleration_is_that_of_deviations_from_each_sets_mean() -> None:
    generator = np.random.default_rng(0)
    ids = np.repeat([0, 1, 2], [40, 25, 60])
    values = generator.gamma(1.0, size=125) + 50 * ids
    sample = Sample(np.ones(125), lambda weights: weights @ values / weights.sum(axis=1), strata=ids)
    within = values - np.array([values[ids == number].mean() for number in range(3)])[ids]
    by_hand = (within**3).sum() / (6 * (within**2).sum() ** 1.5)
    found, pooled = bca(sample, 0, 500), bca(replace(sample, strata=None), 0, 500)
    assert found is not None and pooled is not None
    assert found.acceleration == pytest.approx(by_hand, rel=1e-6) and by_hand > 0.01
    assert abs(pooled.acceleration - by_hand) > 0.005


def test_paired_tests_centre_the_rows_of_each_set() -> None:
    labels, predictions, ids = rows()
    other = predictions + np.random.default_rng(1).standard_normal(len(ids))
    apart = resample_runs("pearson", labels, [predictions, other], classes=0, resamples=200, strata=ids)
    left_out = apart.left_out[:, 0] - apart.left_out[:, 1]
    bootstrap = bca_of_resamples(apart.resamples_of(0, 1), 0.1, apart.counts, lambda: left_out, ids)
    pooled = bca_of_resamples(apart.resamples_of(0, 1), 0.1, apart.counts, lambda: left_out)
    assert bootstrap is not None and pooled is not None and bootstrap.acceleration != pooled.acceleration
    assert (apart.strata == ids).all()
    assert apart.difference(0, 1).low != replace(apart, strata=None).difference(0, 1).low


def test_tasks_resample_within_sets() -> None:
    """Where sets differ in their means, most of the spread of resamples is the size of the sets."""
    spreads = {}
    for within in (True, False):
        tasks = []
        for seed in range(3):
            labels, predictions, ids = rows(seed)
            other = predictions + np.random.default_rng(seed).standard_normal(len(ids)) + 4 * ids
            strata = ids if within else None
            tasks.append(Task(str(seed), "spearman", 0, labels, {"a": predictions, "b": other}, strata=strata))
        spreads[within] = [resample_task(task, 300).resamples_of(0, 1).std() for task in tasks]
    assert all(inside < outside for inside, outside in zip(spreads[True], spreads[False], strict=True))

"""Comparisons are antisymmetric, agree with their intervals and keep their error rates."""

from __future__ import annotations

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.comparisons import compare
from src.evaluation.differences import equivalent, p_equivalence, smallest_difference, smallest_margin, verdict
from src.evaluation.estimates import evaluate
from tests.helpers.predictions import simulate_pair


@pytest.mark.parametrize("name, classes", [("accuracy", 2), ("f1", 2), ("mcc", 3), ("pearson", 0), ("spearman", 0)])
def test_a_difference_is_antisymmetric_and_its_parts_agree(name, classes):
    y, a, b = simulate_pair(400, classes, 0.9, 0.7)
    forth, back = (compare(name, y, *pair, classes=classes, resamples=3000) for pair in ((a, b), (b, a)))
    points = [evaluate(name, y, side, classes=classes, resamples=20).value for side in (a, b)]
    assert forth.value == pytest.approx(points[0] - points[1], abs=1e-12) and back.value == pytest.approx(
        -forth.value, abs=1e-12
    )
    assert forth.low < forth.low90 < forth.value < forth.high90 < forth.high
    assert -back.high == pytest.approx(forth.low, abs=0.012) and forth.p == pytest.approx(back.p, abs=0.02)
    assert forth.p < 0.05 and forth.low > 0


def test_the_bootstrap_p_agrees_with_its_interval():
    for seed in range(12):
        y, a, b = simulate_pair(200, 2, 0.82, 0.76, seed=seed)
        found = compare("f1", y, a, b, classes=2, resamples=2000)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0) or abs(found.p - 0.05) < 0.003
        assert (found.p < 0.10) == (found.low90 > 0 or found.high90 < 0) or abs(found.p - 0.10) < 0.003


def test_one_row_of_a_predicted_class_shows_no_difference():
    y, a = np.repeat([[0, 0, 1], [0, 1, 1]], [1, 321, 721], axis=1)
    b = np.ones_like(y)
    forth, back = (compare("mcc", y, *pair, classes=2, resamples=500) for pair in ((a, b), (b, a)))
    assert forth.low < forth.low90 < 0 < forth.value < forth.high90 <= forth.high and "unseen" in forth.method
    assert forth.p > 0.1 and back.p > 0.1 and -back.high == pytest.approx(forth.low, abs=1e-9)


def test_p_agrees_with_the_interval_for_sparse_classes():
    seen = set()
    for right in range(5):
        for wrong in range(5 - right):
            y = np.repeat([0, 1, 0, 1], [right, wrong, 90, 200])
            a, b = np.repeat([0, 1], [right + wrong, 290]), np.ones(right + wrong + 290, dtype=int)
            found = compare("macro_f1", y, a, b, classes=2, resamples=1000)
            if found.p is not None:
                assert (found.p < 0.05) == (found.low > 0 or found.high < 0) or abs(found.p - 0.05) < 0.006
                seen.add(found.p < 0.05)
    assert seen


def test_predictions_of_other_rows_are_refused():
    with pytest.raises(UserError, match="as many predictions as labels"):
        compare("accuracy", np.zeros(4, int), np.zeros(4, int), np.zeros(3, int), classes=2)


def test_pairing_narrows_the_interval():
    y, a, b = simulate_pair(600, 2, 0.8, 0.78, shared=0.95)
    turned = np.random.default_rng(0).permutation(600)
    together = compare("mcc", y, a, b, classes=2, resamples=2000)
    other = simulate_pair(600, 2, 0.8, 0.78, shared=0.0)
    apart = compare("mcc", *other, classes=2, resamples=2000)
    assert together.high - together.low < 0.7 * (apart.high - apart.low)
    moved = compare("mcc", y[turned], a[turned], b[turned], classes=2, resamples=2000)
    assert moved.value == pytest.approx(together.value, abs=1e-12)


@pytest.mark.parametrize("name, classes", [("accuracy", 2), ("f1", 2), ("mcc", 2), ("pearson", 0)])
def test_the_type_one_error_stays_near_its_level(name, classes):
    rejected = 0
    for seed in range(250):
        y, a, b = simulate_pair(250, classes, 0.8, 0.8, seed=seed)
        rejected += compare(name, y, a, b, classes=classes, seed=seed, resamples=500).p < 0.05
    assert rejected / 250 <= 0.095  # 0.05 exceeds this once in a thousand runs; the seeds are fixed


@pytest.mark.parametrize("name", ["f1", "macro_f1"])
def test_the_type_one_error_of_71_rows_stays_near_its_level(name):
    rejected = 0
    for seed in range(250):
        y, a, b = simulate_pair(71, 2, 0.8, 0.8, seed=seed)
        rejected += compare(name, y, a, b, classes=2, seed=seed, resamples=400).p < 0.05
    assert rejected / 250 <= 0.095


def test_equal_predictions_are_equivalent_at_large_margins_alone():
    y, a, _ = simulate_pair(300, 2, 0.8, 0.8)
    for name in ("accuracy", "f1", "mcc"):
        found = compare(name, y, a, a, classes=2, resamples=500)
        assert found.value == 0 and found.p == 1 and found.low < 0 < found.high
        assert equivalent(found, 0.1) and not equivalent(found, 0.001)
    flat = compare("pearson", y.astype(float), a.astype(float), a.astype(float), classes=0, resamples=500)
    assert flat.value == 0 and flat.low is None and not equivalent(flat, 1.0) and verdict(flat, 0.01) == "inconclusive"
    assert smallest_margin(flat) is None and smallest_difference(flat) is None


def test_the_difference_of_correlations_is_undefined_for_constant_predictions():
    y, a, _ = simulate_pair(100, 0, 0.8, 0.8)
    found = compare("pearson", y, a, np.zeros(100), classes=0, resamples=100)
    assert found.value is None and found.p is None and verdict(found, 0.01) == "inconclusive"


def test_equal_draws_act_as_one_and_unequal_draws_widen_the_interval():
    y, a, b = simulate_pair(300, 2, 0.8, 0.7)
    one = compare("f1", y, a, b, classes=2, resamples=800)
    same = compare("f1", y, np.stack([a] * 4), np.stack([b] * 4), classes=2, resamples=800)
    assert (same.value, same.low, same.high) == pytest.approx((one.value, one.low, one.high), abs=2e-3)
    flip = np.random.default_rng(0).random((4, 300)) < np.array([0.0, 0.05, 0.1, 0.15])[:, None]
    apart = compare("f1", y, np.where(flip, 1 - a, a), np.stack([b] * 4), classes=2, resamples=800)
    assert apart.high - apart.low > 1.2 * (one.high - one.low) and "4 draws" in apart.method
    with pytest.raises(UserError, match="draw by draw"):
        compare("accuracy", y, np.stack([a, a]), b, classes=2)


def test_the_interval_over_draws_covers_new_rows_and_new_draws():
    generator, hits = np.random.default_rng(0), 0
    for trial in range(150):
        y = generator.integers(2, size=400)
        luck = generator.random(400)
        # the draws vary more than the mean does through the rows
        rates = 0.8 + 0.03 * generator.standard_normal((2, 4, 1))
        a, b = (np.where(luck + 0.05 * generator.standard_normal((4, 400)) < rate, y, 1 - y) for rate in rates)
        found = compare("accuracy", y, a, b, classes=2, seed=trial, resamples=300)
        hits += found.low <= 0 <= found.high
    assert hits / 150 >= 0.89  # 0.95 falls below once in a thousand runs; without the draws' part it is about 0.6


def test_p_values_are_limited_by_the_number_of_resamples():
    y, a, b = simulate_pair(900, 2, 0.95, 0.6)
    found = compare("f1", y, a, b, classes=2, resamples=400)
    assert found.p >= 1 / 400 and p_equivalence(found, 0.9) >= 1 / 800 and equivalent(found, 0.9)
    assert np.isfinite([found.low, found.high]).all()


@pytest.mark.parametrize("name, classes", [("accuracy", 2), ("f1", 2), ("pearson", 0)])
def test_copies_of_a_row_in_one_group_add_nothing(name, classes):
    y, a, b = simulate_pair(120, classes, 0.85, 0.75)
    groups = np.arange(120)
    alone = compare(name, y, a, b, classes=classes, resamples=2000, groups=groups)
    copied = compare(
        name, *(np.repeat(each, 4) for each in (y, a, b)), classes=classes, resamples=2000, groups=np.repeat(groups, 4)
    )
    assert copied.value == pytest.approx(alone.value)
    assert (copied.low, copied.high, copied.p) == pytest.approx((alone.low, alone.high, alone.p), abs=1e-6)
    rows = compare(name, *(np.repeat(each, 4) for each in (y, a, b)), classes=classes, resamples=2000)
    assert rows.high - rows.low < 0.7 * (copied.high - copied.low)
    one, four = (
        evaluate(name, np.repeat(y, n), np.repeat(a, n), classes=classes, resamples=2000, groups=np.repeat(groups, n))
        for n in (1, 4)
    )
    assert (four.low, four.high) == pytest.approx((one.low, one.high), abs=1e-6) and "120 groups" in four.method


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_few_groups_have_no_interval(metric: str) -> None:
    y, a, b = np.random.default_rng(0).integers(2, size=(3, 200))
    few, five = np.arange(200) % 4, np.arange(200) % 5
    for found in (
        compare(metric, y, a, b, classes=2, resamples=500, groups=few),
        evaluate(metric, y, a, classes=2, resamples=500, groups=few),
    ):
        assert found.value is not None and found.low is found.high is None
    wide = compare(metric, y, a, b, classes=2, resamples=2000, groups=five)
    assert wide.low is not None and wide.high is not None
    if metric == "accuracy":
        gaps = [np.mean((a == y)[five == each]) - np.mean((b == y)[five == each]) for each in range(5)]
        assert (wide.high - wide.low) / 2 > 2.2 * np.std(gaps, ddof=0) / 5**0.5, "Student's quantile is 2.78"

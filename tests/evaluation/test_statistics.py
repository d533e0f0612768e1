"""Laws of the comparisons: exact tests, intervals that agree with them, honest error rates, verdicts."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation import metrics, statistics
from src.evaluation.statistics import (
    Difference,
    compare,
    equivalent,
    holm,
    kappa,
    largest_conjunction,
    mcnemar,
    newcombe,
    one_sided,
    p_equivalence,
    paired_bootstrap,
    partial_conjunction,
    resample,
    smallest_difference,
    smallest_margin,
    two_sided,
    verdict,
)


def draw(
    rows: int, classes: int, right_a: float, right_b: float, shared: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two dependent predictions, right at the given rates."""
    generator = np.random.default_rng(seed)
    if not classes:
        y, common = generator.standard_normal((2, rows))
        a, b = (
            y * right + common * shared + generator.standard_normal(rows) * (1 - shared) for right in (right_a, right_b)
        )
        return y, a, b
    y = generator.integers(classes, size=rows)
    luck = generator.random(rows)
    wrong = (y + generator.integers(1, classes, size=rows)) % classes
    lucks = [np.where(generator.random(rows) < shared, luck, generator.random(rows)) for _ in range(2)]
    a, b = (np.where(fortune < right, y, wrong) for fortune, right in zip(lucks, (right_a, right_b), strict=True))
    return y, a, b


@pytest.mark.parametrize("only_a, only_b", [(0, 0), (5, 0), (9, 2), (2, 9), (6, 6), (30, 45)])
def test_mcnemar_is_the_mid_p_binomial_sum(only_a, only_b):
    a = np.repeat([True, False, True], [only_a, only_b, 20])
    b = np.repeat([False, True, True], [only_a, only_b, 20])
    total, least = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(total, k) for k in range(least + 1)) - comb(total, least) / 2
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail / 2**total) if total else 1.0, abs=1e-12)
    assert mcnemar(a, b) == mcnemar(b, a)


def test_newcombe_reproduces_his_worked_example():
    # Newcombe (1998), table II, row a: 36, 12, 2, 0 -> method 10: 0.0569 to 0.3404
    a = np.repeat([True, True, False, False], [36, 12, 2, 0])
    b = np.repeat([True, False, True, False], [36, 12, 2, 0])
    assert newcombe(a, b) == pytest.approx((0.0569, 0.3404), abs=1e-4)


@pytest.mark.parametrize("name, classes", [("accuracy", 2), ("f1", 2), ("mcc", 3), ("pearson", 0), ("spearman", 0)])
def test_a_difference_is_antisymmetric_and_its_parts_agree(name, classes):
    y, a, b = draw(400, classes, 0.9, 0.7)
    forth, back = (compare(name, y, *pair, classes=classes, resamples=3000) for pair in ((a, b), (b, a)))
    points = [metrics.evaluate(name, y, side, classes=classes, resamples=20).value for side in (a, b)]
    assert forth.value == pytest.approx(points[0] - points[1], abs=1e-12) and back.value == pytest.approx(
        -forth.value, abs=1e-12
    )
    assert forth.low < forth.low90 < forth.value < forth.high90 < forth.high
    assert -back.high == pytest.approx(forth.low, abs=0.012) and forth.p == pytest.approx(back.p, abs=0.02)
    assert forth.p < 0.05 and forth.low > 0


def test_the_bootstrap_p_agrees_with_its_interval():
    for seed in range(12):
        y, a, b = draw(200, 2, 0.82, 0.76, seed=seed)
        found = paired_bootstrap("f1", y, a, b, classes=2, resamples=2000)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0) or abs(found.p - 0.05) < 0.003
        assert (found.p < 0.10) == (found.low90 > 0 or found.high90 < 0) or abs(found.p - 0.10) < 0.003


def test_one_row_of_a_predicted_class_decides_nothing():
    y, a = np.repeat([[0, 0, 1], [0, 1, 1]], [1, 321, 721], axis=1)
    b = np.ones_like(y)
    forth, back = (paired_bootstrap("mcc", y, *pair, classes=2, resamples=500) for pair in ((a, b), (b, a)))
    assert forth.low < forth.low90 < 0 < forth.value < forth.high90 <= forth.high and "unseen" in forth.method
    assert forth.p > 0.1 and back.p > 0.1 and -back.high == pytest.approx(forth.low, abs=1e-9)


def test_with_a_thin_class_the_p_still_agrees_with_its_interval():
    seen = set()
    for right in range(5):
        for wrong in range(5 - right):
            y = np.repeat([0, 1, 0, 1], [right, wrong, 90, 200])
            a, b = np.repeat([0, 1], [right + wrong, 290]), np.ones(right + wrong + 290, dtype=int)
            found = paired_bootstrap("macro_f1", y, a, b, classes=2, resamples=1000)
            if found.p is not None:
                assert (found.p < 0.05) == (found.low > 0 or found.high < 0) or abs(found.p - 0.05) < 0.006
                seen.add(found.p < 0.05)
    assert seen


def test_pairing_narrows_the_interval():
    y, a, b = draw(600, 2, 0.8, 0.78, shared=0.95)
    turned = np.random.default_rng(0).permutation(600)
    together = paired_bootstrap("mcc", y, a, b, classes=2, resamples=2000)
    other = draw(600, 2, 0.8, 0.78, shared=0.0)
    apart = paired_bootstrap("mcc", *other, classes=2, resamples=2000)
    assert together.high - together.low < 0.7 * (apart.high - apart.low)
    moved = paired_bootstrap("mcc", y[turned], a[turned], b[turned], classes=2, resamples=2000)
    assert moved.value == pytest.approx(together.value, abs=1e-12)


@pytest.mark.parametrize("name, classes", [("accuracy", 2), ("f1", 2), ("mcc", 2), ("pearson", 0)])
def test_type_one_error(name, classes):
    rejected = 0
    for seed in range(250):
        y, a, b = draw(250, classes, 0.8, 0.8, seed=seed)
        rejected += compare(name, y, a, b, classes=classes, seed=seed, resamples=500).p < 0.05
    assert rejected / 250 <= 0.095  # 0.05 exceeds this once in a thousand runs; the seeds are fixed


def test_equal_predictions_are_equivalent_only_within_what_the_rows_can_show():
    y, a, _ = draw(300, 2, 0.8, 0.8)
    for name in ("accuracy", "f1", "mcc"):
        found = compare(name, y, a, a, classes=2, resamples=500)
        assert found.value == 0 and found.p == 1 and found.low < 0 < found.high
        assert equivalent(found, 0.1) and not equivalent(found, 0.001)
    flat = compare("pearson", y.astype(float), a.astype(float), a.astype(float), classes=0, resamples=500)
    assert flat.value == 0 and flat.low is None and not equivalent(flat, 1.0) and verdict(flat, 0.01) == "undecided"
    assert smallest_margin(flat) is None and smallest_difference(flat) is None


def test_constant_predictions_leave_a_correlations_difference_undefined():
    y, a, _ = draw(100, 0, 0.8, 0.8)
    found = compare("pearson", y, a, np.zeros(100), classes=0, resamples=100)
    assert found.value is None and found.p is None and verdict(found, 0.01) == "undecided"


def made(value: float, half: float, p: float) -> Difference:
    return Difference(value, value - half, value + half, value - 0.84 * half, value + 0.84 * half, p, "made")


@pytest.mark.parametrize(
    "difference, wanted",
    [
        (made(0.001, 0.004, 0.6), "equivalent"),
        (made(0.005, 0.004, 0.01), "equivalent with a small difference"),
        (made(0.03, 0.01, 0.001), "better"),
        (made(-0.03, 0.01, 0.001), "worse"),
        (made(0.01, 0.03, 0.5), "undecided"),
    ],
)
def test_verdicts(difference, wanted):
    assert verdict(difference, 0.01) == wanted and wanted in statistics.VERDICTS
    mirrored = {"better": "worse", "worse": "better"}.get(wanted, wanted)
    assert verdict(difference, 0.01, higher_is_better=False) == mirrored
    assert verdict(difference, 0.01, p=1.0, equivalence=False) == "undecided"


def test_margins_and_detectable_differences():
    found = made(0.004, 0.02, 0.7)
    assert equivalent(found, smallest_margin(found) + 1e-9) and not equivalent(found, smallest_margin(found))
    assert smallest_difference(found) == pytest.approx(0.02 / 1.959964 * (1.959964 + 0.841621), rel=1e-5)
    with pytest.raises(UserError):
        equivalent(found, 0.0)


def test_holm_is_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
    generator = np.random.default_rng(0)
    for _ in range(20):
        raw = generator.random(6)
        adjusted = np.array(holm(list(raw)))
        assert (adjusted >= raw).all() and all(first <= second for first, second in pairwise(adjusted[np.argsort(raw)]))
    with pytest.raises(UserError):
        holm([1.5])


def test_values_are_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as exact
    from statsmodels.stats.inter_rater import cohens_kappa
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    generator = np.random.default_rng(0)
    for classes in (2, 3, 6):
        _, a, b = draw(300, classes, 0.8, 0.7, seed=classes)
        table = np.bincount(a * classes + b, minlength=classes**2).reshape(classes, classes)
        theirs = cohens_kappa(table)
        value, low, high = kappa(a, b, classes=classes)
        assert value == pytest.approx(theirs.kappa, abs=1e-9)
        agreement, chance = np.trace(table) / 300, float(table.sum(0) @ table.sum(1)) / 300**2
        rows = round(agreement * (1 - agreement) / (theirs.var_kappa * (1 - chance) ** 2))
        ends = np.array(proportion_confint(agreement * rows, rows, method="wilson"))
        assert (low, high) == pytest.approx((ends - chance) / (1 - chance), abs=1e-9)
        raw = generator.random(9) ** 3
        assert holm(list(raw)) == pytest.approx(multipletests(raw, method="holm")[1], abs=1e-9)
    for only_a, only_b in ((9, 2), (3, 14), (30, 45)):
        a, b = (
            np.repeat([True, False, True], [only_a, only_b, 20]),
            np.repeat([False, True, True], [only_a, only_b, 20]),
        )
        total, least = only_a + only_b, min(only_a, only_b)
        theirs = exact([[20, only_a], [only_b, 0]], exact=True).pvalue - comb(total, least) / 2**total
        assert mcnemar(a, b) == pytest.approx(theirs, abs=1e-9)


def test_p_values_of_a_normal_interval_are_those_of_the_normal_test():
    from scipy import stats

    def interval(level: float) -> tuple[float, float]:
        half = stats.norm.ppf((1 + level) / 2) * 0.02
        return 0.013 - half, 0.013 + half

    for null in (-0.05, 0.0, 0.013, 0.03):
        z = (0.013 - null) / 0.02
        assert one_sided(interval, null) == pytest.approx((stats.norm.sf(z), stats.norm.cdf(z)), abs=1e-9)
        assert two_sided(interval, null) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-9)


CASES = {
    "accuracy": (2, 0.9, 0.8), "f1": (2, 0.82, 0.8), "mcc": (3, 0.8, 0.8), "macro_f1": (5, 0.7, 0.72), "pearson": (0, 0.9, 0.8),
}  # fmt: skip


def found_in(name: str, rows: int = 250, seed: int = 0) -> Difference:
    classes, right_a, right_b = CASES[name]
    return compare(name, *draw(rows, classes, right_a, right_b, seed=seed), classes=classes, resamples=400)


@pytest.mark.parametrize("name", CASES)
def test_tost_agrees_with_the_90_percent_interval(name):
    for seed in range(3):
        found = found_in(name, seed=seed)
        edge = smallest_margin(found)
        margins = [edge * 0.5, edge - 1e-6, edge + 1e-6, edge * 2]
        p = [p_equivalence(found, margin) for margin in margins]
        assert (
            [one <= 0.05 for one in p]
            == [equivalent(found, margin) for margin in margins]
            == [False, False, True, True]
        )
        assert p == sorted(p, reverse=True) and p[-1] >= 0 and p[0] <= 1
    with pytest.raises(UserError):
        p_equivalence(found, 0.0)


def test_tost_of_a_thin_class_takes_the_widened_interval():
    y = np.repeat([0, 1, 0, 1], [2, 1, 90, 200])
    a, b = np.repeat([0, 1], [3, 290]), np.ones(293, dtype=int)
    found = paired_bootstrap("macro_f1", y, a, b, classes=2, resamples=400)
    assert "unseen" in found.method
    edge = smallest_margin(found)
    assert p_equivalence(found, edge - 1e-6) > 0.05 >= p_equivalence(found, edge + 1e-6)
    same = compare("mcc", y, b, b, classes=2, resamples=100)
    assert (p_equivalence(same, 0.5) <= 0.05) == equivalent(same, 0.5)


def test_no_p_value_falls_below_what_the_resamples_resolve():
    y, a, b = draw(900, 2, 0.95, 0.6)
    found = paired_bootstrap("f1", y, a, b, classes=2, resamples=400)
    assert found.p >= 1 / 400 and p_equivalence(found, 0.9) >= 1 / 800 and equivalent(found, 0.9)
    assert np.isfinite([found.low, found.high]).all()


def test_few_rows_that_differ_widen_the_interval(monkeypatch):
    y = np.arange(400) % 2
    a, b = y.copy(), y.copy()
    a[:20], b[18:30] = 1 - y[:20], 1 - y[18:30]
    found = resample("mcc", y, [a, b], classes=2, resamples=3000)
    few = found.difference(0, 1)
    monkeypatch.setattr(statistics, "_freedom", lambda *_: 1e9)
    normal = found.difference(0, 1)
    assert 1.02 < (few.high - few.low) / (normal.high - normal.low) < 1.1 and few.p > normal.p


@pytest.mark.parametrize("name", ["f1", "macro_f1"])
def test_type_one_error_of_71_rows(name):
    rejected = 0
    for seed in range(250):
        y, a, b = draw(71, 2, 0.8, 0.8, seed=seed)
        rejected += compare(name, y, a, b, classes=2, seed=seed, resamples=400).p < 0.05
    assert rejected / 250 <= 0.095


def test_without_an_interval_nothing_is_shown_equivalent():
    y, a, _ = draw(80, 0, 0.8, 0.8)
    assert p_equivalence(compare("pearson", y, a, a, classes=0, resamples=50), 0.5) is None


def test_one_set_of_resamples_serves_every_pair():
    y, a, b = draw(200, 3, 0.8, 0.7)
    c = draw(200, 3, 0.6, 0.7, seed=4)[1]
    found = resample("mcc", y, [a, b, c], classes=3, resamples=300)
    ab, bc, ac = (found.resamples_of(*pair) for pair in ((0, 1), (1, 2), (0, 2)))
    assert np.allclose(ab + bc, ac) and np.allclose(found.resamples_of(1, 0), -ab)
    for place, one in enumerate((a, b, c)):
        alone = metrics.evaluate("mcc", y, one, classes=3, resamples=20).value
        assert found.points[place, 0] == pytest.approx(alone, abs=1e-12)
        assert found.values[:, place].mean() == pytest.approx(alone, abs=0.02)
    forth, back = found.difference(0, 1), found.difference(1, 0)
    assert (back.value, back.low, back.high90) == pytest.approx((-forth.value, -forth.high, -forth.low90), abs=1e-9)
    assert back.p == pytest.approx(forth.p, abs=1e-9)


@pytest.mark.parametrize("name, classes", [("accuracy", 3), ("f1", 2), ("pearson", 0)])
def test_shared_resamples_score_the_drawn_rows(name, classes):
    y, a, b = draw(60, classes, 0.8, 0.7)
    rows = np.random.default_rng(1).integers(60, size=60)
    found = [
        resample(name, y[picked], [a[picked], b[picked]], classes=classes, resamples=20).points
        for picked in (rows, rows[::-1])
    ]
    assert np.allclose(*found, atol=1e-12)
    left_out = resample(name, y, [a, b], classes=classes, resamples=20).left_out
    assert np.abs(left_out - metrics.evaluate(name, y[1:], a[1:], classes=classes, resamples=20).value).min() < 1e-9


def test_equal_draws_are_one_draw_and_unequal_ones_widen():
    y, a, b = draw(300, 2, 0.8, 0.7)
    one = paired_bootstrap("f1", y, a, b, classes=2, resamples=800)
    same = paired_bootstrap("f1", y, np.stack([a] * 4), np.stack([b] * 4), classes=2, resamples=800)
    assert (same.value, same.low, same.high) == pytest.approx((one.value, one.low, one.high), abs=2e-3)
    flip = np.random.default_rng(0).random((4, 300)) < np.array([0.0, 0.05, 0.1, 0.15])[:, None]
    apart = paired_bootstrap("f1", y, np.where(flip, 1 - a, a), np.stack([b] * 4), classes=2, resamples=800)
    assert apart.high - apart.low > 1.2 * (one.high - one.low) and "4 draws" in apart.method
    with pytest.raises(UserError, match="draw by draw"):
        compare("accuracy", y, np.stack([a, a]), b, classes=2)


def test_the_interval_over_draws_covers_new_rows_and_new_draws():
    generator, hits = np.random.default_rng(0), 0
    for trial in range(150):
        y = generator.integers(2, size=400)
        luck = generator.random(400)
        rates = 0.8 + 0.03 * generator.standard_normal(
            (2, 4, 1)
        )  # the draws differ more than the rows let the mean vary
        a, b = (np.where(luck + 0.05 * generator.standard_normal((4, 400)) < rate, y, 1 - y) for rate in rates)
        found = compare("accuracy", y, a, b, classes=2, seed=trial, resamples=300)
        hits += found.low <= 0 <= found.high
    assert hits / 150 >= 0.89  # 0.95 falls below once in a thousand runs; without the draws' part it is about 0.6


def test_kappa_stays_in_range_and_is_symmetric():
    y, a, b = draw(71, 3, 0.9, 0.85)
    value, low, high = kappa(a, b, classes=3)
    assert -1 <= low < value < high <= 1 and kappa(b, a, classes=3) == pytest.approx((value, low, high))
    assert kappa(a, a, classes=3)[0] == 1 and kappa(a, a, classes=3)[1] < 0.95 and kappa(a, a, classes=3)[2] == 1
    assert kappa(y * 0, y * 0, classes=3) is None and kappa(y * 0, y * 0 + 1, classes=3)[0] == 0
    turned = kappa(y % 2, 1 - y % 2, classes=2)
    assert turned[0] < -0.8 and turned[1] <= turned[0] <= turned[2]
    with pytest.raises(UserError):
        kappa(a, a[1:], classes=3)


def test_partial_conjunction_is_bonferroni_over_the_larger_p_values():
    generator = np.random.default_rng(0)
    for _ in range(20):
        raw = generator.random(6) ** 4
        found = partial_conjunction(list(raw))
        by_hand = [min(1.0, (6 - k + 1) * np.sort(raw)[k - 1]) for k in range(1, 7)]
        assert found == pytest.approx(np.maximum.accumulate(by_hand), abs=1e-12) and found[-1] == pytest.approx(
            max(found[-2], raw.max())
        )
        assert largest_conjunction(found) == sum(p <= 0.05 for p in found)
    assert (
        partial_conjunction([]) == [] and largest_conjunction([]) == 0 and largest_conjunction([0.01, 0.04, 0.2]) == 2
    )


def test_a_correlation_without_each_row_is_the_jackknifes():
    generator = np.random.default_rng(0)
    labels = generator.normal(size=60)
    runs = np.stack([labels + generator.normal(size=60), generator.normal(size=60), np.full(60, 2.0)])
    found = statistics.pearson_without(labels, runs)
    for run, mine in zip(runs, found.T, strict=True):
        sample = metrics.Sample(np.ones(60, np.int64), lambda weights: metrics.pearson(labels, run, weights))  # noqa: B023
        np.testing.assert_allclose(mine, sample.jackknife(), atol=1e-12, equal_nan=True)

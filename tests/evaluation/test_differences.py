"""P-values agree with intervals, equivalence with margins, and verdicts with both."""

from __future__ import annotations

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.comparisons import compare
from src.evaluation.differences import (
    VERDICTS,
    Difference,
    equivalent,
    one_sided,
    p_equivalence,
    smallest_difference,
    smallest_margin,
    two_sided,
    verdict,
)
from tests.helpers.predictions import simulate_pair


def make_difference(value: float, half: float, p: float) -> Difference:
    return Difference(value, value - half, value + half, value - 0.84 * half, value + 0.84 * half, p, "made")


@pytest.mark.parametrize(
    "difference, wanted",
    [
        (make_difference(0.001, 0.004, 0.6), "no relevant difference"),
        (make_difference(0.005, 0.004, 0.01), "small difference"),
        (make_difference(0.03, 0.01, 0.001), "better"),
        (make_difference(-0.03, 0.01, 0.001), "worse"),
        (make_difference(0.01, 0.03, 0.5), "inconclusive"),
    ],
)
def test_verdicts_follow_from_difference_and_equivalence(difference, wanted):
    assert verdict(difference, 0.01) == wanted and wanted in VERDICTS
    mirrored = {"better": "worse", "worse": "better"}.get(wanted, wanted)
    assert verdict(difference, 0.01, higher_is_better=False) == mirrored
    assert verdict(difference, 0.01, p=1.0, equivalence=False) == "inconclusive"


def test_smallest_margin_and_difference_agree_with_the_interval():
    found = make_difference(0.004, 0.02, 0.7)
    assert equivalent(found, smallest_margin(found) + 1e-9) and not equivalent(found, smallest_margin(found))
    assert smallest_difference(found) == pytest.approx(0.02 / 1.959964 * (1.959964 + 0.841621), rel=1e-5)
    with pytest.raises(UserError):
        equivalent(found, 0.0)


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
    "accuracy": (2, 0.9, 0.8), "f1": (2, 0.82, 0.8), "mcc": (3, 0.8, 0.8), "macro_f1": (5, 0.7, 0.72),
    "pearson": (0, 0.9, 0.8),
}  # fmt: skip


def found_in(name: str, rows: int = 250, seed: int = 0) -> Difference:
    classes, right_a, right_b = CASES[name]
    return compare(name, *simulate_pair(rows, classes, right_a, right_b, seed=seed), classes=classes, resamples=400)


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


def test_tost_uses_the_widened_interval_for_sparse_classes():
    y = np.repeat([0, 1, 0, 1], [2, 1, 90, 200])
    a, b = np.repeat([0, 1], [3, 290]), np.ones(293, dtype=int)
    found = compare("macro_f1", y, a, b, classes=2, resamples=400)
    assert "unseen" in found.method
    edge = smallest_margin(found)
    assert p_equivalence(found, edge - 1e-6) > 0.05 >= p_equivalence(found, edge + 1e-6)
    same = compare("mcc", y, b, b, classes=2, resamples=100)
    assert (p_equivalence(same, 0.5) <= 0.05) == equivalent(same, 0.5)


def test_equivalence_is_undefined_without_an_interval():
    y, a, _ = simulate_pair(80, 0, 0.8, 0.8)
    assert p_equivalence(compare("pearson", y, a, a, classes=0, resamples=50), 0.5) is None

"""Wilson, McNemar, Newcombe and kappa reproduce published and peer values."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.multiplicity import holm
from src.evaluation.proportions import kappa, mcnemar, newcombe, wilson
from tests.helpers.predictions import simulate_pair


def test_wilson_inverts_the_score_test():
    for right in (0, 3, 50, 99, 100):
        for end in wilson(right, 100):
            if 1e-9 < end < 1 - 1e-9:
                assert abs(right / 100 - end) / np.sqrt(end * (1 - end) / 100) == pytest.approx(1.959964, abs=1e-5)


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
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=1e-4)


def test_values_equal_those_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as exact
    from statsmodels.stats.inter_rater import cohens_kappa
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    generator = np.random.default_rng(0)
    for classes in (2, 3, 6):
        _, a, b = simulate_pair(300, classes, 0.8, 0.7, seed=classes)
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


def test_kappa_stays_in_range_and_is_symmetric():
    y, a, b = simulate_pair(71, 3, 0.9, 0.85)
    value, low, high = kappa(a, b, classes=3)
    assert -1 <= low < value < high <= 1 and kappa(b, a, classes=3) == pytest.approx((value, low, high))
    assert kappa(a, a, classes=3)[0] == 1 and kappa(a, a, classes=3)[1] < 0.95 and kappa(a, a, classes=3)[2] == 1
    assert kappa(y * 0, y * 0, classes=3) is None and kappa(y * 0, y * 0 + 1, classes=3)[0] == 0
    turned = kappa(y % 2, 1 - y % 2, classes=2)
    assert turned[0] < -0.8 and turned[1] <= turned[0] <= turned[2]
    with pytest.raises(UserError):
        kappa(a, a[1:], classes=3)

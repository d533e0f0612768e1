"""Holm's procedure and partial conjunctions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.multiplicity import holm, largest_conjunction, partial_conjunction


def test_holm_follows_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
    generator = np.random.default_rng(0)
    for _ in range(20):
        raw = generator.random(6)
        adjusted = np.array(holm(list(raw)))
        assert (adjusted >= raw).all() and all(first <= second for first, second in pairwise(adjusted[np.argsort(raw)]))
    with pytest.raises(UserError):
        holm([1.5])


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

"""Holm's procedure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.multiplicity import holm


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

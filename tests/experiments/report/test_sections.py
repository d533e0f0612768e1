"""The difference of b and a is that of a and b with its sign changed, at every level."""

from __future__ import annotations

import pytest

from experiments.report.sections import negate
from src.evaluation.differences import p_equivalence, student_difference


def test_a_negated_difference_agrees_with_its_own_intervals() -> None:
    found = student_difference(0.02, 0.01, 30, "t")
    other = negate(found)
    assert other.interval is not None and other.interval(0.95) == (other.low, other.high)
    assert (other.value, other.low90, other.high90) == (-0.02, -found.high90, -found.low90)
    assert p_equivalence(other, 0.05) == pytest.approx(p_equivalence(found, 0.05))
    assert negate(student_difference(0.02, 0.0, 30, "t")).interval is None

"""Weighted units have the statistic of their rows."""

from __future__ import annotations

import pytest

from src.evaluation.estimates import evaluate
from src.evaluation.samples import metric_sample
from tests.helpers.predictions import simulate


def test_cells_and_rows_give_the_same_statistic():
    y, p = simulate(200, 3)
    sample = metric_sample("mcc", y, p[None], 3)
    assert sample.rows == 200 and len(sample.counts) <= 9
    assert sample.point() == pytest.approx(evaluate("mcc", y, p, classes=3, resamples=50).value)

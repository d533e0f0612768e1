"""Weighted units have the statistic of their rows."""

from __future__ import annotations

import numpy as np
import pytest

from src.evaluation import samples
from src.evaluation.estimates import evaluate
from src.evaluation.samples import metric_sample
from tests.helpers.predictions import simulate


def test_cells_and_rows_give_the_same_statistic():
    y, p = simulate(200, 3)
    sample = metric_sample("mcc", y, p[None], 3)
    assert sample.rows == 200 and len(sample.counts) <= 9
    assert sample.point() == pytest.approx(evaluate("mcc", y, p, classes=3, resamples=50).value)


@pytest.mark.parametrize("name, classes", [("spearman", 0), ("pearson", 0), ("macro_f1", 5)])
def test_threads_do_not_change_a_resample(name, classes, monkeypatch):
    y, p = simulate(400, classes)
    monkeypatch.setattr(samples, "CHUNK_WEIGHTS", 4000)
    found = []
    for least in (0, 1e12):
        monkeypatch.setattr(samples, "PARALLEL_NUMBERS", least)
        found.append(metric_sample(name, y, p[None], classes).bootstrap(3, 250))
    assert len(found[0]) == 250 and np.allclose(found[0], found[1], rtol=1e-13, atol=0)

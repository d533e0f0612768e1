"""When training rows are reported as separable."""

from __future__ import annotations

import numpy as np

from src.probes.settings import Rows
from tests.helpers.probes import fit, make


def test_equal_rows_with_different_labels_refute_separability():
    train = make()
    doubled = Rows(np.concatenate([train.x, train.x[:1]]), np.append(train.y, 1 - train.y[0]))
    assert fit(doubled, {"test": train}).choice.separable is False
    assert fit(make(rows=2000, noise=8.0), {"test": train}).choice.separable is None

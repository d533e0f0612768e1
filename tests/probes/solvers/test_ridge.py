"""Laws of ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from src.probes.solvers.estimators import Ridge
from tests.helpers.solvers import make


@pytest.mark.parametrize("store", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("rows, width", [(200, 10), (40, 60)])
@pytest.mark.parametrize("alpha", [1.0, 1e-2, 1e-4])
def test_the_solution_is_that_of_scikit_learn(store, rows, width, alpha):
    from sklearn.linear_model import Ridge as Peer

    x, _ = make(rows, width)
    target = x @ np.linspace(-1, 1, width) + np.random.default_rng(2).standard_normal(rows)
    probe, peer = Ridge(alpha).fit(store(x), target), Peer(alpha=alpha * rows, solver="svd").fit(x, target)
    assert probe.converged_
    assert np.abs(probe.predict(store(x)) - peer.predict(x)).max() < (1e-9 if store is np.asarray else 1e-5)


def test_ridge_without_penalty_is_least_squares():
    x, _ = make(rows=100, width=6)
    target = np.random.default_rng(3).standard_normal(100)
    wanted = np.linalg.lstsq(np.column_stack([x, np.ones(100)]), target, rcond=None)[0]
    assert np.allclose(Ridge(0.0).fit(x, target).coef_[0], wanted[:-1], atol=1e-9)

"""Laws of logistic regression: the optimum, its proven gap, dense and sparse rows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from src.probes.solvers.estimators import LogisticRegression
from src.probes.solvers.linear import Problem
from src.probes.solvers.logistic import solve_logistic
from src.probes.solvers.moments import moments
from src.probes.solvers.preconditioner import Basis
from tests.helpers.solvers import make, objective, reference


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("alpha", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("store", [np.asarray, sp.csr_matrix])
def test_the_optimum_is_that_of_scikit_learn(classes, alpha, store):
    x, y = make(classes=classes)
    probe, peer = LogisticRegression(alpha, tolerance=1e-13).fit(store(x), y), reference(x, y, alpha)
    assert probe.converged_ and probe.gap_ <= 1e-13
    assert probe.coef_.shape == peer.coef_.shape and probe.intercept_.shape == peer.intercept_.shape
    here, there = (objective(x, y, fit.coef_, fit.intercept_, alpha) for fit in (probe, peer))
    assert here == pytest.approx(there, abs=1e-11) and here <= there + 1e-13
    assert np.abs(probe.predict_proba(store(x)) - peer.predict_proba(x)).max() < 3e-5
    # gap = ||w - w*||^2 alpha / 2 at least, on both sides
    assert np.abs(probe.coef_ - peer.coef_).max() < np.sqrt(2 * 1e-13 / alpha) + 1e-4
    assert (probe.predict(store(x)) == probe.predict_proba(store(x)).argmax(axis=1)).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_reported_gap_bounds_the_true_one(classes):
    x, y = make(rows=400, classes=classes)
    alphas = [1.0, 1e-1, 1e-2, 1e-3, 1e-4]
    loose = LogisticRegression(tolerance=1e-5).fit_path(x.astype(np.float32), y, alphas)
    tight = LogisticRegression(tolerance=1e-14).fit_path(x.astype(np.float32).astype(np.float64), y, alphas)
    for rough, exact, alpha in zip(loose, tight, alphas, strict=True):
        wide = x.astype(np.float32).astype(np.float64)
        gap = objective(wide, y, rough.coef_, rough.intercept_, alpha) - objective(
            wide, y, exact.coef_, exact.intercept_, alpha
        )
        assert -1e-13 <= gap <= rough.gap_ + 1e-13 and rough.converged_


def test_float32_rows_reach_the_float64_optimum():
    x, y = make(rows=3000, width=40, classes=3)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    alphas = [10.0**-power for power in range(-1, 6)]
    fast = LogisticRegression().fit_path(x, y, alphas)
    slow = LogisticRegression(tolerance=1e-13).fit_path(x.astype(np.float64), y, alphas)
    for here, there, alpha in zip(fast, slow, alphas, strict=True):
        wide = x.astype(np.float64)
        assert here.converged_
        assert (
            abs(
                objective(wide, y, here.coef_, here.intercept_, alpha)
                - objective(wide, y, there.coef_, there.intercept_, alpha)
            )
            <= 1e-9
        )


def test_problems_solved_together_equal_each_alone():
    x, y = make()
    halves = [(np.arange(len(y)) % 2 == side).astype(np.float64) for side in (0, 1)]
    problems = [Problem(alpha, half) for half in halves for alpha in (1.0, 0.01)]
    together = solve_logistic(x, y, 2, problems, tolerance=1e-12)
    for problem, found in zip(problems, together, strict=True):
        [alone] = solve_logistic(x, y, 2, [problem], tolerance=1e-12)
        assert found.objective == pytest.approx(alone.objective, abs=1e-12)


@pytest.mark.parametrize("rows, width", [(60, 90), (120, 80)])
def test_rows_that_are_nearly_separable_converge(rows, width):
    x, y = make(rows, width, 3)
    [*path] = LogisticRegression().fit_path(x.astype(np.float32), y, [1.0, 1e-2, 1e-4, 3e-5])
    assert all(probe.converged_ for probe in path)
    losses = [objective(x, y, probe.coef_, probe.intercept_, 0) for probe in path]
    assert losses == sorted(losses, reverse=True)


def test_no_penalty_on_overlapping_classes_is_the_maximum_likelihood():
    x, y = make(rows=600, width=5)
    free = LogisticRegression(0.0, tolerance=1e-12).fit(x, y)
    assert free.converged_
    scores = 1 / (1 + np.exp(-free.decision_function(x))) - y
    assert np.abs(scores @ x).max() / len(y) < 1e-6 and abs(scores.mean()) < 1e-9  # the likelihood equations


def test_no_penalty_on_separable_rows_is_reported_as_not_converged():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    free = LogisticRegression(0.0).fit(x, np.array([0, 0, 1, 1]))
    assert (free.predict(x) == [0, 0, 1, 1]).all() and not free.converged_


def test_constant_columns_get_no_weight():
    x, y = make()
    x = np.column_stack([x, np.full(len(y), 3.0)])
    assert abs(LogisticRegression(1e-3, tolerance=1e-13).fit(x, y).coef_[0, -1]) < 1e-6
    assert moments(x, [None])[1][0, -1] == 1.0


def test_sparse_rows_stay_sparse(monkeypatch):
    x = sp.random(400, 30000, density=5e-4, random_state=0, format="csr")
    y = (np.asarray(x[:, :50].sum(axis=1)).ravel() > 0).astype(np.int64)
    monkeypatch.setattr(sp.csr_matrix, "toarray", lambda *_: pytest.fail("made dense"))
    assert LogisticRegression(1e-2).fit(x, y).converged_
    assert Basis.of(x).vectors is None


@pytest.mark.parametrize("classes", [2, 3])
def test_solutions_do_not_depend_on_the_number_of_threads(classes):
    from threadpoolctl import threadpool_limits

    x, y = make(rows=9000, width=40, classes=classes)
    found = []
    for number in (1, 2):
        with threadpool_limits(number, "blas"):
            found.append(
                solve_logistic(x.astype(np.float32), y, classes, [Problem(alpha) for alpha in (1.0, 1e-2, 1e-4)])
            )
    for one, other in zip(*found, strict=True):
        assert (
            np.array_equal(one.weight, other.weight) and np.array_equal(one.bias, other.bias) and one.gap == other.gap
        )

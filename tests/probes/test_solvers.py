"""Laws of the solvers: scikit-learn's optimum, a proven gap, the same answer however the rows are stored or shared."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from src.errors import UserError
from src.probes.solvers.estimators import LogisticRegression, Ridge
from src.probes.solvers.linear import Problem
from src.probes.solvers.logistic import solve_logistic
from src.probes.solvers.moments import moments
from src.probes.solvers.preconditioner import Basis
from src.probes.solvers.ridge import solve_ridge


def make(rows: int = 240, width: int = 12, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, width)) * np.logspace(0, -1.5, width) + 1
    scores = (x - 1) @ generator.standard_normal((width, classes)) * 2 + np.linspace(0, 1, classes)
    return x, (scores + generator.gumbel(size=scores.shape)).argmax(axis=1).astype(np.int64)


def reference(x: np.ndarray, y: np.ndarray, alpha: float):
    from sklearn.linear_model import LogisticRegression as Peer

    solver = "newton-cholesky" if len(np.unique(y)) == 2 else "lbfgs"
    return Peer(C=1 / (alpha * len(y)), tol=1e-13, max_iter=20000, solver=solver).fit(x, y)


def objective(x: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray, alpha: float) -> float:
    scores = x @ weight.T + bias
    scores = np.concatenate([np.zeros_like(scores), scores], axis=1) if scores.shape[1] == 1 else scores
    top = scores.max(axis=1, keepdims=True)
    loss = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0] - scores[np.arange(len(y)), y]
    return float(loss.mean() + alpha / 2 * np.sum(weight**2))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("alpha", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("store", [np.asarray, sp.csr_matrix])
def test_the_optimum_is_scikit_learns(classes, alpha, store):
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
def test_the_stated_gap_bounds_the_true_one(classes):
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


def test_weights_count_rows_as_repeating_them_does():
    x, y = make(classes=3)
    times = np.random.default_rng(1).integers(0, 3, size=len(y)).astype(np.float64)
    rows = np.repeat(np.arange(len(y)), times.astype(int))
    for alpha in (0.3, 1e-3):
        [weighted] = solve_logistic(x, y, 3, [Problem(alpha, times)], tolerance=1e-13)
        [repeated] = solve_logistic(x[rows], y[rows], 3, [Problem(alpha)], tolerance=1e-13)
        assert weighted.objective == pytest.approx(repeated.objective, abs=1e-12)
        assert np.abs(weighted.decide(x) - repeated.decide(x)).max() < 1e-3
        [one], [other] = (
            solve_ridge(x, x[:, 0] * y, [Problem(alpha, times)]),
            solve_ridge(x[rows], (x[:, 0] * y)[rows], [Problem(alpha)]),
        )
        assert np.abs(one.decide(x) - other.decide(x)).max() < 1e-9


def test_many_tasks_at_once_equal_each_alone():
    x, y = make()
    halves = [(np.arange(len(y)) % 2 == side).astype(np.float64) for side in (0, 1)]
    problems = [Problem(alpha, half) for half in halves for alpha in (1.0, 0.01)]
    together = solve_logistic(x, y, 2, problems, tolerance=1e-12)
    for problem, found in zip(problems, together, strict=True):
        [alone] = solve_logistic(x, y, 2, [problem], tolerance=1e-12)
        assert found.objective == pytest.approx(alone.objective, abs=1e-12)


@pytest.mark.parametrize("store", [np.asarray, sp.csr_matrix])
def test_implicit_standardisation_equals_explicit(store):
    x, y = make(classes=3)
    mean, scale = moments(store(x), [None])
    assert np.allclose(mean[0], x.mean(axis=0)) and np.allclose(scale[0], x.std(axis=0))
    explicit = LogisticRegression(0.01, tolerance=1e-13).fit((x - mean[0]) / scale[0], y)
    for shift in (mean[0], None):  # the free intercept makes centring immaterial
        [found] = solve_logistic(store(x), y, 3, [Problem(0.01, None, shift, scale[0])], tolerance=1e-13)
        assert np.abs(found.decide(store(x)) - explicit.decision_function((x - mean[0]) / scale[0])).max() < 1e-4
    target = x @ np.arange(x.shape[1]) + y
    plain = Ridge(0.01).fit((x - mean[0]) / scale[0], target)
    for shift in (mean[0], np.zeros_like(mean[0])):
        [found] = solve_ridge(store(x), target, [Problem(0.01, None, shift, scale[0])])
        assert np.abs(found.decide(store(x))[:, 0] - plain.predict((x - mean[0]) / scale[0])).max() < 1e-4


@pytest.mark.parametrize("rows, width", [(60, 90), (120, 80)])
def test_rows_that_are_nearly_separable_converge(rows, width):
    x, y = make(rows, width, 3)
    [*path] = LogisticRegression().fit_path(x.astype(np.float32), y, [1.0, 1e-2, 1e-4, 3e-5])
    assert all(probe.converged_ for probe in path)
    losses = [objective(x, y, probe.coef_, probe.intercept_, 0) for probe in path]
    assert losses == sorted(losses, reverse=True)


def test_no_penalty_where_classes_overlap_is_the_maximum_likelihood():
    x, y = make(rows=600, width=5)
    free = LogisticRegression(0.0, tolerance=1e-12).fit(x, y)
    assert free.converged_
    scores = 1 / (1 + np.exp(-free.decision_function(x))) - y
    assert np.abs(scores @ x).max() / len(y) < 1e-6 and abs(scores.mean()) < 1e-9  # the likelihood equations


def test_no_penalty_where_rows_are_separable_is_not_called_converged():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    free = LogisticRegression(0.0).fit(x, np.array([0, 0, 1, 1]))
    assert (free.predict(x) == [0, 0, 1, 1]).all() and not free.converged_


@pytest.mark.parametrize("store", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("rows, width", [(200, 10), (40, 60)])
@pytest.mark.parametrize("alpha", [1.0, 1e-2, 1e-4])
def test_ridge_is_scikit_learns(store, rows, width, alpha):
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


def test_constant_columns_get_no_weight():
    x, y = make()
    x = np.column_stack([x, np.full(len(y), 3.0)])
    assert abs(LogisticRegression(1e-3, tolerance=1e-13).fit(x, y).coef_[0, -1]) < 1e-6
    assert moments(x, [None])[1][0, -1] == 1.0


def test_labels_of_any_kind_and_parameters():
    x, y = make(classes=3)
    names = np.array(["no", "perhaps", "yes"])[y]
    probe = LogisticRegression(0.1).fit(x, names)
    assert set(probe.predict(x)) <= set(names) and list(probe.classes_) == ["no", "perhaps", "yes"]
    assert probe.set_params(alpha=0.5).get_params()["alpha"] == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, y: LogisticRegression(-1.0).fit(x, y),
        lambda x, y: LogisticRegression(float("nan")).fit(x, y),
        lambda x, y: Ridge(-1.0).fit(x, y),
        lambda x, y: LogisticRegression(0.1).fit(x, np.zeros(len(y))),
        lambda x, y: LogisticRegression().set_params(beta=1),
    ],
)
def test_bad_input_is_refused(wrong):
    with pytest.raises(UserError):
        wrong(*make())


def test_sparse_rows_stay_sparse(monkeypatch):
    x = sp.random(400, 30000, density=5e-4, random_state=0, format="csr")
    y = (np.asarray(x[:, :50].sum(axis=1)).ravel() > 0).astype(np.int64)
    monkeypatch.setattr(sp.csr_matrix, "toarray", lambda *_: pytest.fail("made dense"))
    assert LogisticRegression(1e-2).fit(x, y).converged_
    assert Basis.of(x).vectors is None


@pytest.mark.parametrize("classes", [2, 3])
def test_the_number_of_threads_leaves_no_trace_in_the_bits(classes):
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

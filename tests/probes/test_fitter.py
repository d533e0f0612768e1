"""Laws of fits on subsets of rows: scaling, sparse rows, estimators of scikit-learn, batches."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from src.probes import fitter as fitter_module
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.settings import Rows
from src.probes.solvers.estimators import LogisticRegression
from tests.helpers.probes import GRID, fit, make, run, settings


def test_standardisation_uses_the_fitted_rows_alone():
    train, test = make(), make(seed=1)
    shifted = Rows(test.x * 100 - 7, test.y)
    one, two = (fit(train, {"test": rows}) for rows in (test, shifted))
    assert np.allclose(one.fitted.mean, train.x.mean(axis=0, dtype=np.float64)) and np.array_equal(
        one.fitted.mean, two.fitted.mean
    )
    assert np.allclose(one.fitted.scale, train.x.std(axis=0, dtype=np.float64), rtol=1e-6)
    fitter = ProbeFitter(LogisticRegression(), settings(), train, 2)
    kept = np.zeros(len(train.y))
    kept[:100] = 1
    [found] = fitter.fit([FitRequest(0.1, kept)])
    assert np.allclose(found.mean, train.x[:100].mean(axis=0, dtype=np.float64)) and np.allclose(
        found.scale, train.x[:100].std(axis=0, dtype=np.float64), rtol=1e-5
    )


@pytest.mark.parametrize("classes", [2, 0])
@pytest.mark.parametrize("features", ["standardise", "none", "l2"])
def test_sparse_rows_are_scaled_without_centring(classes, features):
    x = sp.random(300, 60, density=0.2, random_state=0, format="csr", dtype=np.float32)
    target = np.asarray(x[:, :5].sum(axis=1)).ravel() + 0.3 * np.random.default_rng(0).standard_normal(300)
    y = (target > np.median(target)).astype(np.int64) if classes else target
    outcome = fit(Rows(x, y), {"test": Rows(x[:50], y[:50])}, classes, features)
    dense = fit(Rows(x.toarray(), y), {"test": Rows(x[:50].toarray(), y[:50])}, classes, features)
    assert outcome.fitted.mean is None and outcome.choice.value == dense.choice.value
    assert np.abs(outcome.predictions["test"].decisions - dense.predictions["test"].decisions).max() < 5e-3


@pytest.mark.parametrize(
    "name, grid",
    [
        ("LinearDiscriminantAnalysis", {"shrinkage": [0.1, 0.5]}),
        ("KNeighborsClassifier", {"n_neighbors": [3, 9]}),
        ("LogisticRegression", {"C": [0.1, 1.0]}),
        ("LinearSVC", {"C": [0.01, 0.1]}),
    ],
)
def test_any_scikit_learn_classifier_can_be_the_probe(name, grid):
    from sklearn import discriminant_analysis, linear_model, neighbors, svm

    home = next(module for module in (discriminant_analysis, linear_model, neighbors, svm) if hasattr(module, name))
    options = {"solver": "lsqr"} if name.startswith("LinearD") else {}
    train, test = make(classes=3), make(classes=3, seed=1)
    estimator = getattr(home, name)(**options)
    outcome = run(estimator, settings(**grid), train, {"test": test}, classes=3, selection="folds", folds=3)
    assert (outcome.predictions["test"].values == test.y).mean() > 0.6
    assert outcome.choice.converged is (True if name in ("LogisticRegression", "LinearSVC") else None)
    assert outcome.choice.parameter == next(iter(grid)) and all(
        isinstance(array, np.ndarray) for array in outcome.fitted.arrays().values()
    )


def test_a_scikit_learn_fit_that_stops_early_is_reported():
    from sklearn.linear_model import LogisticRegression as Peer

    outcome = run(Peer(max_iter=1, tol=1e-12), settings(C=[1.0, 10.0]), make(), {"test": make(seed=1)}, classes=2)
    assert outcome.choice.converged is False


@pytest.mark.parametrize("estimator, grid", [("own", {"alpha": GRID}), ("sklearn", {"C": [0.01, 1.0]})])
@pytest.mark.parametrize("draws", [1, 3])
def test_rounding_is_not_raised_to_unit_variance(estimator, grid, draws):
    from sklearn.linear_model import LogisticRegression as Peer

    def with_noise(rows: Rows, seed: int) -> Rows:
        generator = np.random.default_rng(seed)
        eps = np.finfo(np.float32).eps
        rounded = np.float32(0.7) * (1 + eps * generator.integers(-3, 4, size=len(rows.y)))
        off = 1e-33 * generator.standard_normal(len(rows.y))
        exact = np.full(len(rows.y), 0.1)
        return Rows(np.column_stack([rows.x, rounded, off, exact]).astype(np.float32), rows.y)

    train, test = with_noise(make(), 5), with_noise(make(seed=1), 6)
    solver = LogisticRegression(tolerance=1e-11) if estimator == "own" else Peer()
    outcome = run(solver, settings(**grid), train, {"test": test}, classes=2, draws=draws)
    plain = run(solver, settings(**grid), make(), {"test": make(seed=1)}, classes=2, draws=draws)
    assert (outcome.fitted.scale[-3:] == 1).all() and (np.abs(outcome.fitted.weight[0, -3:]) < 1e-6).all()
    np.testing.assert_allclose(outcome.predictions["test"].decisions, plain.predictions["test"].decisions, atol=1e-4)
    assert outcome.details == {"constant_dimensions": 3} and plain.details == {}


def test_small_but_real_columns_are_standardised():
    train, test = make(), make(seed=1)
    scale = np.array([1, 1e-3, 1e-6, 1e-9, 1, 1, 1, 1], dtype=np.float32)
    found = fit(Rows((train.x - 5) * scale, train.y), {"t": Rows((test.x - 5) * scale, test.y)})
    plain = fit(train, {"t": test})
    np.testing.assert_allclose(found.predictions["t"].decisions, plain.predictions["t"].decisions, atol=1e-3)
    assert not found.details


def test_a_column_that_rounds_in_a_subset_alone_is_constant_there():
    x = np.concatenate([np.full(50, 3.0), np.linspace(0, 6, 50)]).astype(np.float32)
    x[:50] += np.float32(3e-7) * (np.arange(50) % 2)
    fitter = ProbeFitter(
        LogisticRegression(),
        settings(),
        Rows(np.column_stack([x, np.arange(100)]).astype(np.float32), np.arange(100) % 2),
        2,
    )
    first = (np.arange(100) < 50).astype(np.float64)
    assert fitter.problems([FitRequest(1.0, first)])[0].scale[0] == 1.0
    assert fitter.constant_columns == 0


def test_batches_of_problems_make_the_same_fits(monkeypatch):
    options = {"selection": "folds", "folds": 3, "draws": 2}
    whole = fit(make(classes=3), {"test": make(classes=3, seed=1)}, 3, **options)
    monkeypatch.setattr(fitter_module, "SOLVER_BYTES", 1)
    apart = fit(make(classes=3), {"test": make(classes=3, seed=1)}, 3, **options)
    np.testing.assert_allclose(apart.predictions["test"].decisions, whole.predictions["test"].decisions, atol=1e-4)
    assert apart.choice.value == whole.choice.value

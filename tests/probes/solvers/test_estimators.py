"""Laws that hold for both solvers, and their interface as estimators."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from src.errors import UserError
from src.probes.solvers.estimators import LogisticRegression, Ridge
from src.probes.solvers.linear import Problem
from src.probes.solvers.logistic import solve_logistic
from src.probes.solvers.moments import moments
from src.probes.solvers.ridge import solve_ridge
from tests.helpers.solvers import make


def test_weights_count_rows_as_repeating_them_does():
    x, y = make(classes=3)
    times = np.random.default_rng(1).integers(0, 3, size=len(y)).astype(np.float64)
    rows = np.repeat(np.arange(len(y)), times.astype(int))
    for alpha in (0.3, 1e-3):
        [weighted] = solve_logistic(x, y, 3, [Problem(alpha, times)], tolerance=1e-13)
        [repeated] = solve_logistic(x[rows], y[rows], 3, [Problem(alpha)], tolerance=1e-13)
        assert weighted.objective == pytest.approx(repeated.objective, abs=1e-12)
        assert np.abs(weighted.decision_values(x) - repeated.decision_values(x)).max() < 1e-3
        [one], [other] = (
            solve_ridge(x, x[:, 0] * y, [Problem(alpha, times)]),
            solve_ridge(x[rows], (x[:, 0] * y)[rows], [Problem(alpha)]),
        )
        assert np.abs(one.decision_values(x) - other.decision_values(x)).max() < 1e-9


@pytest.mark.parametrize("store", [np.asarray, sp.csr_matrix])
def test_implicit_standardisation_equals_explicit(store):
    x, y = make(classes=3)
    mean, scale = moments(store(x), [None])
    assert np.allclose(mean[0], x.mean(axis=0)) and np.allclose(scale[0], x.std(axis=0))
    explicit = LogisticRegression(0.01, tolerance=1e-13).fit((x - mean[0]) / scale[0], y)
    for shift in (mean[0], None):  # the free intercept makes centring immaterial
        [found] = solve_logistic(store(x), y, 3, [Problem(0.01, None, shift, scale[0])], tolerance=1e-13)
        assert (
            np.abs(found.decision_values(store(x)) - explicit.decision_function((x - mean[0]) / scale[0])).max() < 1e-4
        )
    target = x @ np.arange(x.shape[1]) + y
    plain = Ridge(0.01).fit((x - mean[0]) / scale[0], target)
    for shift in (mean[0], np.zeros_like(mean[0])):
        [found] = solve_ridge(store(x), target, [Problem(0.01, None, shift, scale[0])])
        assert np.abs(found.decision_values(store(x))[:, 0] - plain.predict((x - mean[0]) / scale[0])).max() < 1e-4


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

"""Fits and predictions of scikit-learn estimators, with their errors as one line."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.errors import UserError
from src.probes.estimators import with_value
from src.probes.grid_fit import GridFit
from src.probes.library_errors import single_line_errors
from src.probes.solvers.linear import Array, Matrix


def estimator_errors(model: Any) -> AbstractContextManager[None]:
    """Turn an error of another library's estimator into a UserError of one line."""
    way_out = "Change probe.estimator, probe.grid or probe.features."
    return single_line_errors(f"{type(model).__name__} on these rows", way_out)


def fit_estimator(estimator: Any, parameter: str, value: float, x: Matrix, y: Array, classes: int) -> GridFit:
    """Return a fit of the estimator's copy at one value of the grid, on scaled features.

    `converged` is None where the estimator does not count its iterations.
    """
    with estimator_errors(estimator), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = with_value(estimator, parameter, value)
        model.fit(x, y)
    warned = any(entry.category.__name__ == "ConvergenceWarning" for entry in caught)
    used, most = getattr(model, "n_iter_", None), getattr(model, "max_iter", None)
    converged = None if used is None or most is None or most < 0 else bool(np.max(used) < most)
    weight, bias = _coefficients(model, classes)
    return GridFit(value, weight, bias, converged=False if warned else converged, model=model)


def _coefficients(model: Any, classes: int) -> tuple[Array | None, Array | None]:
    """Return weight (outputs, width) and bias (outputs,) of a linear model, or None for both."""
    weight, bias = getattr(model, "coef_", None), getattr(model, "intercept_", None)
    if weight is None or bias is None or sp.issparse(weight):
        return None, None
    weight = np.atleast_2d(np.asarray(weight, dtype=np.float64))
    if len(weight) != (1 if classes in (0, 2) else classes):
        return None, None
    return weight, np.broadcast_to(np.atleast_1d(np.asarray(bias, dtype=np.float64)), (len(weight),))


def log_probabilities(model: Any, x: Matrix, classes: int) -> Array:
    """Return log-probabilities, decision values or a regressor's values, (rows, outputs).

    Raises
    ------
    UserError
        The classifier has neither, or their number is not that of the classes.
    """
    with estimator_errors(model):
        if classes == 0:
            scores = np.asarray(model.predict(x), dtype=np.float64).reshape(x.shape[0], 1)
        elif hasattr(model, "predict_proba"):
            scores = np.log(np.maximum(np.asarray(model.predict_proba(x), dtype=np.float64), 1e-15))
        elif hasattr(model, "decision_function"):
            scores = np.asarray(model.decision_function(x), dtype=np.float64)
            scores = scores[:, None] if scores.ndim == 1 else scores
        else:
            raise UserError(
                f"{type(model).__name__} has neither predict_proba nor decision_function, so its grid cannot be chosen "
                "by log-loss. Use another estimator."
            )
        if classes and scores.shape[1:] not in {(classes,), (1,) if classes == 2 else (classes,)}:
            raise ValueError(f"it gives {scores.shape[1]} values a row, where there are {classes} classes")
    return scores

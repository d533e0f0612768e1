"""The two linear probes as estimators with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.errors import UserError
from src.probes.solvers.linear import Array, Matrix, Problem, Report, Solution, linear, no_report
from src.probes.solvers.logistic import solve_logistic
from src.probes.solvers.preconditioner import Basis
from src.probes.solvers.ridge import solve_ridge

# Penalties per row, beyond which float64 gives weights of zero or those without a penalty.
MIN_PENALTY, MAX_PENALTY = 1e-12, 1e12


class _Linear:
    """Parts that both probes share: parameters as in scikit-learn, and the attributes of a fit."""

    alpha: float
    tolerance: float
    coef_: Array
    intercept_: Array
    gap_: float
    converged_: bool
    n_iter_: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"alpha": self.alpha, "tolerance": self.tolerance}

    def set_params(self, **parameters: Any) -> Any:
        for name, value in parameters.items():
            if name not in self.get_params():
                known = ", ".join(self.get_params())
                raise UserError(f"{type(self).__name__} has no parameter '{name}'. Known: {known}.")
            setattr(self, name, value)
        return self

    def check(self) -> None:
        """Check the parameters.

        Raises
        ------
        UserError
            A parameter is not a finite number of zero or more.
        """
        for name, value in self.get_params().items():
            if type(value) not in (int, float) or not np.isfinite(value) or value < 0:
                raise UserError(
                    f"{type(self).__name__}: {name} is a number of zero or more, got {value!r}. Leave it out."
                )

    def check_penalties(self, alphas: Sequence[float]) -> None:
        """Check penalties per row.

        Raises
        ------
        UserError
            A penalty is neither 0 nor between `MIN_PENALTY` and `MAX_PENALTY`.
        """
        for alpha in alphas:
            if not (alpha == 0 or MIN_PENALTY <= alpha <= MAX_PENALTY):
                allowed = f"0, or {MIN_PENALTY:g} to {MAX_PENALTY:g}"
                raise UserError(
                    f"probe.grid.alpha: {type(self).__name__} takes penalties per row of {allowed}, got {alpha:g}."
                )

    def solve(
        self, x: Matrix, y: Array, classes: int, problems: Sequence[Problem], basis: Basis | None = None,
        report: Report = no_report,
    ) -> list[Solution]:  # fmt: skip
        """Solve many problems on shared rows together.

        See `solve_logistic` and `solve_ridge`; ridge regression ignores `classes` and `basis`.
        """
        self.check_penalties([problem.alpha for problem in problems])
        return self._solve(x, y, classes, problems, basis, report)

    def _solve(
        self, x: Matrix, y: Array, classes: int, problems: Sequence[Problem], basis: Basis | None, report: Report
    ) -> list[Solution]:
        raise NotImplementedError

    def _with_solution(self, solution: Solution) -> Any:
        self.coef_, self.intercept_ = solution.unscaled()
        self.gap_, self.converged_, self.n_iter_ = solution.gap, solution.converged, solution.evaluations
        return self

    def decision_function(self, X: Matrix) -> Array:
        """Return decision values, float64: (rows,) for one output, else (rows, classes)."""
        scores = linear(X, self.coef_, self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores


class LogisticRegression(_Linear):
    """Multinomial logistic regression: mean log-loss + alpha / 2 ||W||^2, the bias free.

    The objective is that of scikit-learn's `LogisticRegression(C=1 / (alpha * rows))`: one weight
    vector for two classes, one per class for more.

    Parameters
    ----------
    alpha : float, default 1e-3
        Strength per row, so that one grid means the same at every number of rows.
    tolerance : float, default 1e-9
        Bound on the objective's distance to its optimum: by the duality gap where alpha > 0.
        Without a penalty by the Newton decrement, and only where the classes overlap, as separable
        rows have no optimum.

    Examples
    --------
    >>> import numpy as np
    >>> rows, labels = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> probe = LogisticRegression(alpha=0.1).fit(rows, labels)
    >>> probe.predict(np.array([[0.5], [2.5]])), probe.converged_
    (array([0, 1]), True)
    """

    task = "classification"
    classes_: Array

    def __init__(self, alpha: float = 1e-3, tolerance: float = 1e-9) -> None:
        self.alpha, self.tolerance = alpha, tolerance

    def _solve(
        self, x: Matrix, y: Array, classes: int, problems: Sequence[Problem], basis: Basis | None, report: Report
    ) -> list[Solution]:
        return solve_logistic(x, y, classes, problems, basis=basis, tolerance=self.tolerance, report=report)

    def fit_path(self, X: Matrix, y: Array, alphas: Sequence[float]) -> list[LogisticRegression]:
        """Return one fitted probe per penalty, in the order given."""
        names, ids = np.unique(y, return_inverse=True)
        if len(names) < 2:
            raise UserError(f"a classifier needs two classes, the labels hold {len(names)}. Add rows of another class.")
        fitted = []
        for solution in self.solve(X, ids.astype(np.int64), len(names), [Problem(float(alpha)) for alpha in alphas]):
            probe = LogisticRegression(solution.alpha, self.tolerance)._with_solution(solution)
            probe.classes_ = names
            fitted.append(probe)
        return fitted

    def fit(self, X: Matrix, y: Array) -> LogisticRegression:
        """Fit on rows (rows, width) and labels (rows,) of any type that sorts."""
        self.__dict__.update(self.fit_path(X, y, [self.alpha])[0].__dict__)
        return self

    def predict_proba(self, X: Matrix) -> Array:
        """Return probabilities (rows, classes)."""
        scores = linear(X, self.coef_, self.intercept_)
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X: Matrix) -> Array:
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]


class Ridge(_Linear):
    """Ridge regression: mean squared error + alpha ||w||^2, the bias free.

    The objective is that of scikit-learn's `Ridge(alpha * rows)`.

    >>> import numpy as np
    >>> probe = Ridge(alpha=0.0).fit(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0]))
    >>> probe.predict(np.array([[3.0]])).round(9)
    array([7.])
    """

    task = "regression"

    def __init__(self, alpha: float = 1e-3, tolerance: float = 1e-12) -> None:
        self.alpha, self.tolerance = alpha, tolerance

    def _solve(
        self, x: Matrix, y: Array, classes: int, problems: Sequence[Problem], basis: Basis | None, report: Report
    ) -> list[Solution]:
        return solve_ridge(x, np.asarray(y, dtype=np.float64), problems, tolerance=self.tolerance, report=report)

    def fit_path(self, X: Matrix, y: Array, alphas: Sequence[float]) -> list[Ridge]:
        """Return one fitted probe per penalty, in the order given."""
        solutions = self.solve(X, y, 0, [Problem(float(alpha)) for alpha in alphas])
        return [Ridge(solution.alpha, self.tolerance)._with_solution(solution) for solution in solutions]

    def fit(self, X: Matrix, y: Array) -> Ridge:
        """Fit on rows (rows, width) and targets (rows,)."""
        self.__dict__.update(self.fit_path(X, y, [self.alpha])[0].__dict__)
        return self

    def predict(self, X: Matrix) -> Array:
        return self.decision_function(X)

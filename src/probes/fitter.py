"""Fits of a linear probe on weighted subsets of the training rows.

The suite's own solvers take a whole grid on many subsets in one call. Any other estimator is
fitted once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from src.errors import UserError
from src.probes.decisions import losses
from src.probes.fitted import FittedProbe
from src.probes.grid_fit import GridFit
from src.probes.progress import Progress, no_progress
from src.probes.scaling import column_statistics, normalise_rows, scale_columns
from src.probes.settings import ProbeSettings, Rows
from src.probes.sklearn_estimator import fit_estimator, log_probabilities
from src.probes.solvers.linear import Array, Matrix, Problem, Report, Solution, linear, separates
from src.probes.solvers.moments import moments, rounding
from src.probes.solvers.preconditioner import Basis

SOLVER_BYTES = 4 << 30  # of the problems that are solved together
SEPARATION_ROWS = 4096  # that are scored at once to see whether one is on the wrong side


class FitRequest(NamedTuple):
    """A fit to make: the grid's value, row counts (None: all once), and the search's start."""

    value: float
    weights: Array | None = None
    start: Solution | None = None


class ProbeFitter:
    """Training rows, scaled once, and fits on any weighted subset of them.

    Parameters
    ----------
    estimator : estimator of `src.probes.solvers.estimators` or of scikit-learn
    settings : ProbeSettings
    train : Rows
    classes : int
        0 for regression.
    progress : callable, optional

    Attributes
    ----------
    total : int
        Number of fits that the progress counts to.
    extends : bool
        Whether the grid goes on until its best value is inside.
    constant_columns : int
        Number of columns that are not standardised, as they are constant up to rounding.

    Raises
    ------
    UserError
        The grid or the scaling of features is unusable.
    """

    def __init__(
        self, estimator: Any, settings: ProbeSettings, train: Rows, classes: int, progress: Progress | None = None
    ) -> None:
        self.progress, self.done, self.total = progress or no_progress, 0, 0
        self.parameter, self.values = _grid(estimator, settings)
        self.estimator, self.classes, self.y = estimator, classes, train.y
        self.has_solver = hasattr(estimator, "solve") and self.parameter == "alpha"
        self.extends = settings.extend_grid and self.has_solver
        if settings.features not in ("none", "standardise", "l2"):
            raise UserError(f"unknown probe.features '{settings.features}'. Known: none, standardise, l2.")
        self.l2, self.standardise = settings.features == "l2", settings.features == "standardise"
        self._scale_once(train)
        with_basis = self.has_solver and estimator.task == "classification"
        self.basis = Basis.of(self.x) if with_basis else None

    def _scale_once(self, train: Rows) -> None:
        """Scale dense rows for the solver once for all subsets.

        float32 then loses nothing, and a subset's own statistics are a small correction.
        """
        source = normalise_rows(train.x) if self.l2 else train.x
        width = source.shape[1]
        self.mean, self.scale, self.noise = np.zeros(width), np.ones(width), None
        self.x, self.constant_columns = source, 0
        if sp.issparse(source) or not (self.has_solver or self.standardise):
            return
        mean, scale, constant = column_statistics(source)
        self.constant_columns = int(np.count_nonzero(constant)) if self.standardise else 0
        if not self.has_solver:
            return
        self.mean, self.scale = mean, scale if self.standardise else np.ones(width)
        self.x = scale_columns(source, self.mean, self.scale)
        if self.standardise:
            self.x[:, constant] = 0  # their weight is then zero, whatever the rows hold there
            self.noise = rounding(self.mean, len(source), source.dtype) / self.scale

    def fit(self, requests: Sequence[FitRequest], *, stage: str = "grid") -> list[GridFit]:
        """Return a fit for every request; `stage` is passed to the progress."""
        before = self.done

        def report(count: int) -> None:
            self.done = before + count
            self.progress(stage, self.done, max(self.total, before + len(requests)))

        fits: list[GridFit] = []
        if self.has_solver:
            problems = self.problems(requests)
            size = self._batch_size()
            for first in range(0, len(problems), size):
                batch = problems[first : first + size]
                solutions = self.estimator.solve(
                    self.x, self.y, self.classes, batch, self.basis, _offset(report, first)
                )
                fits += map(self._from_solution, solutions)
        else:
            for number, request in enumerate(requests):
                report(number)
                fits.append(self._fit_estimator(request.value, request.weights))
        report(len(requests))
        return fits

    def problems(self, requests: Sequence[FitRequest]) -> list[Problem]:
        """Return the solver's problems, each scaled by the statistics of its own rows."""
        distinct: dict[int, Array | None] = {id(request.weights): request.weights for request in requests}
        mean, scale = self._moments(list(distinct.values()))
        place = {key: index for index, key in enumerate(distinct)}
        ones = np.ones(mean.shape[1])
        problems = []
        for request in requests:
            index = place[id(request.weights)]
            own_scale = scale[index] if self.standardise else ones
            problems.append(Problem(request.value, request.weights, mean[index], own_scale, request.start))
        return problems

    def _moments(self, weights: Sequence[Array | None]) -> tuple[Array, Array]:
        """Return mean and standard deviation (len(weights), width) of the scaled columns over weighted rows."""
        if not sp.issparse(self.x) and all(
            each is None for each in weights
        ):  # `_scale_once` has centred and scaled by these rows
            return np.zeros((1, self.x.shape[1])), np.ones((1, self.x.shape[1]))
        return moments(self.x, weights, self.noise)

    def _batch_size(self) -> int:
        """Return how many problems `SOLVER_BYTES` hold, with their scores and search points."""
        rows, width = self.x.shape
        outputs = self.classes if self.classes > 2 else 1
        return max(1, SOLVER_BYTES // (8 * outputs * (3 * rows + 40 * width)))

    def _from_solution(self, solution: Solution) -> GridFit:
        mean, scale = self.mean + self.scale * solution.mean, self.scale * solution.scale
        weight, bias, alpha = solution.weight, solution.bias, solution.alpha
        if self.standardise and not sp.issparse(self.x):
            return GridFit(alpha, weight, bias, mean, scale, solution.gap, solution.converged, solution)
        # The scaling was conditioning alone: it goes back into weight and bias.
        unscaled = weight / scale
        if not self.standardise:
            weight = unscaled
        kept_scale = scale if self.standardise else None
        return GridFit(
            alpha, weight, bias - unscaled @ mean, None, kept_scale, solution.gap, solution.converged, solution
        )

    def _fit_estimator(self, value: float, weights: Array | None) -> GridFit:
        rows = np.arange(len(self.y))
        if weights is not None:
            rows = np.repeat(rows, weights.astype(np.int64))
        x = self.x[rows]
        mean, scale, _ = column_statistics(x) if self.standardise else (None, None, None)
        mean = None if sp.issparse(x) else mean
        x = scale_columns(x, mean, scale)
        fit = fit_estimator(self.estimator, self.parameter, value, x, self.y[rows], self.classes)
        return replace(fit, mean=mean, scale=scale)

    def fitted_probe(self, fit: GridFit, trained_on: str, threshold: float | None = None) -> FittedProbe:
        """Return a fit as a probe that predicts; `trained_on` says on which rows it was fitted."""
        model = None if fit.weight is not None else fit.model
        return FittedProbe(
            self.classes, fit.mean, fit.scale, fit.weight, fit.bias, self.l2, trained_on, model, threshold
        )

    def scores(self, fits: Sequence[GridFit], rows: Array | Rows) -> list[Array]:
        """Return each fit's decision values (rows, outputs) of some training rows or of another split.

        The rows are read once for all fits of the suite's own solvers.
        """
        is_split, x = isinstance(rows, Rows), self._matrix(rows)
        if all(fit.solution is not None for fit in fits):
            parts = [
                fit.unscaled() if is_split else fit.solution.unscaled() for fit in fits if fit.solution is not None
            ]
            weight, bias = (np.concatenate(part) for part in zip(*parts, strict=True))
            return np.split(linear(x, weight, bias), len(fits), axis=1)
        return [
            log_probabilities(fit.model, scale_columns(x, fit.mean, fit.scale), self.classes)
            if fit.weight is None or fit.bias is None
            else linear(scale_columns(x, fit.mean, fit.scale), fit.weight, fit.bias)
            for fit in fits
        ]

    def _matrix(self, rows: Array | Rows) -> Matrix:
        """Return the features of training rows as scaled, or those of another split before scaling."""
        if not isinstance(rows, Rows):
            return self.x[rows]
        return normalise_rows(rows.x) if self.l2 else rows.x

    def losses(self, fits: Sequence[GridFit], rows: Array | Rows) -> list[Array]:
        """Return each fit's losses (rows,) of some training rows, or of the rows of another split.

        A classifier of another library is judged by its own probabilities where it has them.
        """
        y = rows.y if isinstance(rows, Rows) else self.y[rows]
        if self.has_solver or self.classes == 0:
            found = self.scores(fits, rows)
        else:
            x = self._matrix(rows)
            found = [
                log_probabilities(each.model, scale_columns(x, each.mean, each.scale), self.classes) for each in fits
            ]
        return [losses(scores, y, self.classes) for scores in found]

    def separates(self, fit: GridFit, weights: Array | None) -> bool:
        """Return whether a fit has all its own rows right, with a positive margin.

        The rows are read up to the first that is wrong.
        """
        rows = np.arange(len(self.y)) if weights is None else np.flatnonzero(weights)
        parts = np.split(rows, range(SEPARATION_ROWS, len(rows), SEPARATION_ROWS))
        return all(separates(self.scores([fit], part)[0], self.y[part]) for part in parts)


def _grid(estimator: Any, settings: ProbeSettings) -> tuple[str, list[float]]:
    """Return the grid's parameter, and its values from the strongest penalty to the weakest."""
    if len(settings.grid) != 1 or not next(iter(settings.grid.values())):
        raise UserError(
            f"probe '{settings.name}': grid needs one parameter with its values, got {settings.grid or 'none'}. "
            "Example: probe.grid.alpha=[0.01,0.1]"
        )
    parameter, values = next(iter(settings.grid.items()))
    if parameter not in (known := estimator.get_params()):
        raise UserError(
            f"probe '{settings.name}': {type(estimator).__name__} has no parameter '{parameter}'. "
            f"Known: {', '.join(sorted(known))}."
        )
    return parameter, sorted({float(value) for value in values}, reverse=parameter != "C")


def _offset(report: Report, first: int) -> Report:
    return lambda count: report(first + count)

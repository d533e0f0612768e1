"""Preconditioning of a logistic regression by its curvature at a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from src.probes.solvers.linear import Array
from src.probes.solvers.preconditioner import Basis, CholeskyFrame, Frame
from src.probes.solvers.softmax import SoftmaxObjective

FACTOR_ENTRIES = 1 << 29  # float64 entries of the Cholesky factors in memory: 4 GiB
NULL = 1e-12  # least curvature of a class direction: softmax ignores a common constant


@dataclass(frozen=True)
class Preconditioner:
    """Builder of the frames of an objective along the basis of its rows."""

    objective: SoftmaxObjective
    basis: Basis

    @property
    def max_factored(self) -> int:
        """Number of problems whose Cholesky factors fit into memory; 0 if one is too large."""
        return FACTOR_ENTRIES // (self.objective.outputs * (self.objective.x.shape[1] + 1) ** 2)

    @property
    def can_factor(self) -> bool:
        """Whether rows are dense and Cholesky factors of the Hessian's blocks fit into memory."""
        return self.basis.vectors is not None and self.max_factored > 0

    def frame(self, weight: Array, bias: Array, problem: int, *, cold: bool, stale: bool) -> Frame | CholeskyFrame:
        """Return the frame that fits one problem's curvature at a point.

        At weights of zero the Hessian is the class curvature times the covariance, so the frame
        makes it the identity for dense rows. Elsewhere that ignores that rows differ in curvature.

        Parameters
        ----------
        weight, bias : arrays of (outputs, width) and (outputs,)
        problem : int
        cold : bool
            Whether the weights are zero. If not, sparse rows get the Hessian's diagonal.
        stale : bool
            Whether an earlier frame did not lead to the optimum. If so, dense rows get the
            Hessian's own blocks.
        """
        objective, samples = self.objective, self.objective.weights_of(problem)
        derivative = objective.prior_derivative(bias) if cold else objective.derivative(weight, bias, problem)
        share = np.abs(derivative)
        curvature_weights = share * (1 - share) * samples
        if stale and self.can_factor:
            return CholeskyFrame(np.stack([self._factor(row, problem) for row in curvature_weights]))
        curvature = objective.class_curvature(derivative, samples)
        if self.basis.vectors is None and not cold:
            class_values, rotation = np.diag(curvature), np.eye(objective.outputs)
            values = self._diagonal(curvature_weights, problem)
        else:
            class_values, rotation = np.linalg.eigh(curvature)
            values = np.outer(np.where(class_values > NULL, class_values, 0), self.basis.values)
        scales = _inverse_root(values + objective.alpha[problem])
        return Frame(rotation, scales, _inverse_root(class_values))

    def _diagonal(self, curvature_weights: Array, problem: int) -> Array:
        """Return the diagonal (outputs, width) of the Hessian without penalty, for sparse rows."""
        objective, mean = self.objective, self.objective.mean[problem]
        values = (
            (objective.squares.T @ curvature_weights.T).T
            - 2 * mean * (objective.double.T @ curvature_weights.T).T
            + mean**2 * curvature_weights.sum(axis=1)[:, None]
        )
        return np.maximum(values, 0) / objective.scale[problem] ** 2

    def _factor(self, curvature_weights: Array, problem: int) -> Array:
        """Return the Cholesky factor (width + 1, width + 1) of one output's block of the Hessian.

        It runs along the basis; its last row and column belong to the bias.
        """
        objective, basis = self.objective, self.basis
        rows, width = objective.x.shape
        outer, cross = np.zeros((width, width)), np.zeros(width)
        for start in range(0, rows, 8192):
            part = objective.x[start : start + 8192]
            weighted = part * curvature_weights[start : start + 8192, None].astype(part.dtype) * rows
            outer += part.T @ weighted
            cross += weighted.sum(axis=0, dtype=np.float64)
        outer, cross = outer / rows, cross / rows
        mean, scale, total = objective.mean[problem], objective.scale[problem], float(curvature_weights.sum())
        outer += total * np.outer(mean, mean) - np.outer(mean, cross) - np.outer(cross, mean)
        hessian = np.empty((width + 1, width + 1))
        hessian[:-1, :-1] = basis.project(basis.project(outer / np.outer(scale, scale)).T)
        hessian[:-1, -1] = hessian[-1, :-1] = basis.project((cross - total * mean) / scale)
        hessian[-1, -1] = total
        floor = 1e-6 * float(np.trace(hessian)) / (width + 1)  # about float32's rounding in the sums
        hessian[np.arange(width), np.arange(width)] += objective.alpha[problem]
        return _cholesky(hessian, floor)


def _inverse_root(values: Array) -> Array:
    """Return 1 / sqrt(values), 0 where a value is null."""
    return np.where(values > NULL, 1 / np.sqrt(np.maximum(values, NULL)), 0)


def _cholesky(hessian: Array, floor: float) -> Array:
    """Factor a matrix, with ever more added to its diagonal until it is positive definite."""
    diagonal = np.arange(len(hessian))
    while True:
        try:
            return np.linalg.cholesky(hessian)
        except np.linalg.LinAlgError:
            hessian[diagonal, diagonal] += floor
            floor *= 10

"""Multinomial logistic regression solved to a checked optimum, dense or sparse.

A grid of penalties on one or many subsets of the same rows is one call. Every problem has its own
L-BFGS search, and each step evaluates all of them in a single pass over the rows. The searches run
in coordinates (a frame) in which the Hessian at the start is the identity. These are eigenvectors
of the Gram matrix for features, and of the class covariance at the start for classes. A dozen
passes then suffice where raw coordinates need many dozens.

The stopping rule bounds the error. Where the bias is optimal, the class probabilities are feasible
in the dual problem. The duality gap is then exactly ``||gradient||^2 / (2 alpha)``. It is evaluated
in float64 and must fall below the tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from src.probes.solvers.curvature import Preconditioner
from src.probes.solvers.lbfgs import minimise
from src.probes.solvers.linear import Array, Matrix, Problem, Report, Solution, no_report
from src.probes.solvers.moments import moments
from src.probes.solvers.preconditioner import Basis, CholeskyFrame, Frame
from src.probes.solvers.softmax import SoftmaxObjective
from src.runtime.parallel import parallel_map

ROUND_LIMIT = 60  # evaluations in one frame (system of coordinates)
LIMIT = 1000  # evaluations of one problem
SPARSE_LIMIT = 200  # sparse counts under a weak penalty are separable, and would take thousands

Point = tuple[Array, Array]  # weights (outputs, width) and bias (outputs,)


def solve_logistic(
    x: Matrix,
    y: Array,
    classes: int,
    problems: Sequence[Problem],
    *,
    basis: Basis | None = None,
    tolerance: float = 1e-9,
    report: Report = no_report,
) -> list[Solution]:
    """Minimise mean log-loss + alpha / 2 ||W||^2 (bias free) for every problem.

    Parameters
    ----------
    x : (rows, width) float32 or float64 array, or CSR matrix
    y : (rows,) int64
        Class ids 0 to classes - 1; every class occurs among each problem's rows.
    classes : int
    problems : sequence of Problem
    basis : Basis, optional
        Of the rows; computed if not given.
    tolerance : float
        Bound on the objective's distance to its optimum.
    report : callable, optional
        Called with the number of problems that are solved.

    Returns
    -------
    list of Solution, one per problem
        `gap` is the duality gap in float64. Without a penalty it is the squared Newton decrement:
        by the Hessian's block of each class for more than two classes, by its diagonal for sparse
        rows. Separable rows then do not converge.
    """
    with parallel_map() as over:
        if any(problem.mean is None for problem in problems):
            means, _ = moments(x, [problem.weights for problem in problems])
            problems = [
                problem if problem.mean is not None else replace(problem, mean=mean)
                for problem, mean in zip(problems, means, strict=True)
            ]
        objective = SoftmaxObjective(x, y, classes, problems, over)
        search = _Search(objective, basis or Basis.of(x), tolerance, report)
        return search.solve(SPARSE_LIMIT if sp.issparse(x) else LIMIT)


@dataclass(frozen=True)
class _Search:
    """Joint search of all problems of an objective for their optima."""

    objective: SoftmaxObjective
    basis: Basis
    tolerance: float
    report: Report

    def solve(self, limit: int) -> list[Solution]:
        """Search in rounds.

        A frame fits the curvature at its start. Where it did not lead to the optimum, the next
        round takes a new one.
        """
        objective, problems = self.objective, self.objective.problems
        preconditioner = Preconditioner(objective, self.basis)
        points = [self._start(index) for index in range(len(problems))]
        answers: dict[int, Solution] = {}
        spent = np.zeros(len(problems), dtype=int)
        active = list(range(len(problems)))
        while active:
            stale = bool(answers)
            factored = stale and self.basis.vectors is not None
            chosen = active[: max(1, preconditioner.max_factored)] if factored else active
            frames = {}
            for index in chosen:
                cold = not stale and problems[index].start is None
                frames[index] = preconditioner.frame(*points[index], index, cold=cold, stale=stale)
            for index, found in self._round(frames, points, min(ROUND_LIMIT, limit)).items():
                spent[index] += max(1, found.evaluations)  # a round without an evaluation has to end too
                points[index] = (found.weight, found.bias)
                answers[index] = replace(found, evaluations=int(spent[index]))
            # Without a penalty, the gap is exact only in the frame of the Hessian at this point.
            done = {index for index in chosen if answers[index].converged and (problems[index].alpha > 0 or stale)}
            active = [index for index in active if index not in done and spent[index] < limit]
        gap_is_known = self.basis.vectors is None or preconditioner.can_factor
        for index, problem in enumerate(problems):
            # The loss of separated rows has no least value.
            if problem.alpha == 0 and (not gap_is_known or objective.is_separated(answers[index], index)):
                answers[index] = replace(answers[index], converged=False)
        return [answers[index] for index in range(len(problems))]

    def _start(self, index: int) -> Point:
        start = self.objective.problems[index].start
        if start is not None:
            return start.weight, start.bias
        return np.zeros((self.objective.outputs, self.objective.x.shape[1])), self.objective.prior_bias(index)

    def _round(
        self, frames: Mapping[int, Frame | CholeskyFrame], points: Sequence[Point], limit: int
    ) -> dict[int, Solution]:
        """Advance problems together, each in its own frame, for at most `limit` evaluations."""
        objective, basis = self.objective, self.basis
        searches = {
            index: minimise(frame.encode(basis, *points[index]), self.tolerance, limit)
            for index, frame in frames.items()
        }
        requests = {index: next(search) for index, search in searches.items()}
        biases: dict[int, Array] = {}  # the optimal bias of the last exact point, where the next search for it starts
        answers: dict[int, Solution] = {}
        counts = dict.fromkeys(frames, 0)
        while requests:
            # Exact evaluations wait for each other: each pass in float64 converts all rows, twice.
            exact = all(asked for _, asked in requests.values())
            active = np.array([index for index, (_, asked) in requests.items() if asked == exact], dtype=np.int64)
            parts = [frames[index].decode(requests[index][0]) for index in map(int, active)]
            weight = basis.reconstruct(np.stack([part[0] for part in parts], axis=1))
            bias = np.stack([biases.get(i, part[1]) for i, part in zip(active, parts, strict=True)], axis=1)
            value, gradient, bias, bias_gradient = self._evaluate(weight, bias, active, exact)
            along_basis = basis.project(gradient)
            for column, index in enumerate(map(int, active)):
                counts[index] += 1
                reply = frames[index].gradient(along_basis[:, column], bias_gradient[:, column])
                alpha = float(objective.alpha[index])
                square = float(np.sum(gradient[:, column] ** 2)) if alpha > 0 else float(reply @ reply)
                gap = square / (2 * alpha) if alpha > 0 else square
                if exact:
                    biases[index] = bias[:, column]
                    answers[index] = objective.problems[index].solution(
                        weight[:, column], bias[:, column], objective=float(value[column]), gap=gap,
                        tolerance=self.tolerance, evaluations=counts[index],
                    )  # fmt: skip
                try:
                    requests[index] = searches[index].send((float(value[column]), reply, gap))
                except StopIteration:
                    del requests[index]
            self.report(len(objective.problems) - len(requests))
        return answers

    def _evaluate(self, weight: Array, bias: Array, active: Array, exact: bool) -> tuple[Array, Array, Array, Array]:
        """Return objective, gradient of the weights, bias, and gradient of the bias."""
        if exact:
            value, gradient, bias = self.objective.evaluate_exact(weight, bias, active)
            return value, gradient, bias, np.zeros_like(bias)
        value, gradient, bias_gradient = self.objective.evaluate(weight, bias, active)
        return value, gradient, bias, bias_gradient

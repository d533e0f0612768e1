"""Multinomial logistic regression solved to a checked optimum, dense or sparse.

A grid of penalties, on one or many subsets of the same rows, is one call: every problem walks its own L-BFGS path, and each step
evaluates all of them in a single pass over the rows. The paths run in coordinates in which the Hessian at the start is the identity
(eigenvectors of the Gram matrix for the features, of the start's class covariance for the classes), so that a dozen passes suffice where
raw coordinates need many dozens.

The stopping rule is a proof. Where the intercept is optimal for the weights, the class probabilities are feasible in the dual problem and
the duality gap is exactly ``||gradient||^2 / (2 alpha)``; it is evaluated in float64 and must fall below the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.probes.solvers.descent import Basis, Factored, Frame, descend
from src.probes.solvers.linear import Array, Matrix, Solution, Task, Tell, blocks, moments, separates, silent, threads

ROUND = 60  # evaluations in one frame
LIMIT = 1000  # most evaluations of one problem
SPARSE_LIMIT = 200  # sparse counts under a weak penalty are separable, and would take thousands
FACTORED = 1 << 29  # entries of Cholesky factors held at once: 4 GiB
NULL = (
    1e-12  # class directions with less curvature than this have none: softmax ignores a constant added to all classes
)


class Softmax:
    """Loss and gradient of several tasks at once. Outputs: 1 (sigmoid) for two classes, else one per class (softmax).

    Arrays of coefficients are (outputs, tasks, width): reductions over classes then run along contiguous rows.
    """

    def __init__(
        self, x: Matrix, y: Array, classes: int, tasks: Sequence[Task], each: Callable[..., Iterable[Any]]
    ) -> None:
        self.x, self.y, self.tasks = x, y, tasks
        self.each = each
        self.outputs = 1 if classes == 2 else classes
        rows, width = x.shape
        distinct: dict[int, int] = {}
        masses: list[Array] = []
        for task in tasks:
            if id(task.weights) not in distinct:
                distinct[id(task.weights)] = len(masses)
                masses.append(np.ones(rows) if task.weights is None else np.asarray(task.weights, dtype=np.float64))
        self.mass = np.stack(masses)
        self.mass /= self.mass.sum(axis=1, keepdims=True)  # each task's rows weigh 1 together
        self.mass_single = self.mass.astype(np.float32)
        self.which = np.array([distinct[id(task.weights)] for task in tasks])
        self.mean = np.stack([np.zeros(width) if task.mean is None else task.mean for task in tasks])
        self.scale = np.stack([np.ones(width) if task.scale is None else task.scale for task in tasks])
        self.alpha = np.array([task.alpha for task in tasks])
        self.blocks = blocks(x)
        if sp.issparse(x):
            self._wide = x.astype(np.float64)
            self._square = self._wide.multiply(self._wide).tocsr()
        self.sign = np.where(y == 1, 1, -1).astype(np.float32)

    def _scores(self, x: Matrix, weight: Array, bias: Array) -> Array:
        """Decision values (outputs, tasks, rows) of one block, in the precision of `weight`."""
        flat = weight.reshape(-1, weight.shape[-1])
        out = np.ascontiguousarray((x @ flat.T).T) if sp.issparse(x) else flat @ x.T
        out = out.reshape(*weight.shape[:2], x.shape[0])
        out += bias[:, :, None]
        return out

    def _loss(self, scores: Array, part: slice) -> tuple[Array, Array]:
        """Log-loss of each row (tasks, rows) and its derivative (outputs, tasks, rows), which replaces `scores`."""
        if self.outputs == 1:
            sign = self.sign[part].astype(scores.dtype, copy=False)
            margin = scores[0]
            margin *= sign
            small = np.exp(-np.abs(margin))
            loss = np.log1p(small)
            loss -= np.minimum(margin, 0)
            derivative = np.where(margin > 0, small, 1)
            small += 1
            derivative /= small
            derivative *= -sign
            return loss, derivative[None]
        label = self.y[part]
        scores -= scores.max(axis=0)
        rows = np.arange(len(label))
        loss = -scores[label, :, rows].T
        np.exp(scores, out=scores)
        total = scores.sum(axis=0)
        scores /= total
        loss += np.log(total)
        scores[label, :, rows] -= 1
        return loss, scores

    def _folded(self, weight: Array, bias: Array, active: Array) -> tuple[Array, Array]:
        folded = weight / self.scale[active]
        return folded, bias - np.einsum("ktd,td->kt", folded, self.mean[active])

    def _objective(self, weight: Array, active: Array) -> Array:
        return 0.5 * self.alpha[active] * np.einsum("ktd,ktd->t", weight, weight)

    def _unfold(self, raw: Array, total: Array, weight: Array, active: Array) -> Array:
        """Gradient for the standardised features from that for the stored ones."""
        gradient = (raw - total[:, :, None] * self.mean[active]) / self.scale[active]
        return gradient + self.alpha[active, None] * weight

    def cheap(self, weight: Array, bias: Array, active: Array) -> tuple[Array, Array, Array]:
        """Objective (tasks,), gradient of the weights and of the bias: products in the precision of `x`, sums over blocks in float64."""
        precision = np.float32 if self.x.dtype == np.float32 else np.float64
        folded, shift = (part.astype(precision) for part in self._folded(weight, bias, active))
        mass = self.mass_single if precision == np.float32 else self.mass
        which = self.which[active]
        shared = bool((which == which[0]).all())

        def one(part: slice) -> tuple[Array, Array, Array]:
            block = self.x[part] if not sp.issparse(self.x) else self.x
            loss, derivative = self._loss(self._scores(block, folded, shift), part)
            share = mass[which[:1], part] if shared else mass[which, part]
            value = loss @ share[0] if shared else np.einsum("tr,tr->t", loss, share)
            derivative *= share
            return value.astype(np.float64), self._collect(derivative, block), derivative.sum(axis=2, dtype=np.float64)

        value, raw, total = self._summed(one, weight, bias)
        return value + self._objective(weight, active), self._unfold(raw, total, weight, active), total

    def _summed(
        self, one: Callable[[slice], tuple[Array, Array, Array]], weight: Array, bias: Array
    ) -> tuple[Array, Array, Array]:
        """Sum what `one` makes of each block, in float64 and in the order of the blocks, so that the threads leave no trace in the bits."""
        value, raw, total = np.zeros(weight.shape[1]), np.zeros(weight.shape), np.zeros(bias.shape)
        for parts in self.each(one, self.blocks):
            value += parts[0]
            raw += parts[1]
            total += parts[2]
        return value, raw, total

    def _collect(self, derivative: Array, block: Matrix) -> Array:
        flat = derivative.reshape(-1, derivative.shape[-1])
        out = (block.T @ flat.T).T if sp.issparse(block) else flat @ block
        return out.reshape(*derivative.shape[:2], -1)

    def exact(self, weight: Array, bias: Array, active: Array) -> tuple[Array, Array, Array]:
        """Objective and gradient of the weights in float64, at the bias that is optimal for them, which is returned too.

        Two passes: the decision values of all rows are kept, the bias is solved by Newton's method, then the gradient is collected.
        """
        folded, shift = self._folded(weight, np.zeros_like(bias), active)
        scores = np.empty((*bias.shape, self.x.shape[0]))

        def score(part: slice) -> None:
            scores[:, :, part] = self._scores(self._double(part), folded, shift)

        list(self.each(score, self.blocks))
        bias = np.stack(
            list(
                self.each(
                    lambda column: self._intercept(
                        scores[:, column], bias[:, column], self.mass[self.which[active[column]]]
                    ),
                    range(len(active)),
                )
            ),
            axis=1,
        )
        if (
            self.outputs > 1
        ):  # a constant added to all classes changes nothing; without one, equal problems have equal decision values
            bias -= bias.mean(axis=0)
        mass = self.mass[self.which[active]]

        def one(part: slice) -> tuple[Array, Array, Array]:
            loss, derivative = self._loss(scores[:, :, part] + bias[:, :, None], part)
            value = np.einsum("tr,tr->t", loss, mass[:, part])
            derivative *= mass[:, part]
            return value, self._collect(derivative, self._double(part)), derivative.sum(axis=2)

        value, raw, total = self._summed(one, weight, bias)
        return value + self._objective(weight, active), self._unfold(raw, total, weight, active), bias

    def _double(self, part: slice) -> Matrix:
        return self._wide if sp.issparse(self.x) else self.x[part].astype(np.float64)

    def _intercept(self, scores: Array, bias: Array, mass: Array) -> Array:
        """The bias (outputs,) that minimises the loss at fixed scores (outputs, rows): Newton's method, halved while it overshoots."""
        rows = slice(0, len(mass))

        def at(bias: Array) -> tuple[float, Array, Array]:
            loss, derivative = self._loss((scores + bias[:, None])[:, None].copy(), rows)
            return float(loss[0] @ mass), derivative[:, 0], derivative[:, 0] @ mass

        value, derivative, gradient = at(bias)
        for _ in range(30):
            if np.abs(gradient).max() <= 1e-15:
                break
            step = np.linalg.pinv(self._class_curvature(derivative, mass), rcond=1e-10, hermitian=True) @ gradient
            for _ in range(30):
                new_value, new_derivative, new_gradient = at(bias - step)
                if new_value < value or np.abs(new_gradient).max() < np.abs(gradient).max():
                    break
                step = step / 2
            else:
                break
            bias, value, derivative, gradient = bias - step, new_value, new_derivative, new_gradient
        return bias

    def _class_curvature(self, derivative: Array, mass: Array) -> Array:
        """Mean of ``diag(p) - p p'`` (outputs, outputs), from the derivatives (outputs, rows) of the loss."""
        if self.outputs == 1:
            share = np.abs(derivative[0])
            return np.array([[float((share * (1 - share)) @ mass)]])
        probability = derivative.copy()
        probability[self.y, np.arange(len(self.y))] += 1
        return np.diag(probability @ mass) - (probability * mass) @ probability.T

    def frame(
        self, weight: Array, bias: Array, task: int, basis: Basis, *, cold: bool, stale: bool
    ) -> Frame | Factored:
        """The frame that fits one task's curvature at a point.

        At weights of zero (`cold`) the Hessian is the class curvature times the covariance, and dense rows see it as the identity.
        Elsewhere that ignores that rows differ in curvature: where such a frame did not lead to the optimum (`stale`), dense rows get the
        Hessian's own blocks, and sparse rows, whenever they do not start from zero, its diagonal.
        """
        alpha, mass = self.alpha[task], self.mass[self.which[task]]
        if cold and self.outputs > 1:
            share = np.exp(bias - bias.max())
            derivative = np.repeat((share / share.sum())[:, None], self.x.shape[0], axis=1)
            derivative[self.y, np.arange(len(self.y))] -= 1
        else:
            derivative = self._derivative(weight, bias, task)
        share = np.abs(derivative)
        bend = share * (1 - share) * mass
        if stale and basis.vectors is not None and self.factored() > 0:
            return Factored(np.stack([self._factor(row, task, basis) for row in bend]))
        curvature = self._class_curvature(derivative, mass)
        if basis.vectors is None and not cold:
            spread = (
                (self._square.T @ bend.T).T
                - 2 * self.mean[task] * (self._wide.T @ bend.T).T
                + self.mean[task] ** 2 * bend.sum(axis=1)[:, None]
            )
            spread, bends, spin = (
                np.maximum(spread, 0) / self.scale[task] ** 2,
                np.diag(curvature),
                np.eye(self.outputs),
            )
        else:
            bends, spin = np.linalg.eigh(curvature)
            spread = np.outer(np.where(bends > NULL, bends, 0), basis.values)
        spread = spread + alpha
        stretch = np.where(spread > NULL, 1 / np.sqrt(np.maximum(spread, NULL)), 0)
        return Frame(spin, stretch, np.where(bends > NULL, 1 / np.sqrt(np.maximum(bends, NULL)), 0))

    def factored(self) -> int:
        """Tasks whose Cholesky factors may be held at once."""
        return FACTORED // (self.outputs * (self.x.shape[1] + 1) ** 2)

    def _factor(self, bend: Array, task: int, basis: Basis) -> Array:
        """Cholesky factor (width + 1, width + 1) of one output's block of the Hessian along the basis; rows curve by `bend` (rows,)."""
        width = self.x.shape[1]
        outer, cross = np.zeros((width, width)), np.zeros(width)
        for start in range(0, len(bend), 8192):
            part = self.x[start : start + 8192]
            bent = part * bend[start : start + 8192, None].astype(part.dtype) * len(bend)
            outer += part.T @ bent
            cross += bent.sum(axis=0, dtype=np.float64)
        outer, cross = outer / len(bend), cross / len(bend)
        mean, scale, total = self.mean[task], self.scale[task], float(bend.sum())
        outer += total * np.outer(mean, mean) - np.outer(mean, cross) - np.outer(cross, mean)
        hessian = np.empty((width + 1, width + 1))
        hessian[:-1, :-1] = basis.into(basis.into(outer / np.outer(scale, scale)).T)
        hessian[:-1, -1] = hessian[-1, :-1] = basis.into((cross - total * mean) / scale)
        hessian[-1, -1] = total
        floor = (
            1e-6 * float(np.trace(hessian)) / (width + 1)
        )  # of the order of float32's rounding in the sums: keeps the factor positive
        hessian[np.arange(width), np.arange(width)] += self.alpha[task]
        while True:
            try:
                return np.linalg.cholesky(hessian)
            except np.linalg.LinAlgError:
                hessian[np.arange(width + 1), np.arange(width + 1)] += floor
                floor *= 10

    def _derivative(self, weight: Array, bias: Array, task: int) -> Array:
        """Derivative of each row's loss (outputs, rows) at one task's point."""
        folded, shift = self._folded(weight[:, None], bias[:, None], np.array([task]))
        precision = np.float32 if self.x.dtype == np.float32 else np.float64
        folded, shift = folded.astype(precision), shift.astype(precision)
        out = np.empty((self.outputs, self.x.shape[0]))

        def fill(part: slice) -> None:
            block = self.x[part] if not sp.issparse(self.x) else self.x
            out[:, part] = self._loss(self._scores(block, folded, shift), part)[1][:, 0]

        list(self.each(fill, self.blocks))
        return out

    def separated(self, solution: Solution, task: int) -> bool:
        """Are all of the task's rows on their own class's side, with a positive margin?"""
        kept = self.mass[self.which[task]] > 0
        return separates(solution.decide(self.x)[kept], self.y[kept])

    def prior(self, task: int) -> Array:
        """The bias that is optimal for weights of zero."""
        mass = self.mass[self.which[task]]
        counts = np.bincount(self.y, weights=mass, minlength=max(self.outputs, 2))
        return np.log(counts[1:] / counts[:1]) if self.outputs == 1 else np.log(counts) - np.log(counts).mean()


def solve_logistic(
    x: Matrix,
    y: Array,
    classes: int,
    tasks: Sequence[Task],
    *,
    basis: Basis | None = None,
    tolerance: float = 1e-9,
    tell: Tell = silent,
) -> list[Solution]:
    """Minimise mean log-loss + alpha / 2 ||W||^2 (bias free) for every task, all in the same passes over the rows.

    Parameters
    ----------
    x : (rows, width) float32 or float64 array, or CSR matrix
    y : (rows,) int64, class ids 0 to classes - 1; every class occurs among each task's rows
    tolerance : bound on the objective's distance to its optimum

    Returns
    -------
    list of Solution, one per task
        `gap` is the duality gap, in float64. Without a penalty there is none: it is then the squared Newton decrement (for more than two
        classes by the Hessian's own block of each class, for sparse rows by its diagonal), and where the rows are separable nothing has
        converged.
    """
    with threads() as each:
        if any(task.mean is None for task in tasks):
            centre, _ = moments(x, [task.weights for task in tasks])
            tasks = [
                task if task.mean is not None else replace(task, mean=row)
                for task, row in zip(tasks, centre, strict=True)
            ]
        problem = Softmax(x, y, classes, tasks, each)
        return _in_rounds(problem, basis or Basis.of(x), tolerance, SPARSE_LIMIT if sp.issparse(x) else LIMIT, tell)


def _in_rounds(problem: Softmax, basis: Basis, tolerance: float, limit: int, tell: Tell) -> list[Solution]:
    """Walk every task, and again in a new frame where the old one did not lead to its optimum, as it fits the start's curvature."""
    tasks = problem.tasks
    cold = (problem.outputs, problem.x.shape[1])
    points = [
        (np.zeros(cold), problem.prior(index)) if task.start is None else (task.start.weight, task.start.bias)
        for index, task in enumerate(tasks)
    ]
    answers: dict[int, Solution] = {}
    spent = np.zeros(len(tasks), dtype=int)
    active = list(range(len(tasks)))
    while active:
        stale = bool(answers)
        walked = active[: max(1, problem.factored())] if stale and basis.vectors is not None else active
        frames = {
            index: problem.frame(
                points[index][0],
                points[index][1],
                index,
                basis,
                cold=not stale and tasks[index].start is None,
                stale=stale,
            )
            for index in walked
        }
        for index, found in _walk(problem, frames, points, basis, tolerance, min(ROUND, limit), tell).items():
            spent[index] += max(1, found.evaluations)  # a round that found nothing to do has to end too
            points[index] = (found.weight, found.bias)
            answers[index] = replace(found, evaluations=int(spent[index]))
        # without a penalty the gap is read off the frame, which has to be the Hessian's own for that
        done = {index for index in walked if answers[index].converged and (tasks[index].alpha > 0 or stale)}
        active = [index for index in active if index not in done and spent[index] < limit]
    certain = basis.vectors is None or problem.factored() > 0  # else the Hessian's own frame was too large to be made
    for index, task in enumerate(tasks):
        if task.alpha == 0 and (
            not certain or problem.separated(answers[index], index)
        ):  # separated rows: the loss has no least value
            answers[index] = replace(answers[index], converged=False)
    return [answers[index] for index in range(len(tasks))]


def _walk(
    problem: Softmax,
    frames: Mapping[int, Frame | Factored],
    points: Sequence[tuple[Array, Array]],
    basis: Basis,
    tolerance: float,
    limit: int,
    tell: Tell,
) -> dict[int, Solution]:
    """Advance the paths of several tasks in step, each in its own frame, until each has converged or made `limit` evaluations."""
    paths = {task: descend(frame.inner(basis, *points[task]), tolerance, limit) for task, frame in frames.items()}
    asked = {task: next(path) for task, path in paths.items()}
    biases: dict[int, Array] = {}  # once exact: the optimal bias of the last point, where the next search for it starts
    answers: dict[int, Solution] = {}
    counts = dict.fromkeys(frames, 0)
    while asked:
        for exact in (False, True):
            chosen = np.array([task for task, (_, wanted) in asked.items() if wanted == exact], dtype=np.int64)
            if not len(chosen):
                continue
            parts = [frames[task].outer(asked[task][0]) for task in map(int, chosen)]
            weight = basis.back(np.stack([part[0] for part in parts], axis=1))
            bias = np.stack([biases.get(task, part[1]) for task, part in zip(chosen, parts, strict=True)], axis=1)
            if exact:
                value, gradient, bias = problem.exact(weight, bias, chosen)
                lean = np.zeros_like(bias)
            else:
                value, gradient, lean = problem.cheap(weight, bias, chosen)
            turned = basis.into(gradient)
            for column, task in enumerate(map(int, chosen)):
                counts[task] += 1
                reply = frames[task].gradient(turned[:, column], lean[:, column])
                alpha = float(problem.alpha[task])
                gap = float(np.sum(gradient[:, column] ** 2)) / (2 * alpha) if alpha > 0 else float(reply @ reply)
                if exact:
                    biases[task] = bias[:, column]
                    given = problem.tasks[task]
                    answers[task] = Solution(
                        given.alpha,
                        weight[:, column],
                        bias[:, column],
                        float(value[column]),
                        gap,
                        gap <= tolerance,
                        counts[task],
                        given.mean,
                        given.scale,
                    )
                try:
                    asked[task] = paths[task].send((float(value[column]), reply, gap))
                except StopIteration:
                    del asked[task]
        tell(len(problem.tasks) - len(asked))
    return answers

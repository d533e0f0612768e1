"""Linear probes solved to a checked optimum: multinomial logistic regression and ridge, dense or sparse.

A grid of penalties, on one or many subsets of the same rows, is one call: every problem walks its own L-BFGS path, and each step
evaluates all of them in a single pass over the rows. The paths run in coordinates in which the Hessian at the start is the identity
(eigenvectors of the Gram matrix for the features, of the start's class covariance for the classes), so that a dozen passes suffice where
raw coordinates need many dozens.

The stopping rule is a proof. Where the intercept is optimal for the weights, the class probabilities are feasible in the dual problem and
the duality gap is exactly ``||gradient||^2 / (2 alpha)``; it is evaluated in float64 and must fall below the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular
from scipy.sparse.linalg import LinearOperator, cg

from src.errors import UserError

Array = NDArray[Any]
Matrix = Any  # (rows, width): a float array, or a scipy CSR matrix

BLOCK_BYTES = 4 << 20  # a block of rows is read from memory once and used twice while it is in the cache
ROUND = 60  # evaluations in one frame
LIMIT, SPARSE_LIMIT = (
    1000,
    200,
)  # most evaluations of one problem; sparse counts under a weak penalty are separable, and would take thousands
MEMORY = 12  # pairs that an L-BFGS path remembers
NULL = 1e-12  # class directions with less curvature than this have none: softmax ignores a constant added to all classes


@dataclass(frozen=True)
class Task:
    """One problem on shared rows: fit on the rows with a positive weight, features read as ``(x - mean) / scale``.

    ``weights`` (rows,) are multiplicities: 1 or 0 for a subset, counts for a bootstrap resample, None for all rows once. Because the
    intercept is free, ``mean`` changes the conditioning alone, never the weights found; None is the mean of the task's own rows.
    """

    alpha: float
    weights: Array | None = None
    mean: Array | None = None
    scale: Array | None = None
    start: Solution | None = None


@dataclass(frozen=True)
class Solution:
    """Weights (outputs, width) and bias (outputs,) for ``(x - mean) / scale``; `gap` bounds the objective's distance to its optimum."""

    alpha: float
    weight: Array
    bias: Array
    objective: float
    gap: float
    converged: bool
    evaluations: int
    mean: Array | None = field(default=None, repr=False)
    scale: Array | None = field(default=None, repr=False)

    def folded(self) -> tuple[Array, Array]:
        """Weight and bias that act on the features as they are stored."""
        weight = self.weight if self.scale is None else self.weight / self.scale
        return weight, self.bias if self.mean is None else self.bias - weight @ self.mean

    def decide(self, x: Matrix) -> Array:
        """Decision values (rows, outputs), float64."""
        return linear(x, *self.folded())


_running: ContextVar[Callable[..., Iterable[Any]] | None] = ContextVar("_running", default=None)


@contextmanager
def threads() -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` on as many threads as BLAS may use, BLAS itself on one: the threads then meet once a pass and not at every small product.

    On a machine that is shared, a BLAS thread that waits for its twin costs ten times the product. Entered again, it gives the same `map`.
    """
    from threadpoolctl import threadpool_info, threadpool_limits

    outer = _running.get()
    if outer is not None:
        yield outer
        return
    number = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(number) as pool:
        token = _running.set(pool.map)
        try:
            yield pool.map
        finally:
            _running.reset(token)


def blocks(x: Matrix) -> list[slice]:
    """Row ranges that fit the cache."""
    rows = x.shape[0]
    step = max(256, BLOCK_BYTES // (4 * x.shape[1])) if not sp.issparse(x) else max(rows, 1)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def linear(x: Matrix, weight: Array, bias: Array) -> Array:
    """``x @ weight.T + bias`` in float64, whatever the precision of `x`; returns (rows, outputs)."""
    if sp.issparse(x):
        return np.asarray(x.astype(np.float64) @ weight.T) + bias
    out = np.empty((x.shape[0], weight.shape[0]))

    def fill(part: slice) -> None:
        out[part] = x[part].astype(np.float64) @ weight.T + bias

    with threads() as each:
        list(each(fill, blocks(x)))
    return out


def separates(scores: Array, y: Array) -> bool:
    """Is each row's own class strictly ahead, in decision values (rows, outputs)?"""
    if scores.shape[1] == 1:
        return bool((np.where(y == 1, scores[:, 0], -scores[:, 0]) > 0).all())
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    return bool((scores[np.arange(len(y)), y] > others.max(axis=1)).all())


def gram(x: Matrix, dtype: Any = np.float32) -> tuple[Array, Array]:
    """Sum of the rows (width,) and of their outer products (width, width); float64 sums of block products in `dtype`."""

    def slab(number: int) -> tuple[Array, Array]:
        total, products = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
        for start in range(number * 4096, x.shape[0], 4 * 4096):  # four slabs whatever the threads, so that the sums do not depend on them
            part = np.asarray(x[start : start + 4096], dtype=dtype)
            total += part.sum(axis=0, dtype=np.float64)
            products += part.T @ part
        return total, products

    with threads() as each:
        totals, products = zip(*each(slab, range(4)), strict=True)
    return np.sum(totals, axis=0), np.sum(products, axis=0)


def moments(x: Matrix, weights: Sequence[Array | None]) -> tuple[Array, Array]:
    """Mean and standard deviation of each column over the weighted rows, each (len(weights), width), float64; constant columns get 1.

    Accurate where a column's mean is not many times its spread, which holds for features that were standardised once on all rows.
    """
    mass = np.stack([np.ones(x.shape[0]) if weight is None else np.asarray(weight, dtype=np.float64) for weight in weights])
    mass /= mass.sum(axis=1, keepdims=True)
    if sp.issparse(x):
        exact = x.astype(np.float64)
        mean, square = (exact.T @ mass.T).T, (exact.multiply(exact).T @ mass.T).T
    else:

        def sums(part: slice) -> tuple[Array, Array]:
            exact = x[part].astype(np.float64)
            return mass[:, part] @ exact, mass[:, part] @ (exact * exact)

        mean, square = np.zeros((len(mass), x.shape[1])), np.zeros((len(mass), x.shape[1]))
        with threads() as each:
            for first, second in each(sums, blocks(x)):
                mean += first
                square += second
    variance = np.maximum(square - mean**2, 0)
    spread = np.sqrt(variance)
    return mean, np.where(variance <= 1e-12 * np.maximum(square, 1e-300), 1.0, spread)


@dataclass(frozen=True)
class Basis:
    """Eigenvectors (width, width) and eigenvalues (width,) of the rows' covariance; vectors None: its diagonal alone."""

    values: Array
    vectors: Array | None

    @classmethod
    def of(cls, x: Matrix) -> Basis:
        """The covariance of all rows of `x`. It only preconditions, so float32 will do and one basis serves every subset of the rows."""
        rows = x.shape[0]
        if sp.issparse(x):
            _, spread = moments(x, [None])
            return cls(spread[0] ** 2, None)
        total, products = gram(x)
        products /= rows
        products -= np.outer(total / rows, total / rows)
        values, vectors = eigh(products.astype(np.float32 if x.shape[1] > 1024 else np.float64), driver="evd", overwrite_a=True)
        return cls(np.maximum(values, 0).astype(np.float64), vectors.astype(np.float64))

    def into(self, array: Array) -> Array:
        return array if self.vectors is None else array @ self.vectors

    def back(self, array: Array) -> Array:
        return array if self.vectors is None else array @ self.vectors.T


Step = Generator[tuple[Array, bool], tuple[float, Array, float], None]


def descend(point: Array, tolerance: float, limit: int) -> Step:
    """L-BFGS for a smooth convex function, as a coroutine: yields (point, exact), is sent (value, gradient, gap bound) there.

    It asks for cheap evaluations until the bound falls below the tolerance or rounding stops the progress, then for exact ones. The last
    point it yields is the answer. Steps are accepted by Armijo's rule or, where rounding hides the decrease, by the slope alone (Hager
    and Zhang 2005).
    """
    exact = False
    value, gradient, gap = yield point, exact
    pairs: list[tuple[Array, Array, float]] = []
    used = 1
    while used < limit:
        if gap <= tolerance:
            if exact:
                return
            exact, used = True, used + 1
            value, gradient, gap = yield point, exact
            continue
        direction = -_inverse_hessian(pairs, gradient)
        slope = float(direction @ gradient)
        if not slope < 0:
            pairs, direction = [], -gradient
            slope = float(direction @ gradient)
        noise, step, accepted = (1e-14 if exact else 1e-7) * max(1.0, abs(value)), 1.0, False
        for _ in range(12):
            candidate = point + step * direction
            new_value, new_gradient, new_gap = yield candidate, exact
            used += 1
            new_slope = float(direction @ new_gradient)
            if new_value <= value + 1e-4 * step * slope or (new_value <= value + noise and new_slope <= -0.8 * slope):
                accepted = True
                break
            step *= min(0.5, max(0.1, slope / (slope - new_slope))) if new_slope > slope else 0.5
        if not accepted:
            if exact:  # nothing left to gain in float64: the last point asked for is the answer
                yield point, exact
                return
            exact, pairs, used = True, [], used + 1
            value, gradient, gap = yield point, exact
            continue
        change, bend = candidate - point, new_gradient - gradient
        curvature = float(change @ bend)
        if curvature > 1e-14 * float(bend @ bend):
            pairs = [*pairs[-MEMORY + 1 :], (change, bend, curvature)]
        point, value, gradient, gap = candidate, new_value, new_gradient, new_gap
    yield point, True


def _inverse_hessian(pairs: list[tuple[Array, Array, float]], gradient: Array) -> Array:
    """The two-loop recursion of L-BFGS (Nocedal 1980)."""
    vector, factors = gradient.copy(), []
    for change, bend, curvature in reversed(pairs):
        factor = float(change @ vector) / curvature
        vector -= factor * bend
        factors.append(factor)
    if pairs:
        _, bend, curvature = pairs[-1]
        vector *= curvature / float(bend @ bend)
    for (change, bend, curvature), factor in zip(pairs, reversed(factors), strict=True):
        vector += (factor - float(bend @ vector) / curvature) * change
    return vector


@dataclass(frozen=True)
class _Frame:
    """Coordinates in which the Hessian is near the identity: class directions, and a stretch for each class and feature direction."""

    spin: Array  # (outputs, outputs), orthogonal
    stretch: Array  # (outputs, width); 0 where nothing depends on the coordinate
    lift: Array  # (outputs,), the same for the bias

    def inner(self, basis: Basis, weight: Array, bias: Array) -> Array:
        """A point in these coordinates, flat."""
        turned, leaned = self.spin.T @ basis.into(weight), self.spin.T @ bias
        return np.concatenate(
            [
                np.divide(turned, self.stretch, out=np.zeros_like(turned), where=self.stretch > 0).ravel(),
                np.divide(leaned, self.lift, out=np.zeros_like(leaned), where=self.lift > 0),
            ]
        )

    def outer(self, point: Array) -> tuple[Array, Array]:
        """Weights along the basis (outputs, width) and bias (outputs,) of a flat point."""
        outputs = len(self.lift)
        return self.spin @ (self.stretch * point[:-outputs].reshape(outputs, -1)), self.spin @ (self.lift * point[-outputs:])

    def gradient(self, turned: Array, lean: Array) -> Array:
        """The gradient of a flat point, from those of the weights along the basis and of the bias."""
        return np.concatenate([(self.stretch * (self.spin.T @ turned)).ravel(), self.lift * (self.spin.T @ lean)])


@dataclass(frozen=True)
class _Factored:
    """The same from the Hessian's own block of each output, bias included: lower Cholesky factors (outputs, width + 1, width + 1)."""

    factors: Array

    def inner(self, basis: Basis, weight: Array, bias: Array) -> Array:
        joined = np.concatenate([basis.into(weight), bias[:, None]], axis=1)
        return np.concatenate([factor.T @ part for factor, part in zip(self.factors, joined, strict=True)])

    def outer(self, point: Array) -> tuple[Array, Array]:
        parts = point.reshape(len(self.factors), -1)
        joined = np.stack([solve_triangular(factor, part, lower=True, trans="T") for factor, part in zip(self.factors, parts, strict=True)])
        return joined[:, :-1], joined[:, -1]

    def gradient(self, turned: Array, lean: Array) -> Array:
        joined = np.concatenate([turned, lean[:, None]], axis=1)
        return np.concatenate([solve_triangular(factor, part, lower=True) for factor, part in zip(self.factors, joined, strict=True)])


class _Softmax:
    """Loss and gradient of several tasks at once. Outputs: 1 (sigmoid) for two classes, else one per class (softmax).

    Arrays of coefficients are (outputs, tasks, width): reductions over classes then run along contiguous rows.
    """

    def __init__(self, x: Matrix, y: Array, classes: int, tasks: Sequence[Task], each: Callable[..., Iterable[Any]]) -> None:
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

    def _summed(self, one: Callable[[slice], tuple[Array, Array, Array]], weight: Array, bias: Array) -> tuple[Array, Array, Array]:
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
                    lambda column: self._intercept(scores[:, column], bias[:, column], self.mass[self.which[active[column]]]),
                    range(len(active)),
                )
            ),
            axis=1,
        )
        if self.outputs > 1:  # a constant added to all classes changes nothing; without one, equal problems have equal decision values
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

    def frame(self, weight: Array, bias: Array, task: int, basis: Basis, *, cold: bool, stale: bool) -> _Frame | _Factored:
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
        if stale and basis.vectors is not None:
            return _Factored(np.stack([self._factor(row, task, basis) for row in bend]))
        curvature = self._class_curvature(derivative, mass)
        if basis.vectors is None and not cold:
            spread = (
                (self._square.T @ bend.T).T
                - 2 * self.mean[task] * (self._wide.T @ bend.T).T
                + self.mean[task] ** 2 * bend.sum(axis=1)[:, None]
            )
            spread, bends, spin = np.maximum(spread, 0) / self.scale[task] ** 2, np.diag(curvature), np.eye(self.outputs)
        else:
            bends, spin = np.linalg.eigh(curvature)
            spread = np.outer(np.where(bends > NULL, bends, 0), basis.values)
        spread = spread + alpha
        stretch = np.where(spread > NULL, 1 / np.sqrt(np.maximum(spread, NULL)), 0)
        return _Frame(spin, stretch, np.where(bends > NULL, 1 / np.sqrt(np.maximum(bends, NULL)), 0))

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
        floor = 1e-6 * float(np.trace(hessian)) / (width + 1)  # of the order of float32's rounding in the sums: keeps the factor positive
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
    limit: int | None = None,
) -> list[Solution]:
    """Minimise mean log-loss + alpha / 2 ||W||^2 (bias free) for every task, all in the same passes over the rows.

    Parameters
    ----------
    x : (rows, width) float32 or float64 array, or CSR matrix
    y : (rows,) int64, class ids 0 to classes - 1; every class occurs among each task's rows
    tolerance : bound on the objective's distance to its optimum
    limit : most evaluations of one task; None: LIMIT, or SPARSE_LIMIT for CSR

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
            tasks = [task if task.mean is not None else replace(task, mean=row) for task, row in zip(tasks, centre, strict=True)]
        problem = _Softmax(x, y, classes, tasks, each)
        most = limit or (SPARSE_LIMIT if sp.issparse(x) else LIMIT)
        return _in_rounds(problem, basis or Basis.of(x), tolerance, most)


def _in_rounds(problem: _Softmax, basis: Basis, tolerance: float, limit: int) -> list[Solution]:
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
        frames = {
            index: problem.frame(
                points[index][0], points[index][1], index, basis, cold=not stale and tasks[index].start is None, stale=stale
            )
            for index in active
        }
        for index, found in _walk(problem, frames, points, basis, tolerance, min(ROUND, limit)).items():
            spent[index] += max(1, found.evaluations)  # a round that found nothing to do has to end too
            points[index] = (found.weight, found.bias)
            answers[index] = replace(found, evaluations=int(spent[index]))
        # without a penalty the gap is read off the frame, which has to be the Hessian's own for that
        done = {index for index in active if answers[index].converged and (tasks[index].alpha > 0 or stale)}
        active = [index for index in active if index not in done and spent[index] < limit]
    for index, task in enumerate(tasks):
        if task.alpha == 0 and problem.separated(answers[index], index):  # the loss has no least value then
            answers[index] = replace(answers[index], converged=False)
    return [answers[index] for index in range(len(tasks))]


def _walk(
    problem: _Softmax,
    frames: Mapping[int, _Frame | _Factored],
    points: Sequence[tuple[Array, Array]],
    basis: Basis,
    tolerance: float,
    limit: int,
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
    return answers


def solve_ridge(x: Matrix, y: Array, tasks: Sequence[Task], *, tolerance: float = 1e-12) -> list[Solution]:
    """Minimise mean squared error + alpha ||w||^2 (bias free) for every task, in float64.

    Dense rows: the closed form, through one eigendecomposition of each subset's covariance, which is the covariance of all rows less that
    of the rows left out. Sparse rows: conjugate gradients, to a bound on the objective's distance to its optimum.
    """
    groups: dict[int, list[int]] = {}
    for index, task in enumerate(tasks):
        groups.setdefault(id(task.weights), []).append(index)
    answers: dict[int, Solution] = {}
    with threads():
        whole = None if sp.issparse(x) else _products(x, y, np.ones(x.shape[0]))
        for members in groups.values():
            chosen = [tasks[index] for index in members]
            found = _ridge_sparse(x, y, chosen, tolerance) if whole is None else _ridge_dense(x, y, chosen, whole, tolerance)
            answers.update(zip(members, found, strict=True))
    return [answers[index] for index in range(len(tasks))]


def _products(x: Matrix, y: Array, weights: Array) -> tuple[float, Array, Array, Array, Array]:
    """Weighted sums over rows: of 1, of x, of x x', of (y, y^2), of x y."""
    kept = np.flatnonzero(weights)
    width = x.shape[1]
    total, outer, cross = np.zeros(width), np.zeros((width, width)), np.zeros(width)
    for start in range(0, len(kept), 4096):
        rows = kept[start : start + 4096]
        part, mass = x[rows].astype(np.float64), weights[rows]
        total += mass @ part
        cross += (mass * y[rows]) @ part
        outer += part.T @ (part if (mass == 1).all() else part * mass[:, None])
    return float(weights.sum()), total, outer, np.array([weights @ y, weights @ y**2]), cross


def _ridge_dense(
    x: Matrix, y: Array, tasks: Sequence[Task], whole: tuple[float, Array, Array, Array, Array], tolerance: float
) -> list[Solution]:
    weights = tasks[0].weights
    if weights is None or (weights == 1).all():
        mass, total, outer, sums, cross = whole
    elif np.isin(weights, (0, 1)).all() and 2 * weights.sum() > len(weights):
        left_out = _products(x, y, 1.0 - weights)
        mass, total, outer, sums, cross = (all_rows - out for all_rows, out in zip(whole, left_out, strict=True))  # type: ignore[operator]
    else:
        mass, total, outer, sums, cross = _products(x, y, np.asarray(weights, dtype=np.float64))
    centre, target = total / mass, sums[0] / mass
    scale = np.ones(len(centre)) if tasks[0].scale is None else tasks[0].scale
    covariance = (outer / mass - np.outer(centre, centre)) / np.outer(scale, scale)
    slope = (cross / mass - centre * target) / scale
    values, vectors = eigh(covariance, driver="evd")
    values = np.maximum(values, 0)
    turned = slope @ vectors
    spread = float(sums[1] / mass - target**2)
    answers = []
    for task in tasks:
        bent = values + task.alpha
        floor = 1e-12 * max(float(values[-1]), 1e-300)  # without a penalty, directions without variance get no weight
        inner = np.where(bent > floor, turned / np.maximum(bent, floor), 0)
        weight = vectors @ inner
        gradient = 2 * (covariance @ weight + task.alpha * weight - slope)
        gap = (
            float(gradient @ gradient) / (4 * task.alpha)
            if task.alpha > 0
            else float(np.sum(np.where(bent > floor, (gradient @ vectors) ** 2 / (4 * np.maximum(bent, floor)), 0)))
        )
        objective = spread - 2 * float(slope @ weight) + float(weight @ covariance @ weight) + task.alpha * float(weight @ weight)
        offset = (centre - (0 if task.mean is None else task.mean)) / scale
        answers.append(
            Solution(
                task.alpha,
                weight[None],
                np.array([target - weight @ offset]),
                objective,
                gap,
                gap <= max(tolerance, 1e-12 * spread),
                1,
                task.mean,
                task.scale,
            )
        )
    return answers


def _ridge_sparse(x: Matrix, y: Array, tasks: Sequence[Task], tolerance: float) -> list[Solution]:
    width = x.shape[1]
    exact = x.astype(np.float64)
    mass = np.ones(x.shape[0]) if tasks[0].weights is None else np.asarray(tasks[0].weights, dtype=np.float64)
    mass = mass / mass.sum()
    centre, target = exact.T @ mass, float(mass @ y)
    scale = np.ones(width) if tasks[0].scale is None else tasks[0].scale
    slope = (exact.T @ (mass * (y - target))) / scale

    def covariance(weight: Array) -> Array:
        folded = np.ravel(weight) / scale
        scores = exact @ folded - centre @ folded
        return (exact.T @ (mass * scores) - centre * (mass @ scores)) / scale

    spread = float(mass @ (y - target) ** 2)
    variance = (exact.multiply(exact).T @ mass - centre**2) / scale**2
    answers: list[Solution] = []
    weight = np.zeros(width)
    found: dict[int, Solution] = {}
    for index in sorted(range(len(tasks)), key=lambda index: -tasks[index].alpha):
        alpha = tasks[index].alpha
        steps = 0

        def count(_: Array) -> None:
            nonlocal steps
            steps += 1

        system = LinearOperator((width, width), matvec=lambda v, alpha=alpha: covariance(v) + alpha * np.ravel(v), dtype=np.float64)
        diagonal = np.maximum(variance + alpha, 1e-12)
        precondition = LinearOperator((width, width), matvec=lambda v, diagonal=diagonal: np.ravel(v) / diagonal, dtype=np.float64)
        goal = np.sqrt(tolerance * max(alpha, 1e-9)) / 2
        weight, _ = cg(system, slope, x0=weight, rtol=0.0, atol=goal, maxiter=20 * min(x.shape) + 1000, M=precondition, callback=count)
        bent = covariance(weight)
        gradient = 2 * (bent + alpha * weight - slope)
        gap = float(gradient @ gradient) / (4 * max(alpha, 1e-9))
        objective = spread - 2 * float(slope @ weight) + float(weight @ bent) + alpha * float(weight @ weight)
        task = tasks[index]
        offset = (centre - (0 if task.mean is None else task.mean)) / scale
        found[index] = Solution(
            alpha, weight[None], np.array([target - weight @ offset]), objective, gap, gap <= tolerance, steps, task.mean, task.scale
        )
    answers.extend(found[index] for index in range(len(tasks)))
    return answers


class _Linear:
    """What both probes share: parameters in the manner of scikit-learn, and a path of penalties on one set of rows."""

    alpha: float
    tolerance: float
    coef_: Array
    intercept_: Array
    gap_: float
    converged_: bool
    n_iter_: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"alpha": self.alpha, "tolerance": self.tolerance}

    def set_params(self, **parameters: Any) -> Any:
        for name, value in parameters.items():
            if name not in self.get_params():
                raise UserError(f"{type(self).__name__} has no parameter '{name}'. Known: {', '.join(self.get_params())}.")
            setattr(self, name, value)
        return self

    def _checked(self, alphas: Sequence[float]) -> None:
        for alpha in alphas:
            if not (np.isfinite(alpha) and alpha >= 0):
                raise UserError(f"{type(self).__name__}: alpha is a penalty per row, 0 or more, got {alpha}.")

    def _take(self, solution: Solution) -> Any:
        self.coef_, self.intercept_ = solution.folded()
        self.gap_, self.converged_, self.n_iter_ = solution.gap, solution.converged, solution.evaluations
        return self

    def decision_function(self, X: Matrix) -> Array:
        """Decision values, float64: (rows,) for one output, else (rows, classes)."""
        scores = linear(X, self.coef_, self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores


class LogisticRegression(_Linear):
    """Multinomial logistic regression: mean log-loss + alpha / 2 ||W||^2, the intercept free.

    The objective of scikit-learn's `LogisticRegression(C=1 / (alpha * rows))`: one weight vector for two classes, one per class for more.
    `alpha` is a strength per row, so one grid means the same at every number of rows. `tolerance` bounds the objective's distance to its
    optimum, by the duality gap where alpha > 0; without a penalty by the Newton decrement, and only where the classes overlap: separable
    rows have no optimum.

    >>> import numpy as np
    >>> probe = LogisticRegression(alpha=0.1).fit(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1]))
    >>> probe.predict(np.array([[0.5], [2.5]])), probe.converged_
    (array([0, 1]), True)
    """

    task = "classification"

    def __init__(self, alpha: float = 1e-3, tolerance: float = 1e-9) -> None:
        self.alpha, self.tolerance = alpha, tolerance

    def solve(self, x: Matrix, y: Array, classes: int, tasks: Sequence[Task], basis: Basis | None = None) -> list[Solution]:
        """Many problems on shared rows at once; `y` holds class ids 0 to classes - 1."""
        self._checked([task.alpha for task in tasks])
        return solve_logistic(x, y, classes, tasks, basis=basis, tolerance=self.tolerance)

    def fit_path(self, X: Matrix, y: Array, alphas: Sequence[float]) -> list[LogisticRegression]:
        """One fitted probe per penalty, in the order given, at hardly more than the cost of one."""
        names, ids = np.unique(y, return_inverse=True)
        if len(names) < 2:
            raise UserError(f"a classifier needs two classes, the labels hold {len(names)}.")
        fitted = []
        for solution in self.solve(X, ids.astype(np.int64), len(names), [Task(float(alpha)) for alpha in alphas]):
            probe = LogisticRegression(solution.alpha, self.tolerance)._take(solution)
            probe.classes_ = names
            fitted.append(probe)
        return fitted

    def fit(self, X: Matrix, y: Array) -> LogisticRegression:
        """Fit on rows (rows, width) and labels (rows,) of any type that sorts."""
        self.__dict__.update(self.fit_path(X, y, [self.alpha])[0].__dict__)
        return self

    def predict_proba(self, X: Matrix) -> Array:
        """Probabilities (rows, classes)."""
        scores = linear(X, self.coef_, self.intercept_)
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X: Matrix) -> Array:
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    classes_: Array


class Ridge(_Linear):
    """Ridge regression: mean squared error + alpha ||w||^2, the intercept free; scikit-learn's `Ridge(alpha * rows)`.

    >>> import numpy as np
    >>> probe = Ridge(alpha=0.0).fit(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0]))
    >>> probe.predict(np.array([[3.0]])).round(9)
    array([7.])
    """

    task = "regression"

    def __init__(self, alpha: float = 1e-3, tolerance: float = 1e-12) -> None:
        self.alpha, self.tolerance = alpha, tolerance

    def solve(self, x: Matrix, y: Array, classes: int, tasks: Sequence[Task], basis: Basis | None = None) -> list[Solution]:
        """Many problems on shared rows at once; `classes` and `basis` play no part."""
        self._checked([task.alpha for task in tasks])
        return solve_ridge(x, np.asarray(y, dtype=np.float64), tasks, tolerance=self.tolerance)

    def fit_path(self, X: Matrix, y: Array, alphas: Sequence[float]) -> list[Ridge]:
        """One fitted probe per penalty, in the order given."""
        return [
            Ridge(solution.alpha, self.tolerance)._take(solution)
            for solution in self.solve(X, y, 0, [Task(float(alpha)) for alpha in alphas])
        ]

    def fit(self, X: Matrix, y: Array) -> Ridge:
        """Fit on rows (rows, width) and targets (rows,)."""
        self.__dict__.update(self.fit_path(X, y, [self.alpha])[0].__dict__)
        return self

    def predict(self, X: Matrix) -> Array:
        return self.decision_function(X)

"""Log-loss and gradient of several logistic regressions on shared rows, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from src.probes.solvers.linear import (
    DOUBLE_BLOCK_BYTES,
    Array,
    Matrix,
    Problem,
    Solution,
    by_weights,
    row_blocks,
    separates,
)
from src.runtime.parallel import Map

Sums = tuple[Array, Array, Array]  # loss (problems,), gradient of the weights, gradient of the bias


class SoftmaxObjective:
    """Penalised log-loss of several problems at once.

    There is one output (sigmoid) for two classes, else one per class (softmax). Arrays of
    coefficients are (outputs, problems, width), so that reductions over classes run along
    contiguous rows. `active` (problems,) int64 says which problems a call evaluates.
    """

    def __init__(self, x: Matrix, y: Array, classes: int, problems: Sequence[Problem], over: Map) -> None:
        self.x, self.y, self.problems, self.map = x, y, problems, over
        self.is_sparse = sp.issparse(x)
        self.outputs = 1 if classes == 2 else classes
        rows, width = x.shape
        sharing = by_weights(problems)
        distinct = [problems[positions[0]].weights for positions in sharing.values()]
        self.sample_weights = np.stack(
            [np.ones(rows) if each is None else np.asarray(each, dtype=np.float64) for each in distinct]
        )
        self.sample_weights /= self.sample_weights.sum(axis=1, keepdims=True)  # the rows of a problem weigh 1 together
        self.sample_weights_single = self.sample_weights.astype(np.float32)
        place = {key: index for index, key in enumerate(sharing)}
        self.weights_index = np.array([place[id(problem.weights)] for problem in problems])
        self.mean = np.stack([np.zeros(width) if each.mean is None else each.mean for each in problems])
        self.scale = np.stack([np.ones(width) if each.scale is None else each.scale for each in problems])
        self.alpha = np.array([problem.alpha for problem in problems])
        self.precision = np.float32 if x.dtype == np.float32 else np.float64
        self.blocks, self.double_blocks = row_blocks(x), row_blocks(x, DOUBLE_BLOCK_BYTES)
        if self.is_sparse:
            self.double = x.astype(np.float64)
            self.squares = self.double.multiply(self.double).tocsr()
        self.sign = np.where(y == 1, 1, -1).astype(np.float32)

    def weights_of(self, problem: int) -> Array:
        """Return the sample weights (rows,) of one problem, whose sum is 1."""
        return self.sample_weights[self.weights_index[problem]]

    def evaluate(self, weight: Array, bias: Array, active: Array) -> Sums:
        """Return objective (problems,), gradients of weights and bias, in working precision.

        Products run in the precision of `x`, sums over blocks in float64.
        """
        folded, shift = (part.astype(self.precision) for part in self._unscaled(weight, bias, active))
        samples = self.sample_weights_single if self.precision == np.float32 else self.sample_weights
        index = self.weights_index[active]
        shared = bool((index == index[0]).all())

        def block_sums(part: slice) -> Sums:
            block = self._block(part)
            loss, derivative = self._loss(self._scores(block, folded, shift), part)
            share = samples[index[:1], part] if shared else samples[index, part]
            value = loss @ share[0] if shared else np.einsum("tr,tr->t", loss, share)
            derivative *= share
            return value.astype(np.float64), self._collect(derivative, block), derivative.sum(axis=2, dtype=np.float64)

        value, raw, total = self._sum_blocks(block_sums, self.blocks, weight, bias)
        return value + self._penalty(weight, active), self._rescaled(raw, total, weight, active), total

    def evaluate_exact(self, weight: Array, bias: Array, active: Array) -> Sums:
        """Return objective, gradient of the weights and their optimal bias, in float64.

        In two passes: the decision values of all rows are kept, the bias is solved by Newton's
        method, then the gradient is collected.
        """
        folded, shift = self._unscaled(weight, np.zeros_like(bias), active)
        scores = np.empty((*bias.shape, self.x.shape[0]))

        def fill(part: slice) -> None:
            scores[:, :, part] = self._scores(self._double_block(part), folded, shift)

        list(self.map(fill, self.double_blocks))

        def solve(column: int) -> Array:
            return self._best_bias(scores[:, column], bias[:, column], self.weights_of(active[column]))

        bias = np.stack(list(self.map(solve, range(len(active)))), axis=1)
        if self.outputs > 1:  # softmax ignores a common constant; without it, equal problems have equal decisions
            bias -= bias.mean(axis=0)
        share = self.sample_weights[self.weights_index[active]]

        def block_sums(part: slice) -> Sums:
            loss, derivative = self._loss(scores[:, :, part] + bias[:, :, None], part)
            value = np.einsum("tr,tr->t", loss, share[:, part])
            derivative *= share[:, part]
            return value, self._collect(derivative, self._double_block(part)), derivative.sum(axis=2)

        value, raw, total = self._sum_blocks(block_sums, self.double_blocks, weight, bias)
        return value + self._penalty(weight, active), self._rescaled(raw, total, weight, active), bias

    def derivative(self, weight: Array, bias: Array, problem: int) -> Array:
        """Return the derivative of each row's loss (outputs, rows) at one problem's point."""
        folded, shift = self._unscaled(weight[:, None], bias[:, None], np.array([problem]))
        folded, shift = folded.astype(self.precision), shift.astype(self.precision)
        out = np.empty((self.outputs, self.x.shape[0]))

        def fill(part: slice) -> None:
            out[:, part] = self._loss(self._scores(self._block(part), folded, shift), part)[1][:, 0]

        list(self.map(fill, self.blocks))
        return out

    def prior_derivative(self, bias: Array) -> Array:
        """Return the derivative of each row's loss (outputs, rows) at weights of zero; bias (outputs,)."""
        rows = np.arange(len(self.y))
        if self.outputs == 1:
            return (1 / (1 + np.exp(-bias)) - (self.y == 1))[None]
        share = np.exp(bias - bias.max())
        derivative = np.repeat((share / share.sum())[:, None], len(rows), axis=1)
        derivative[self.y, rows] -= 1
        return derivative

    def class_curvature(self, derivative: Array, sample_weights: Array) -> Array:
        """Return the mean of ``diag(p) - p p'`` (outputs, outputs) from the loss's derivatives."""
        if self.outputs == 1:
            share = np.abs(derivative[0])
            return np.array([[float((share * (1 - share)) @ sample_weights)]])
        probability = derivative.copy()
        probability[self.y, np.arange(len(self.y))] += 1
        return np.diag(probability @ sample_weights) - (probability * sample_weights) @ probability.T

    def is_separated(self, solution: Solution, problem: int) -> bool:
        """Return whether all rows of a problem are on their class's side with a positive margin."""
        kept = self.weights_of(problem) > 0
        return separates(solution.decision_values(self.x)[kept], self.y[kept])

    def prior_bias(self, problem: int) -> Array:
        """Return the bias (outputs,) that is optimal for weights of zero."""
        counts = np.bincount(self.y, weights=self.weights_of(problem), minlength=max(self.outputs, 2))
        return np.log(counts[1:] / counts[:1]) if self.outputs == 1 else np.log(counts) - np.log(counts).mean()

    def _block(self, part: slice) -> Matrix:
        return self.x if self.is_sparse else self.x[part]

    def _double_block(self, part: slice) -> Matrix:
        return self.double if self.is_sparse else self.x[part].astype(np.float64)

    def _unscaled(self, weight: Array, bias: Array, active: Array) -> tuple[Array, Array]:
        """Return weights and bias that act on the features as they are stored."""
        folded = weight / self.scale[active]
        return folded, bias - np.einsum("ktd,td->kt", folded, self.mean[active])

    def _rescaled(self, raw: Array, total: Array, weight: Array, active: Array) -> Array:
        """Return the gradient for the scaled features from that for the stored ones."""
        gradient = (raw - total[:, :, None] * self.mean[active]) / self.scale[active]
        return gradient + self.alpha[active, None] * weight

    def _penalty(self, weight: Array, active: Array) -> Array:
        return 0.5 * self.alpha[active] * np.einsum("ktd,ktd->t", weight, weight)

    def _scores(self, x: Matrix, weight: Array, bias: Array) -> Array:
        """Return a block's decision values (outputs, problems, rows) in `weight`'s precision."""
        flat = weight.reshape(-1, weight.shape[-1])
        out = np.ascontiguousarray((x @ flat.T).T) if self.is_sparse else flat @ x.T
        out = out.reshape(*weight.shape[:2], x.shape[0])
        out += bias[:, :, None]
        return out

    def _loss(self, scores: Array, part: slice) -> tuple[Array, Array]:
        """Return each row's log-loss (problems, rows) and its derivative (outputs, problems, rows).

        The derivative is written into `scores` where there are several outputs.
        """
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

    def _collect(self, derivative: Array, block: Matrix) -> Array:
        """Return a block's gradient (outputs, problems, width) for the features as stored."""
        flat = derivative.reshape(-1, derivative.shape[-1])
        out = (block.T @ flat.T).T if self.is_sparse else flat @ block
        return out.reshape(*derivative.shape[:2], -1)

    def _sum_blocks(self, block_sums: Callable[[slice], Sums], blocks: list[slice], weight: Array, bias: Array) -> Sums:
        """Sum over blocks in float64 and in order, so that threads do not change a bit."""
        value, raw, total = np.zeros(weight.shape[1]), np.zeros(weight.shape), np.zeros(bias.shape)
        for parts in self.map(block_sums, blocks):
            value += parts[0]
            raw += parts[1]
            total += parts[2]
        return value, raw, total

    def _best_bias(self, scores: Array, bias: Array, sample_weights: Array) -> Array:
        """Return the bias (outputs,) of least loss at fixed scores (outputs, rows).

        Newton's method, with steps halved while they overshoot.
        """
        rows = slice(0, len(sample_weights))

        def at(bias: Array) -> tuple[float, Array, Array]:
            loss, derivative = self._loss((scores + bias[:, None])[:, None].copy(), rows)
            return float(loss[0] @ sample_weights), derivative[:, 0], derivative[:, 0] @ sample_weights

        value, derivative, gradient = at(bias)
        for _ in range(30):
            if np.abs(gradient).max() <= 1e-15:
                break
            curvature = self.class_curvature(derivative, sample_weights)
            step = np.linalg.pinv(curvature, rcond=1e-10, hermitian=True) @ gradient
            for _ in range(30):
                new_value, new_derivative, new_gradient = at(bias - step)
                if new_value < value or np.abs(new_gradient).max() < np.abs(gradient).max():
                    break
                step = step / 2
            else:
                break
            bias, value, derivative, gradient = bias - step, new_value, new_derivative, new_gradient
        return bias

"""Coordinates in which the Hessian is near the identity, so that L-BFGS needs few steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh, solve_triangular

from src.probes.solvers.linear import Array, Matrix
from src.probes.solvers.moments import moments
from src.runtime.parallel import parallel_map


def _gram(x: Matrix) -> tuple[Array, Array]:
    """Sum the rows (width,) and their outer products (width, width), in float64."""

    def slab(number: int) -> tuple[Array, Array]:
        total, products = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
        # Four slabs whatever the number of threads, so that the sums do not depend on it.
        for start in range(number * 4096, x.shape[0], 4 * 4096):
            part = np.asarray(x[start : start + 4096], dtype=np.float32)
            total += part.sum(axis=0, dtype=np.float64)
            products += part.T @ part
        return total, products

    with parallel_map() as over:
        totals, products = zip(*over(slab, range(4)), strict=True)
    return np.sum(totals, axis=0), np.sum(products, axis=0)


@dataclass(frozen=True)
class Basis:
    """Eigenvalues (width,) and eigenvectors (width, width) of the rows' covariance.

    Vectors of None: the diagonal of the covariance alone.
    """

    values: Array
    vectors: Array | None

    @classmethod
    def of(cls, x: Matrix) -> Basis:
        """Return the basis of all rows of `x`; of sparse rows, the variances alone.

        The basis only preconditions, so float32 suffices and one basis serves every subset of the
        rows.
        """
        rows = x.shape[0]
        if sp.issparse(x):
            _, deviation = moments(x, [None])
            return cls(deviation[0] ** 2, None)
        total, products = _gram(x)
        products /= rows
        products -= np.outer(total / rows, total / rows)
        precision = np.float32 if x.shape[1] > 1024 else np.float64
        values, vectors = eigh(products.astype(precision), driver="evd", overwrite_a=True)
        return cls(np.maximum(values, 0).astype(np.float64), vectors.astype(np.float64))

    def project(self, array: Array) -> Array:
        """Return coefficients (..., width) along the eigenvectors."""
        return array if self.vectors is None else array @ self.vectors

    def reconstruct(self, array: Array) -> Array:
        """Return coordinates (..., width) of coefficients along the eigenvectors."""
        return array if self.vectors is None else array @ self.vectors.T


@dataclass(frozen=True)
class Frame:
    """Rotated class directions, with a scale for each class and feature direction.

    Attributes
    ----------
    rotation : array of (outputs, outputs), orthogonal
    scales : array of (outputs, width)
        0 where the objective does not depend on the coordinate.
    bias_scales : array of (outputs,)
        The same for the bias.
    """

    rotation: Array
    scales: Array
    bias_scales: Array

    def encode(self, basis: Basis, weight: Array, bias: Array) -> Array:
        """Return the flat point of weights (outputs, width) and bias (outputs,)."""
        parts = (self.rotation.T @ basis.project(weight), self.scales), (self.rotation.T @ bias, self.bias_scales)
        return np.concatenate(
            [np.divide(part, scale, out=np.zeros_like(part), where=scale > 0).ravel() for part, scale in parts]
        )

    def decode(self, point: Array) -> tuple[Array, Array]:
        """Return weights along the basis (outputs, width) and bias (outputs,) of a flat point."""
        outputs = len(self.bias_scales)
        weight = self.scales * point[:-outputs].reshape(outputs, -1)
        return self.rotation @ weight, self.rotation @ (self.bias_scales * point[-outputs:])

    def gradient(self, weight_gradient: Array, bias_gradient: Array) -> Array:
        """Return the gradient at a flat point from those of weights along the basis and bias."""
        return np.concatenate(
            [
                (self.scales * (self.rotation.T @ weight_gradient)).ravel(),
                self.bias_scales * (self.rotation.T @ bias_gradient),
            ]
        )


@dataclass(frozen=True)
class CholeskyFrame:
    """Coordinates from the Hessian's own block of each output, bias included.

    `factors` are lower triangular, (outputs, width + 1, width + 1). Methods as in `Frame`.
    """

    factors: Array

    def encode(self, basis: Basis, weight: Array, bias: Array) -> Array:
        joined = np.concatenate([basis.project(weight), bias[:, None]], axis=1)
        return np.concatenate([factor.T @ part for factor, part in zip(self.factors, joined, strict=True)])

    def decode(self, point: Array) -> tuple[Array, Array]:
        parts = zip(self.factors, point.reshape(len(self.factors), -1), strict=True)
        joined = np.stack([solve_triangular(factor, part, lower=True, trans="T") for factor, part in parts])
        return joined[:, :-1], joined[:, -1]

    def gradient(self, weight_gradient: Array, bias_gradient: Array) -> Array:
        joined = np.concatenate([weight_gradient, bias_gradient[:, None]], axis=1)
        parts = zip(self.factors, joined, strict=True)
        return np.concatenate([solve_triangular(factor, part, lower=True) for factor, part in parts])

"""Similarity of the two texts of a row, and scalings that the texts alone decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.probes.scaling import column_statistics
from src.probes.solvers.linear import Array, Matrix, row_blocks
from src.probes.solvers.moments import ROUNDINGS


@dataclass(frozen=True)
class TextScaling:
    """A scaling of vectors: ``(x - mean) @ matrix``, or ``(x - mean) / scale``.

    Attributes
    ----------
    mean : array of (width,), or None
        None leaves vectors as they are.
    scale : array of (width,), or None
    matrix : array of (width, kept directions), or None
    dropped : int
        Number of directions that were left out, since their variance is rounding.
    """

    mean: Array | None = None
    scale: Array | None = None
    matrix: Array | None = None
    dropped: int = 0

    def apply(self, x: Array) -> Array:
        """Return scaled vectors, float64."""
        x = x.astype(np.float64)
        if self.mean is not None:
            x -= self.mean
        if self.scale is not None:
            x /= self.scale
        return x if self.matrix is None else x @ self.matrix


def text_scaling(kind: str, texts: Array) -> TextScaling:
    """Return a scaling that is fitted on vectors of texts, without labels.

    Parameters
    ----------
    kind : str
        ``none``; ``centre`` (the mean becomes zero); ``standardise`` (each column's standard
        deviation becomes 1 too); ``whiten`` (the covariance becomes the identity).
    texts : float32 array of (texts, width)

    References
    ----------
    Su et al. (2021), Whitening Sentence Representations for Better Semantics and Faster Retrieval:
    `whiten`, with the covariance divided by the number of texts less one.
    """
    if kind == "none":
        return TextScaling()
    mean, deviation, _ = column_statistics(texts)
    if kind == "centre":
        return TextScaling(mean)
    if kind == "standardise":
        return TextScaling(mean, scale=deviation)
    values, directions, noise = _spectrum(texts, mean)
    kept = values > noise
    matrix = directions[:, kept] / np.sqrt(values[kept])
    return TextScaling(mean, matrix=matrix, dropped=int((~kept).sum()))


def _spectrum(texts: Array, mean: Array) -> tuple[Array, Array, Array]:
    """Return variances (width,), directions in columns, and the variances that are rounding (width,).

    Each entry of a vector is off by up to `ROUNDINGS` units in the last place. Beside it stands the
    rounding of the eigenvalues themselves.
    """
    width = texts.shape[1]
    covariance = np.zeros((width, width))
    for part in row_blocks(texts):
        block = texts[part].astype(np.float64) - mean
        covariance += block.T @ block
    covariance /= max(1, len(texts) - 1)
    values, directions = np.linalg.eigh(covariance)
    size = mean**2 + np.diag(covariance)  # mean square of each column
    entries = (ROUNDINGS * float(np.finfo(texts.dtype).eps)) ** 2 * (directions**2).T @ size
    return values, directions, np.maximum(entries, width * np.finfo(np.float64).eps * values.max(initial=0))


def similarities(name: str, u: Matrix, v: Matrix, scaling: TextScaling | None = None) -> Array:
    """Return the similarity of each row of u and v, (rows,) float64; larger is more similar.

    Parameters
    ----------
    name : str
        ``cosine`` (0 beside a vector of zeros), ``dot``, or the negated distance ``euclidean`` or
        ``manhattan``.
    u, v : matrices of (rows, width)
        Dense, or CSR without a scaling.
    scaling : TextScaling, optional
    """
    if sp.issparse(u):
        return _row_similarities(name, u.astype(np.float64), v.astype(np.float64))
    scaling = scaling or TextScaling()
    found = np.empty(u.shape[0])
    for part in row_blocks(u):
        found[part] = _row_similarities(name, scaling.apply(u[part]), scaling.apply(v[part]))
    return found


def _row_similarities(name: str, u: Any, v: Any) -> Array:
    if name == "euclidean":
        return -np.sqrt(_row_sums(_product(u - v, u - v)))
    if name == "manhattan":
        return -_row_sums(abs(u - v))
    dot = _row_sums(_product(u, v))
    if name == "dot":
        return dot
    lengths = np.sqrt(_row_sums(_product(u, u))) * np.sqrt(_row_sums(_product(v, v)))
    return np.clip(dot / np.where(lengths > 0, lengths, 1), -1, 1)


def _product(u: Any, v: Any) -> Any:
    return u.multiply(v) if sp.issparse(u) else u * v


def _row_sums(x: Any) -> Array:
    return np.asarray(x.sum(axis=1)).ravel()

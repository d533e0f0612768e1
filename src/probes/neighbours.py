"""Nearest training rows by the cosine, and the vote of their classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from src.probes.scaling import normalise_rows
from src.probes.similarity import TextScaling, text_scaling
from src.probes.solvers.linear import Array, Matrix, row_blocks

BLOCK_NUMBERS = 1 << 22  # similarities that are held at once: 84 MB with their keys


def neighbour_labels(x: Matrix, y: Array, queries: Matrix, count: int, scaling: str = "none") -> Array:
    """Return the classes of the nearest rows, (queries, neighbours), the nearest first.

    Similarities that are equal but for the rounding of float32 count as equal. Of equally similar
    rows the earlier one is nearer.

    Parameters
    ----------
    x : float32 array or CSR matrix of (rows, width)
    y : array of (rows,)
        Class ids.
    queries : float32 array or CSR matrix of (queries, width)
    count : int
        Number of neighbours; with fewer rows, all of them.
    scaling : str
        A scaling of `src.probes.similarity`, fitted on `x`; ``none`` for CSR matrices.
    """
    fitted = TextScaling() if scaling == "none" else text_scaling(scaling, x)
    rows, found = _directions(x, fitted), []
    for block in _blocks(queries, len(y)):
        similarity = _directions(block, fitted) @ rows.T
        found.append(y[_largest(similarity.toarray() if sp.issparse(similarity) else similarity, count)])
    return np.concatenate(found) if found else np.empty((0, min(count, len(y))), dtype=y.dtype)


def vote_shares(labels: Array, classes: int) -> Array:
    """Return the share of each class among the nearest rows, (queries, classes) float32.

    Its argmax is the majority; of classes with equally many votes that is the first in the order of
    their ids, as in scikit-learn.

    Parameters
    ----------
    labels : array of (queries, neighbours)
        Classes of the nearest rows.
    classes : int
    """
    cell = classes * np.arange(len(labels))[:, None] + labels
    counts = np.bincount(cell.ravel(), minlength=classes * len(labels)).reshape(len(labels), classes)
    return np.asarray(counts / labels.shape[1], dtype=np.float32)


def _directions(x: Matrix, scaling: TextScaling) -> Matrix:
    """Return scaled rows of length 1, float32; a row of zeros remains."""
    if scaling.mean is None:
        return normalise_rows(x)
    return np.concatenate([normalise_rows(scaling.apply(x[part])).astype(np.float32) for part in row_blocks(x)])


def _blocks(queries: Matrix, rows: int) -> Iterator[Matrix]:
    size = max(1, BLOCK_NUMBERS // rows)
    return (queries[first : first + size] for first in range(0, queries.shape[0], size))


def _largest(similarity: Array, count: int) -> Array:
    """Return the indices of the largest similarities in each row, (queries, neighbours), in order.

    A key of 64 bits holds the similarity above the index, so that no two keys of a row are equal.
    A float32 between 1 and 4 grows with its bits, and is rounded to a part in four million.
    """
    rows = similarity.shape[1]
    count = min(count, rows)
    keys = (similarity.astype(np.float32, copy=False) + np.float32(2)).view(np.int32).astype(np.int64) << 32
    keys |= np.arange(rows - 1, -1, -1)
    kept = np.partition(keys, rows - count, axis=1)[:, rows - count :]
    return rows - 1 - (np.sort(kept, axis=1)[:, ::-1] & 0xFFFFFFFF)

"""Finds the rows that share a text or a group, and how many independent rows they are worth."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from src.evaluation.metrics import Array


def row_clusters(digests: Array, groups: Array | None = None, texts: Array | None = None) -> Array:
    """Return the two clusters of each row, (rows, 2): rows that share one depend on each other.

    They are the digests of a pair's texts. A row of one text has its digest twice, and a row of a group
    the least digest of the group.

    Parameters
    ----------
    digests : (rows,)
        Of the texts of each row.
    groups : (rows,), or None
    texts : (rows, 2), or None
        Of each text of a pair.

    >>> row_clusters(np.array([5, 3, 9, 5]), np.array([0, 0, 1, 2]))[:, 0].tolist()
    [3, 3, 9, 5]
    """
    if groups is None:
        return np.column_stack([digests, digests]) if texts is None else np.asarray(texts)
    place = np.unique(groups, return_inverse=True)[1].ravel()
    least = np.full(place.max() + 1, np.iinfo(digests.dtype).max, dtype=digests.dtype)
    np.minimum.at(least, place, digests)
    return np.column_stack([least[place], least[place]])


class Overlap:
    """Finds which rows share a cluster, and sums over those that do.

    Parameters
    ----------
    clusters : (rows,) or (rows, 2)
        See `row_clusters`.
    """

    def __init__(self, clusters: Array) -> None:
        columns = clusters if clusters.ndim == 2 else np.column_stack([clusters, clusters])
        values, place = np.unique(columns, return_inverse=True)
        place, self._count = place.reshape(columns.shape), len(values)
        self._first, self._second = place.min(axis=1), place.max(axis=1)
        pairs, self._pair = np.unique(self._first * self._count + self._second, return_inverse=True)
        self._two = pairs // self._count != pairs % self._count

    def products(self, values: Array) -> tuple[float, float]:
        """Return the sum of v_i v_j over all rows i and j that share a cluster, and over those that share all.

        Parameters
        ----------
        values : (rows,)
        """
        alike = np.bincount(self._pair, weights=values) ** 2
        two = self._first != self._second
        sums = np.bincount(self._first, values, self._count) + np.bincount(self._second[two], values[two], self._count)
        # Rows that share two clusters have been counted at both.
        return float(sums @ sums - alike[self._two].sum()), float(alike.sum())

    @cached_property
    def independent(self) -> float:
        """How many independent rows the rows are worth: their number squared, over that of pairs that share a cluster.

        A row is a pair with itself.

        Rows that share nothing are worth their number, groups of one size the number of groups.

        >>> Overlap(np.array([1, 2, 3])).independent, Overlap(np.array([1, 1, 2, 2])).independent
        (3.0, 2.0)
        """
        rows = len(self._first)
        return rows**2 / self.products(np.ones(rows))[0]


def small_sample_factor(independent: float) -> float:
    """Return the factor of a variance of this many independent rows; see `Overlap.independent`."""
    return independent / max(independent - 1, 1)

"""Choice of test rows from a user's file, by a fraction instead of a file of their own."""

from __future__ import annotations

import numpy as np

from src.data.splits import Array
from src.errors import UserError


def choose_test_rows(units: Array, digests: Array, classes: Array | None, fraction: float) -> Array:
    """Return which rows become test rows: a fraction of each class, units undivided.

    The choice depends on the texts alone, not on their order. Units of several rows come first, in
    the order of their digests. Each goes to the side that keeps the classes' shares nearest to the
    fraction among the rows placed so far. Single rows then fill up what each class lacks.

    Parameters
    ----------
    units : array of (rows,) int64
        See `linked_units`.
    digests : array of (rows,)
        Digest of each row's text.
    classes : array of (rows,) int64, or None
        Class ids; None for regression.
    fraction : float
        Share of the rows that become test rows, between 0 and 1.

    Returns
    -------
    array of (rows,) bool

    Raises
    ------
    UserError
        One side has no row.
    """
    kind = np.zeros(len(units), dtype=np.int64) if classes is None else classes
    totals = np.bincount(kind)
    sizes = np.bincount(units)
    in_test, taken = _place_units(units, digests, kind, fraction)
    single = np.flatnonzero(sizes[units] == 1)
    single = single[np.argsort(digests[single], kind="stable")]
    available = np.bincount(kind[single], minlength=len(totals))
    if classes is not None:
        available = np.minimum(available, totals - taken - 1)  # a class leaves at least one row for training
    quota = np.clip(fraction * totals - taken, 0, np.maximum(available, 0))
    for each, count in enumerate(_whole_numbers(quota)):
        in_test[single[kind[single] == each][:count]] = True
    if in_test.all() or not in_test.any():
        raise UserError(
            f"leaves no {'training' if in_test.all() else 'test'} row: {len(units)} rows form {len(sizes)} units that "
            "stay together (same text or same group).\nChange the fraction, or give dataset.test=<file>."
        )
    return in_test


def _place_units(units: Array, digests: Array, kind: Array, fraction: float) -> tuple[Array, Array]:
    """Place units of several rows; return test rows (rows,) bool and their number in each class."""
    totals, sizes = np.bincount(kind), np.bincount(units)
    in_test = np.zeros(len(units), dtype=bool)
    order = np.lexsort((digests, units))
    starts = np.cumsum(sizes) - sizes
    several = np.flatnonzero(sizes > 1)
    placed, taken = np.zeros(len(totals)), np.zeros(len(totals))
    for unit in several[np.argsort(digests[order[starts[several]]], kind="stable")]:
        rows = order[starts[unit] : starts[unit] + sizes[unit]]
        counts = np.bincount(kind[rows], minlength=len(totals))
        placed += counts
        lacking = fraction * placed - taken
        if np.square(lacking - counts).sum() < np.square(lacking).sum():
            in_test[rows] = True
            taken += counts
    return in_test, taken


def _whole_numbers(quota: Array) -> Array:
    """Round to integers that keep the rounded sum: the largest remainders are rounded up."""
    whole: Array = np.floor(quota).astype(np.int64)
    rest = int(np.round(quota.sum())) - int(whole.sum())
    whole[np.argsort(whole - quota, kind="stable")[:rest]] += 1
    return whole


def linked_units(digests: Array, groups: Array | None) -> Array:
    """Return a unit number for each row, (rows,) int64: equal where rows share a text or a group.

    Sharing is transitive: rows that are linked through other rows belong to one unit.
    """
    unit: Array = np.unique(digests, return_inverse=True)[1]
    if groups is None:
        return unit
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    member = groups + unit.max() + 1
    size = int(member.max()) + 1
    links = coo_array((np.ones(len(unit), dtype=bool), (unit, member)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    units: Array = np.unique(component[unit], return_inverse=True)[1]
    return units.astype(np.int64)

"""Division of training rows: a held-out part, folds and bootstrap resamples.

It depends on labels, groups and a seed, never on features: it is the same for every pooling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError

Array = NDArray[Any]
GROUP_TRIES = 20  # resamples of groups, until one has every class


@dataclass(frozen=True)
class RowSplitter:
    """Seeded rule that divides the rows of one split.

    Attributes
    ----------
    y : array of (rows,)
        Class ids, or targets where `regression` is True.
    seed : int
    fraction : float
        Share of the rows that are held out.
    folds : int
    groups : array of (rows,), or None
        Rows with equal entries fall on one side. None: every row is a group of its own.
    groups_span_classes : bool
        Whether a group may hold rows of several classes. If False, groups are duplicates, and the
        first row gives a group its class.
    regression : bool
    names : sequence of str
        Class names in id order, for error messages.
    """

    y: Array
    seed: int
    fraction: float = 0.2
    folds: int = 10
    groups: Array | None = None
    groups_span_classes: bool = False
    regression: bool = False
    names: Sequence[str] = ()

    def holdout_mask(self) -> Array:
        """Return which rows are held out, (rows,) bool: a stratified fraction.

        Regression is stratified by tenths of the target. Every class keeps at least one group to be
        fitted on, so a class with a single group is never held out.

        Raises
        ------
        UserError
            Too few rows or groups to hold any out.
        """
        y = self.y
        unit, stratum = _units(y, self.groups, self.regression)
        generator = np.random.default_rng([self.seed, 0])
        if self.groups_span_classes:
            shares = np.array([1 - self.fraction, self.fraction])
            held = _deal(unit, self._strata(), shares, generator, all_classes_first=True) == 1
        else:
            held = _hold_out(stratum, np.bincount(unit), self.fraction, generator)
        if not held.any():
            plural = "s" * (len(held) != 1)
            spans = self.groups_span_classes
            units = f" in {len(held)} group{plural}" if spans else f", {len(held)} of them distinct,"
            raise UserError(
                f"{len(y)} training rows{units} are too few to hold {self.fraction:.0%} out for the choice of the grid."
                " Give more rows, or rows to choose on in dataset.validation."
            )
        mask = held[unit]
        if not self.regression:
            _check_none_lost(np.setdiff1d(y, y[~mask]), self.names)
        return mask

    def fold_ids(self) -> Array:
        """Return the fold of each row, (rows,) int64, with classes and groups spread evenly.

        Regression spreads tenths of the target evenly.

        Raises
        ------
        UserError
            Fewer rows (or groups) than folds, overall or within a class.
        """
        y, folds = self.y, self.folds
        unit, stratum = _units(y, self.groups, self.regression)
        self._check_fold_sizes(unit, stratum)
        generator = np.random.default_rng([self.seed, 1])
        if self.groups_span_classes:
            fold = _deal(unit, self._strata(), np.full(folds, 1 / folds), generator)
        else:
            fold = np.empty(len(stratum), dtype=np.int64)
            dealt = 0
            for name in np.unique(stratum):
                members = generator.permutation(np.flatnonzero(stratum == name))
                fold[members] = (dealt + np.arange(len(members))) % folds
                dealt += len(members)
        ids = fold[unit]
        if not self.regression:
            places = np.unique(y * folds + ids) // folds
            _check_none_lost(np.flatnonzero(np.bincount(places) == 1), self.names)
        return ids

    def subset(self, rows: Array) -> RowSplitter:
        """Return the same rule for some of the rows."""
        return replace(self, y=self.y[rows], groups=None if self.groups is None else self.groups[rows])

    def check(self, selection: str) -> None:
        """Divide the rows as a selection will.

        Raises
        ------
        UserError
            Too few rows for the selection.
        """
        if selection == "carve":
            if not self.regression and 1 in (counts := np.bincount(self.y)):
                name = _class_name(int(np.flatnonzero(counts == 1)[0]), self.names)
                raise UserError(f"class {name} has 1 training row; choosing the grid on a part of train needs 2.")
            self.holdout_mask()
        elif selection in ("folds", "nested"):
            fold = self.fold_ids()
            for number in range(self.folds if selection == "nested" else 0):
                self.subset(fold != number).fold_ids()

    def _strata(self) -> Array:
        return _tenths(self.y) if self.regression else self.y

    def _check_fold_sizes(self, unit: Array, stratum: Array) -> None:
        y, spans = self.y, self.groups_span_classes
        way_out = f"fewer than the {self.folds} folds. Set dataset.folds lower, or dataset.selection=carve."
        if len(stratum) < self.folds:
            raise UserError(f"{len(y)} rows hold {_count_text(len(stratum), spans)}, {way_out}")
        if self.regression:
            return
        counts = np.bincount(np.unique(unit * (y.max() + 1) + y) % (y.max() + 1) if spans else stratum)
        if (small := counts[counts > 0].min()) < self.folds:
            name = _class_name(int(np.flatnonzero(counts == small)[0]), self.names)
            raise UserError(f"class {name} has {_count_text(int(small), spans)}, {way_out}")


def resample(y: Array, seed: int, draw: int, *, regression: bool = False, groups: Array | None = None) -> Array:
    """Return how often each row occurs in a stratified bootstrap resample, (rows,) float64.

    Every class keeps its number of rows. With `groups`, whole groups are drawn instead, and every
    class keeps a row.

    Parameters
    ----------
    y : array of (rows,)
        Class ids, or targets.
    seed, draw : int
    regression : bool, default False
    groups : array of (rows,), or None

    Raises
    ------
    UserError
        A class has so few groups that most resamples lose it.
    """
    generator = np.random.default_rng([seed, 2, draw])
    if groups is not None:
        return _resample_groups(y, groups, generator, regression)
    stratum = np.zeros(len(y), dtype=np.int64) if regression else y
    counts = np.zeros(len(y))
    for name in np.unique(stratum):
        members = np.flatnonzero(stratum == name)
        counts[members] = np.bincount(generator.integers(len(members), size=len(members)), minlength=len(members))
    return counts


def _resample_groups(y: Array, groups: Array, generator: np.random.Generator, regression: bool) -> Array:
    """Return how often each row occurs if groups are drawn; drawn again where a class is lost."""
    place = np.unique(groups, return_inverse=True)[1].ravel()
    count = int(place.max()) + 1
    for _ in range(GROUP_TRIES):
        times = np.bincount(generator.integers(count, size=count), minlength=count)[place].astype(np.float64)
        if regression or (np.bincount(y, weights=times) > 0).all():
            return times
    raise UserError(
        f"draws resamples the {count} groups of training rows, and {GROUP_TRIES} resamples each lost a class. "
        "Set draws=1, or give the class more groups."
    )


def _units(y: Array, groups: Array | None, regression: bool) -> tuple[Array, Array]:
    """Return the unit of each row, which stays on one side of a split, and each unit's stratum."""
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    first = np.unique(unit, return_index=True)[1]
    return unit, _tenths(y[first]) if regression else y[first]


def _tenths(y: Array) -> Array:
    tenth = np.empty(len(y), dtype=np.int64)
    tenth[np.argsort(y, kind="stable")] = np.arange(len(y)) * 10 // len(y)
    return tenth


def _hold_out(stratum: Array, size: Array, fraction: float, generator: np.random.Generator) -> Array:
    """Return which units are held out, (units,) bool: a random fraction of each stratum's rows."""
    held = np.zeros(len(stratum), dtype=bool)
    for name in np.unique(stratum):
        members = generator.permutation(np.flatnonzero(stratum == name))
        goal = fraction * size[members].sum()
        before = np.cumsum(size[members]) - size[members]
        taken = members[:-1][(before + size[members] / 2 <= goal)[:-1]]
        held[taken] = True
    return held


def _deal(
    unit: Array, classes: Array, shares: Array, generator: np.random.Generator, *, all_classes_first: bool = False
) -> Array:
    """Return the part of each unit, (units,).

    Large units come first, each to the part that lacks its classes most.

    The least sum of squares over classes and parts is sought; for units of one row this is
    Sainte-Lague's rule. With `all_classes_first`, the first part gets a unit of every class before
    any other part does.
    """
    counts = np.zeros((unit.max() + 1, classes.max() + 2))
    np.add.at(counts, (unit, classes), 1)
    counts[:, -1] = counts.sum(axis=1)  # all rows count as one more class, which evens the parts' sizes too
    totals = np.maximum(counts.sum(axis=0), 1)
    order = generator.permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    load = np.zeros((len(shares), counts.shape[1]))
    part = np.empty(len(counts), dtype=np.int64)
    for number in order:
        each = counts[number]
        first = all_classes_first and bool((load[0][each > 0] == 0).any())
        part[number] = 0 if first else (((2 * load + each) @ (each / totals)) / shares).argmin()
        load[part[number]] += each
    return part


def _check_none_lost(lost: Array, names: Sequence[str]) -> None:
    """Raise a UserError if a division leaves no row of a class to be fitted on."""
    if len(lost):
        raise UserError(
            f"class {_class_name(int(lost[0]), names)} cannot be on both sides of a split: its training rows stay "
            "together, as they share their texts or groups. Give it more rows."
        )


def _count_text(units: int, groups: bool) -> str:
    plural = "s" * (units != 1)
    return f"{units} group{plural} of training rows" if groups else f"{units} distinct training row{plural}"


def _class_name(number: int, names: Sequence[str]) -> str:
    return f"'{names[number]}'" if names else str(number)

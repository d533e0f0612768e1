"""How rows are divided: a part held out, folds and resamples for the probe, and a test part of the user's own file.

Labels, groups and a seed (for the test part the texts) decide, never features: the rows are divided alike for every pooling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class RowSplitter:
    """The rule by which a split's rows are divided.

    Attributes
    ----------
    y : (rows,) class ids, or targets where `regression`
    groups : (rows,), rows with equal entries fall on one side; None: every row by itself
    mixed : whether groups hold rows of several classes by their nature; else they are duplicates, and the first row tells the class
    names : class names in id order, for errors
    """

    y: Array
    seed: int
    fraction: float = 0.2
    folds: int = 10
    groups: Array | None = None
    mixed: bool = False
    regression: bool = False
    names: Sequence[str] = ()

    def held(self) -> Array:
        """Which rows are held out for the choice, (rows,) bool: a stratified fraction (regression: by tenths of the target).

        Every class keeps at least one row (with its group) to be fitted on; a class with one such unit is never held out.

        Raises
        ------
        UserError
            Too few rows or groups to hold any out.
        """
        y = self.y
        unit, stratum = _units(y, self.groups, self.regression)
        generator = np.random.default_rng([self.seed, 0])
        if self.mixed:
            shares = np.array([1 - self.fraction, self.fraction])
            held = _dealt(unit, _tenths(y) if self.regression else y, shares, generator, keep=True) == 1
        else:
            held = _by_class(stratum, np.bincount(unit), self.fraction, generator)
        if not held.any():
            units = (
                f" in {len(held)} group{'s' * (len(held) != 1)}" if self.mixed else f", {len(held)} of them distinct,"
            )
            raise UserError(
                f"{len(y)} training rows{units} are too few to hold {self.fraction:.0%} out for the choice of the grid. "
                "Give more rows, or rows to choose on in dataset.validation."
            )
        rows = held[unit]
        if not self.regression:
            _refuse_lost(np.setdiff1d(y, y[~rows]), self.names)
        return rows

    def fold(self) -> Array:
        """Fold of each row, (rows,) int64; classes (regression: tenths of the target) and groups are dealt out evenly.

        Raises
        ------
        UserError
            Fewer rows (or groups) than folds, in all or of a class.
        """
        y, folds, mixed = self.y, self.folds, self.mixed
        unit, stratum = _units(y, self.groups, self.regression)
        way_out = f"fewer than the {folds} folds. Set dataset.folds lower, or dataset.selection=carve."
        if len(stratum) < folds:
            raise UserError(f"{len(y)} rows hold {_counted(len(stratum), mixed)}, {way_out}")
        if not self.regression:
            counts = np.bincount(np.unique(unit * (y.max() + 1) + y) % (y.max() + 1) if mixed else stratum)
            if (small := counts[counts > 0].min()) < folds:
                name = _name(int(np.flatnonzero(counts == small)[0]), self.names)
                raise UserError(f"class {name} has {_counted(int(small), mixed)}, {way_out}")
        generator = np.random.default_rng([self.seed, 1])
        if mixed:
            fold = _dealt(unit, _tenths(y) if self.regression else y, np.full(folds, 1 / folds), generator)
        else:
            fold = np.empty(len(stratum), dtype=np.int64)
            dealt = 0
            for name in np.unique(stratum):
                members = generator.permutation(np.flatnonzero(stratum == name))
                fold[members] = (dealt + np.arange(len(members))) % folds
                dealt += len(members)
        rows = fold[unit]
        if not self.regression:
            places = np.unique(y * folds + rows) // folds
            _refuse_lost(np.flatnonzero(np.bincount(places) == 1), self.names)
        return rows

    def among(self, rows: Array) -> RowSplitter:
        """The same rule for these rows alone."""
        return replace(self, y=self.y[rows], groups=None if self.groups is None else self.groups[rows])

    def check(self, selection: str) -> None:
        """Divide as this selection will; a UserError where the rows do not suffice."""
        if selection == "carve":
            if not self.regression and 1 in (counts := np.bincount(self.y)):
                name = _name(int(np.flatnonzero(counts == 1)[0]), self.names)
                raise UserError(f"class {name} has 1 training row; choosing the grid on a part of train needs 2.")
            self.held()
        elif selection in ("folds", "nested"):
            fold = self.fold()
            for number in range(self.folds if selection == "nested" else 0):
                self.among(fold != number).fold()


def parted(unit: Array, digests: Array, kinds: Array | None, fraction: float) -> Array:
    """Which rows go to test, (rows,) bool: the fraction of each class, rows of one unit on one side.

    The choice follows from the texts alone, whatever their order. Units of several rows come first, in the order of their digests,
    each to the side that keeps the classes' shares nearest to the fraction among the rows placed so far; single rows then fill up what
    each class lacks.

    Parameters
    ----------
    unit, digests : (rows,) see `joined`; digest of each row's text
    kinds : (rows,) class ids; None for regression

    Raises
    ------
    UserError
        No row is left on one side.
    """
    kind = np.zeros(len(unit), dtype=np.int64) if kinds is None else kinds
    totals = np.bincount(kind)
    in_test = np.zeros(len(unit), dtype=bool)
    sizes = np.bincount(unit)
    order = np.lexsort((digests, unit))
    starts = np.cumsum(sizes) - sizes
    several = np.flatnonzero(sizes > 1)
    placed, taken = np.zeros(len(totals)), np.zeros(len(totals))
    for chosen in several[np.argsort(digests[order[starts[several]]], kind="stable")]:
        rows = order[starts[chosen] : starts[chosen] + sizes[chosen]]
        counts = np.bincount(kind[rows], minlength=len(totals))
        placed += counts
        lacking = fraction * placed - taken
        if np.square(lacking - counts).sum() < np.square(lacking).sum():
            in_test[rows] = True
            taken += counts
    single = np.flatnonzero(sizes[unit] == 1)
    single = single[np.argsort(digests[single], kind="stable")]
    available = np.bincount(kind[single], minlength=len(totals))
    if kinds is not None:
        available = np.minimum(available, totals - taken - 1)  # a class leaves at least one row for training
    for each, rows_wanted in enumerate(_whole_numbers(np.clip(fraction * totals - taken, 0, np.maximum(available, 0)))):
        in_test[single[kind[single] == each][:rows_wanted]] = True
    if in_test.all() or not in_test.any():
        raise UserError(
            f"leaves no {'training' if in_test.all() else 'test'} row: {len(unit)} rows form {len(sizes)} units that stay together (same "
            "text or same group).\nChange the fraction, or give dataset.test=<file>."
        )
    return in_test


def _whole_numbers(quota: Array) -> Array:
    """Integers of the same rounded sum as `quota`, each next to its own: the largest remainders are rounded up."""
    whole: Array = np.floor(quota).astype(np.int64)
    rest = int(np.round(quota.sum())) - int(whole.sum())
    whole[np.argsort(whole - quota, kind="stable")[:rest]] += 1
    return whole


def joined(digests: Array, group: Array | None) -> Array:
    """A number for each row, (rows,) int64, equal where rows share a digest or a group, however long the chain between them."""
    unit: Array = np.unique(digests, return_inverse=True)[1]
    if group is None:
        return unit
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    member = group + unit.max() + 1
    size = int(member.max()) + 1
    links = coo_array((np.ones(len(unit), dtype=bool), (unit, member)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    units: Array = np.unique(component[unit], return_inverse=True)[1]
    return units.astype(np.int64)


def resample(y: Array, seed: int, draw: int, *, regression: bool = False) -> Array:
    """How often each row occurs in a stratified bootstrap resample, (rows,) float64; every class keeps its number of rows."""
    generator = np.random.default_rng([seed, 2, draw])
    stratum = np.zeros(len(y), dtype=np.int64) if regression else y
    times = np.zeros(len(y))
    for name in np.unique(stratum):
        members = np.flatnonzero(stratum == name)
        times[members] = np.bincount(generator.integers(len(members), size=len(members)), minlength=len(members))
    return times


def _units(y: Array, groups: Array | None, regression: bool) -> tuple[Array, Array]:
    """Unit of each row (rows that stay on one side of a split) and stratum of each unit."""
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    first = np.unique(unit, return_index=True)[1]
    return unit, _tenths(y[first]) if regression else y[first]


def _tenths(y: Array) -> Array:
    tenth = np.empty(len(y), dtype=np.int64)
    tenth[np.argsort(y, kind="stable")] = np.arange(len(y)) * 10 // len(y)
    return tenth


def _by_class(stratum: Array, size: Array, fraction: float, generator: np.random.Generator) -> Array:
    """Which units are held out, (units,) bool: of each stratum, in random order, as many as make up the fraction of its rows."""
    held = np.zeros(len(stratum), dtype=bool)
    for name in np.unique(stratum):
        members = generator.permutation(np.flatnonzero(stratum == name))
        goal = fraction * size[members].sum()
        before = np.cumsum(size[members]) - size[members]
        taken = members[:-1][(before + size[members] / 2 <= goal)[:-1]]
        held[taken] = True
    return held


def _dealt(unit: Array, kind: Array, shares: Array, generator: np.random.Generator, *, keep: bool = False) -> Array:
    """Part of each unit, (units,): large ones first, each to the part that is farthest behind its share of the classes it holds.

    The least sum of squares over classes and parts is sought (for units of one row: Sainte-Lague's rule). With `keep`, the first part
    gets a unit of every class before any other part does.
    """
    counts = np.zeros((unit.max() + 1, kind.max() + 2))
    np.add.at(counts, (unit, kind), 1)
    counts[:, -1] = counts.sum(axis=1)  # all rows count as one more class, so that the parts' sizes are even too
    totals = np.maximum(counts.sum(axis=0), 1)
    order = generator.permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    load = np.zeros((len(shares), counts.shape[1]))
    part = np.empty(len(counts), dtype=np.int64)
    for number in order:
        each = counts[number]
        first = keep and bool((load[0][each > 0] == 0).any())
        part[number] = 0 if first else (((2 * load + each) @ (each / totals)) / shares).argmin()
        load[part[number]] += each
    return part


def _refuse_lost(lost: Array, names: Sequence[str]) -> None:
    """A class that a division leaves nothing of to be fitted on: its rows stay together with rows of other classes."""
    if len(lost):
        raise UserError(
            f"class {_name(int(lost[0]), names)} cannot be on both sides of a split: its training rows stay together, as they share their "
            "texts or groups. Give it more rows."
        )


def _counted(units: int, mixed: bool) -> str:
    plural = "s" * (units != 1)
    return f"{units} group{plural} of training rows" if mixed else f"{units} distinct training row{plural}"


def _name(number: int, names: Sequence[str]) -> str:
    return f"'{names[number]}'" if names else str(number)

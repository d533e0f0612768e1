"""Test rows as weighted units, for resampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import scipy.sparse as sp

from src.evaluation.metrics import Array, metrics
from src.runtime.parallel import parallel_map

CHUNK_WEIGHTS = 100_000  # weights processed at a time, so that they stay in the processor's cache
CHUNK_NUMBERS = 1 << 25  # float64 numbers of a statistic in memory: 256 MiB
PARALLEL_NUMBERS = 2_000_000  # of all resamples together, from which threads gain more than they cost
GROUP = 16  # chunks of resamples that are drawn before their statistics are computed
SPARSE = 5  # rows or predictions of a class; with fewer, resamples may miss what new rows would show
FEWEST_GROUPS = 5  # of rows, from which a bootstrap over groups has an interval
MAX_CELLS = 1024  # kinds of rows that are listed for `unseen`


@dataclass(frozen=True)
class Sample:
    """Test rows as weighted units, and a statistic of their weights.

    Attributes
    ----------
    counts : (units,)
        Rows of each unit. Rows of a classification task with one label and the same predictions are
        one unit, a cell; in regression each row is a unit.
    statistic : callable
        Maps weights (resamples, units) to values (resamples,).
    unseen : (unseen cells, units and unseen cells), or None
        Weights of one row in each possible cell that no row fell into; None where cells are not
        listed.
    size : int, default 1
        Numbers that the statistic holds at once for one resample.
    strata : (rows,), or None
        Rows are resampled among those with an equal entry; for units of one row.
    """

    counts: Array
    statistic: Callable[[Array], Array]
    unseen: Array | None = None
    size: int = field(default=1, kw_only=True)
    strata: Array | None = field(default=None, kw_only=True)

    @property
    def rows(self) -> int:
        """Number of test rows."""
        return int(self.counts.sum())

    def point(self) -> float:
        """Return the statistic of the test rows themselves."""
        return float(self.statistic(self.counts[None].astype(np.float64))[0])

    def _chunks(self, count: int) -> Iterator[int]:
        size = max(1, min(count, CHUNK_WEIGHTS // len(self.counts), CHUNK_NUMBERS // self.size))
        return (min(size, count - start) for start in range(0, count, size))

    def bootstrap(self, seed: int, resamples: int) -> Array:
        """Return the statistic of each of `resamples` resamples of the rows, (resamples,)."""
        drawn = self._resamples(np.random.default_rng([seed, 3]), resamples)
        if resamples * max(len(self.counts), self.size) < PARALLEL_NUMBERS:
            return np.concatenate([self.statistic(weights) for weights in drawn])
        values: list[Array] = []
        with parallel_map() as over:
            while group := list(islice(drawn, GROUP)):  # drawn in order, so that threads do not change a value
                values += over(self.statistic, group)
        return np.concatenate(values)

    def _resamples(self, generator: np.random.Generator, resamples: int) -> Iterator[Array]:
        """Yield the weights of some resamples, (count, units) float64, until all are drawn."""
        units = len(self.counts)
        for count in self._chunks(resamples):
            if self.rows == units:
                drawn = self._draw(generator, count) + units * np.arange(count)[:, None]
                yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
            else:
                yield generator.multinomial(self.rows, self.counts / self.rows, size=count).astype(np.float64)

    def _draw(self, generator: np.random.Generator, count: int) -> Array:
        """Return the rows of each resample, (count, rows)."""
        if self.strata is None:
            return generator.integers(self.rows, size=(count, self.rows))
        drawn = np.empty((count, self.rows), dtype=np.int64)
        for number in np.unique(self.strata):
            members = np.flatnonzero(self.strata == number)
            drawn[:, members] = members[generator.integers(len(members), size=(count, len(members)))]
        return drawn

    def jackknife(self) -> Array:
        """Return the statistic without one row of each unit, (units,)."""
        values, start = [], 0
        for count in self._chunks(len(self.counts)):
            weights = np.repeat(self.counts[None].astype(np.float64), count, axis=0)
            weights[np.arange(count), start + np.arange(count)] -= 1
            values.append(self.statistic(weights))
            start += count
        return np.concatenate(values)


def group_matrix(units: Array, groups: Array) -> sp.csr_matrix:
    """Return the rows that each group has in each unit, (groups, units), in groups of 1 row on average.

    Parameters
    ----------
    units : (rows,) int64
        Each row's unit.
    groups : (rows,)
        Equal for rows that are resampled together.
    """
    place = np.unique(groups, return_inverse=True)[1].ravel()
    shape = (int(place.max()) + 1, int(units.max()) + 1)
    return sp.csr_matrix((np.full(len(units), shape[0] / len(units)), (place, units)), shape=shape)


def grouped(sample: Sample, units: Array, groups: Array) -> Sample:
    """Return a sample whose units are groups of rows, each drawn as a whole.

    Parameters
    ----------
    sample : Sample
    units, groups : (rows,)
        Each row's unit in `sample`, and its group.
    """
    matrix = group_matrix(units, groups)
    count = matrix.shape[0]

    def statistic(weights: Array) -> Array:
        return sample.statistic(np.concatenate([weights[:, :count] @ matrix, weights[:, count:]], axis=1))

    unseen = None if sample.unseen is None else np.eye(count + len(sample.unseen))[count:]
    return Sample(np.ones(count), statistic, unseen, size=sample.size)


def metric_sample(
    name: str,
    labels: Array,
    predictions: Array,
    classes: int,
    signs: Array | None = None,
    groups: Array | None = None,
) -> Sample:
    """Return the `Sample` of a metric's mean over predictions (draws, rows).

    Parameters
    ----------
    classes : int
        0 for regression.
    signs : (draws,), or None
        Factors of the draws, as [1, -1] for a difference; None averages over draws.
    groups : (rows,), or None
        Equal for rows that are drawn together, which are then the units.
    """
    function = metrics[name].function
    share = np.full(len(predictions), 1 / len(predictions)) if signs is None else np.asarray(signs, dtype=np.float64)
    if not classes:
        labels, predictions = labels.astype(np.float64), predictions.astype(np.float64)

        def of_rows(weights: Array) -> Array:
            values = [part * function(labels, row, weights) for part, row in zip(share, predictions, strict=True)]
            return np.sum(values, axis=0)

        rows = Sample(np.ones(len(labels)), of_rows)
        return rows if groups is None else grouped(rows, np.arange(len(labels)), groups)
    cells, place, counts = np.unique(
        np.concatenate([labels[None], predictions]), axis=1, return_inverse=True, return_counts=True
    )
    unseen_cells = _unseen_cells(cells, classes)
    units = np.concatenate([cells, unseen_cells], axis=1)
    seen = len(counts)

    def statistic(weights: Array) -> Array:
        total: Array = np.zeros(len(weights))
        used = units[:, : weights.shape[1]]
        for part, row in zip(share, used[1:], strict=True):
            confusion = np.zeros((len(weights), classes**2))
            cell = used[0] * classes + row
            order = np.argsort(cell, kind="stable")
            first = np.flatnonzero(np.concatenate([[True], np.diff(cell[order]) > 0]))
            confusion[:, cell[order][first]] = np.add.reduceat(weights[:, order], first, axis=1)
            total = total + part * function(confusion.reshape(-1, classes, classes))
        return total

    unseen = np.eye(units.shape[1])[seen:]
    found = Sample(counts, statistic, unseen if len(unseen) else None, size=classes**2)
    return found if groups is None else grouped(found, place.ravel(), groups)


def _unseen_cells(cells: Array, classes: int) -> Array:
    """Return the possible cells without rows, (1 + draws, cells); none if there are too many."""
    shape = (classes,) * len(cells)
    possible = classes ** len(cells)
    if possible > MAX_CELLS:
        return np.empty((len(cells), 0), dtype=np.int64)
    unseen = np.setdiff1d(np.arange(possible), np.ravel_multi_index(tuple(cells), shape))
    return np.stack(np.unravel_index(unseen, shape))


def is_sparse(labels: Array, predictions: Array, classes: int) -> bool:
    """Return whether some class has fewer than `SPARSE` rows, or fewer predictions in some draw.

    Parameters
    ----------
    predictions : (draws, rows)
    classes : int
        0 for regression, which is never sparse.
    """
    return classes > 0 and any(np.bincount(row, minlength=classes).min() < SPARSE for row in (labels, *predictions))

"""Search of the grid: every value is fitted, and the losses of held-out rows choose one.

A grid that may be extended goes on in half-decade steps while its best value is at an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.constant import fit_constant
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid_fit import GridFit
from src.probes.held_out import HoldOut, subset_weights
from src.probes.outcome import GridChoice
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.linear import Array

TIE = 1e-9  # losses nearer than this are equal: the stronger penalty is chosen
# Penalties per row that an extended grid may reach, from the strongest: 1e4, 3e3, 1e3, ... 1e-7.
HALF_DECADES = [float(f"{digit}e{power}") for power in range(4, -8, -1) for digit in (3, 1)][1:]
EXTENSION = 2  # values that are added at once


class Criterion:
    """The loss that chooses: log-loss, or squared error, averaged over all held-out rows."""

    def losses(self, fitter: ProbeFitter, fits: Sequence[GridFit], rows: Array | Rows) -> list[Array]:
        """Return each fit's losses (rows,) of some training rows, or of the rows of another split."""
        return fitter.losses(fits, rows)

    def mean(self, folds: Sequence[Array]) -> float:
        """Return the mean of the losses (rows,) of each fold."""
        return float(sum(losses.sum() for losses in folds) / sum(len(losses) for losses in folds))


@dataclass(frozen=True)
class Candidate:
    """A value of the grid with its fits, one per fold, and its mean loss on held-out rows."""

    value: float
    fits: list[GridFit]
    loss: float


@dataclass(frozen=True)
class GridSearch:
    """The grid as fitted.

    Attributes
    ----------
    candidates : list of Candidate
        From the strongest penalty to the weakest.
    rows : dict of str to int
        Number of rows fitted on and held out.
    held_out : HoldOut, or None
        Rows that chose; None if nothing was chosen by the losses of a fitted probe.
    by_loss : bool
        Whether log-loss or squared error chose, not another criterion.
    bounds : (float, float)
        Smallest and largest useful value: a choice there is at no edge.
    """

    candidates: list[Candidate]
    rows: dict[str, int]
    held_out: HoldOut | None = None
    by_loss: bool = True
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def best(self) -> int:
        """Return the index of the chosen candidate; see `pick`."""
        return pick([candidate.loss for candidate in self.candidates])

    def choice(
        self,
        parameter: str,
        refitted: int,
        best: int,
        *,
        refits: Sequence[GridFit] = (),
        separable: bool | None = None,
        votes: list[float] | None = None,
    ) -> GridChoice:
        """Return the record of a chosen candidate.

        Parameters
        ----------
        parameter : str
            Name of the grid's parameter.
        refitted : int
            Number of rows that the chosen value was refitted on.
        best : int
            Index of the candidate.
        refits : sequence of GridFit
            Fits that were made at its value.
        separable, votes
            As in `GridChoice`.
        """
        converged = [_all_converged(fit.converged for fit in candidate.fits) for candidate in self.candidates]
        grid = []
        for candidate, flag in zip(self.candidates, converged, strict=True):
            gaps = [fit.gap for fit in candidate.fits if fit.gap is not None]
            grid.append(
                {
                    "value": candidate.value,
                    "loss": candidate.loss if np.isfinite(candidate.loss) else None,
                    "converged": flag,
                    "gap": max(gaps) if gaps else None,
                }
            )
        chosen = _all_converged([converged[best], *(fit.converged for fit in refits)])
        rows = {**self.rows, "refitted": refitted}
        value, edge = self.candidates[best].value, self._edge(best)
        return GridChoice(parameter, value, grid, chosen, separable, edge, rows, votes)

    def _edge(self, best: int) -> str | None:
        """Return the grid's end that the choice lies at; None if all values are equally good."""
        if self.is_flat or best not in (0, len(self.candidates) - 1):
            return None
        values, (smallest, largest) = [candidate.value for candidate in self.candidates], self.bounds
        end, at_bound = (
            ("high", values[best] >= largest)
            if values[best] == max(values)
            else (
                "low",
                values[best] <= smallest,
            )
        )
        return None if at_bound else end

    @property
    def is_flat(self) -> bool:
        """Whether all values are equally good."""
        losses = [candidate.loss for candidate in self.candidates]
        return not max(losses) > min(losses) + TIE

    def next_values(self) -> list[float]:
        """Return the values beyond the end that the best lies at, from the nearest; none if it is inside."""
        best, values = self.best(), [candidate.value for candidate in self.candidates]
        if self.is_flat:
            return []
        stronger = [value for value in reversed(HALF_DECADES) if value > values[0]] if best == 0 else []
        weaker = [value for value in HALF_DECADES if value < values[-1]] if best == len(values) - 1 else []
        return (stronger or weaker)[:EXTENSION]

    def with_values(self, fitter: ProbeFitter, values: Sequence[float], criterion: Criterion) -> GridSearch:
        """Return the grid with further values, whose fits start at those of the nearest value."""
        assert self.held_out is not None
        fitted = {candidate.value for candidate in self.candidates}
        added = [value for value in values if value not in fitted]
        if not added:  # in the grid's own order, which for other parameters may be a rising one
            return self
        starts = [
            min(self.candidates, key=lambda each: abs(np.log(max(each.value, HALF_DECADES[-1]) / value)))
            for value in added
        ]
        found = _candidates(fitter, self.held_out, added, criterion, starts)
        joined = sorted([*self.candidates, *found], key=lambda each: each.value, reverse=True)
        return replace(self, candidates=joined)


def pick(means: Sequence[float]) -> int:
    """Return the index of the least loss; within a tie, of the strongest penalty.

    `means` run from the strongest penalty to the weakest. Values that are not finite are ignored.

    Raises
    ------
    UserError
        No value has a finite loss.
    """
    finite = [loss for loss in means if np.isfinite(loss)]
    if not finite:
        raise UserError(
            "the loss on the held-out rows is NaN or infinite at every value of the grid. Try stronger penalties in "
            "probe.grid."
        )
    return next(index for index, loss in enumerate(means) if loss <= min(finite) + TIE)


def search_grid(
    fitter: ProbeFitter, settings: ProbeSettings, data: ProbeData, splitter: RowSplitter, criterion: Criterion
) -> GridSearch:
    """Fit every value of the grid and score it on the rows that the selection holds out.

    Raises
    ------
    UserError
        The selection is unknown, lacks a development split, or the rows do not suffice for it.
    """
    rows = len(fitter.y)
    if settings.selection == "folds":
        return cross_validate(fitter, splitter.fold_ids(), np.arange(rows), criterion)
    if settings.selection == "development":
        if data.development is None:
            raise UserError(
                "selection=development needs a labelled development split. Set "
                "++dataset.splits.development=SPLIT or dataset.selection=carve."
            )
        counts = {"fitted": rows, "held_out": len(data.development.y)}
        return _search(fitter, HoldOut([None], [data.development]), counts, criterion)
    if settings.selection == "carve":
        mask = splitter.holdout_mask()
        held_out = np.flatnonzero(mask)
        counts = {"fitted": rows - len(held_out), "held_out": len(held_out)}
        return _search(fitter, HoldOut([(~mask).astype(np.float64)], [held_out]), counts, criterion)
    raise UserError(f"unknown selection '{settings.selection}'. Known: carve, development, folds, nested.")


def cross_validate(fitter: ProbeFitter, fold_ids: Array, rows: Array, criterion: Criterion) -> GridSearch:
    """Fit every value without each fold, and average the loss over the rows left out.

    Parameters
    ----------
    fold_ids : (rows,) int64
        Fold of each of the rows.
    rows : (rows,) int64
        Training rows that are used.
    """
    folds = range(int(fold_ids.max()) + 1)
    held_out = HoldOut(
        [subset_weights(len(fitter.y), rows[fold_ids != number]) for number in folds],
        [rows[fold_ids == number] for number in folds],
    )
    counts = {"fitted": len(rows) - len(rows) // len(folds), "held_out": len(rows)}
    return _search(fitter, held_out, counts, criterion)


def _search(fitter: ProbeFitter, held_out: HoldOut, rows: dict[str, int], criterion: Criterion) -> GridSearch:
    """Fit the grid; where it may be extended, go on until its best value is inside."""
    by_loss = type(criterion) is Criterion
    search = GridSearch(_candidates(fitter, held_out, fitter.values, criterion), rows, held_out, by_loss)
    while fitter.extends and (further := search.next_values()):
        search = search.with_values(fitter, further, criterion)
    return search


def _candidates(
    fitter: ProbeFitter,
    held_out: HoldOut,
    values: Sequence[float],
    criterion: Criterion,
    starts: Sequence[Candidate] | None = None,
) -> list[Candidate]:
    """Fit values in every fold and score them on the rows left out; `starts` are fitted values beside them."""
    requests = [
        FitRequest(value, weights, starts[column].fits[number].solution if starts else None)
        for number, weights in enumerate(held_out.weights)
        for column, value in enumerate(values)
    ]
    fits, count = fitter.fit(requests), len(values)
    losses = [
        criterion.losses(fitter, fits[number * count : (number + 1) * count], rows)
        for number, rows in enumerate(held_out.rows)
    ]
    return [
        Candidate(value, fits[column::count], criterion.mean([of_fold[column] for of_fold in losses]))
        for column, value in enumerate(values)
    ]


def with_constants(
    choice: GridChoice, fitter: ProbeFitter, search: GridSearch, best: int, weights: Sequence[Array | None]
) -> GridChoice:
    """Return the record of a choice with the losses at it, and the constants that D² compares with.

    Other estimators than the suite's own, and choices by another criterion, have none of them.

    Parameters
    ----------
    weights : sequence of arrays of (rows of train,), or None
        Rows that each scored probe was fitted on.
    """
    if not (fitter.has_solver and search.by_loss and search.held_out is not None):
        return choice
    constants = [fit_constant(fitter.y, fitter.classes, each).tolist() for each in weights]
    return replace(
        choice,
        loss=search.candidates[best].loss,
        constant_loss=search.held_out.constant_loss(fitter),
        constants=constants,
    )


def _all_converged(flags: Iterable[bool | None]) -> bool | None:
    found = list(flags)
    return False if False in found else None if None in found else True

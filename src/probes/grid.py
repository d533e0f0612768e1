"""Search of the grid: every value is fitted, and the losses of held-out rows choose one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid_fit import GridFit
from src.probes.outcome import GridChoice
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.linear import Array

TIE = 1e-9  # losses nearer than this are equal: the stronger penalty is chosen


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
    weights : array of (rows of train,), or None
        How often the first fit of a value counts each row; None: all once.
    """

    candidates: list[Candidate]
    rows: dict[str, int]
    weights: Array | None = None

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
        means = [candidate.loss for candidate in self.candidates]
        if not max(means) > min(means) + TIE:
            return None
        return "strongest" if best == 0 else "weakest" if best == len(means) - 1 else None


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
                "selection=development needs a labelled development split. Set dataset.splits.development or "
                "dataset.selection=carve."
            )
        candidates = _score(fitter, None, data.development, criterion)
        return GridSearch(candidates, {"fitted": rows, "held_out": len(data.development.y)})
    if settings.selection == "carve":
        mask = splitter.holdout_mask()
        held_out = np.flatnonzero(mask)
        weights = (~mask).astype(np.float64)
        candidates = _score(fitter, weights, held_out, criterion)
        return GridSearch(candidates, {"fitted": rows - len(held_out), "held_out": len(held_out)}, weights)
    raise UserError(f"unknown selection '{settings.selection}'. Known: carve, development, folds, nested.")


def _score(fitter: ProbeFitter, weights: Array | None, held_out: Array | Rows, criterion: Criterion) -> list[Candidate]:
    """Fit every value once on weighted rows and score it on the held-out ones."""
    fits = fitter.fit([FitRequest(value, weights) for value in fitter.values])
    return [
        Candidate(value, [fit], criterion.mean([losses]))
        for value, fit, losses in zip(fitter.values, fits, criterion.losses(fitter, fits, held_out), strict=True)
    ]


def cross_validate(fitter: ProbeFitter, fold_ids: Array, rows: Array, criterion: Criterion) -> GridSearch:
    """Fit every value without each fold, and average the loss over the rows left out.

    Parameters
    ----------
    fold_ids : (rows,) int64
        Fold of each of the rows.
    rows : (rows,) int64
        Training rows that are used.
    """
    folds = int(fold_ids.max()) + 1
    weights = [subset_weights(len(fitter.y), rows[fold_ids != number]) for number in range(folds)]
    fits = fitter.fit([FitRequest(value, kept) for kept in weights for value in fitter.values])
    count = len(fitter.values)
    losses = [
        criterion.losses(fitter, fits[number * count : (number + 1) * count], rows[fold_ids == number])
        for number in range(folds)
    ]
    candidates = [
        Candidate(value, fits[column::count], criterion.mean([of_fold[column] for of_fold in losses]))
        for column, value in enumerate(fitter.values)
    ]
    return GridSearch(candidates, {"fitted": len(rows) - len(rows) // folds, "held_out": len(rows)}, weights[0])


def subset_weights(count: int, rows: Array) -> Array:
    """Return 1 for these rows and 0 for the others, (count,) float64."""
    weights = np.zeros(count)
    weights[rows] = 1
    return weights


def _all_converged(flags: Iterable[bool | None]) -> bool | None:
    found = list(flags)
    return False if False in found else None if None in found else True

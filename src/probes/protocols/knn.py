"""The read-out of those who retrieve: the majority class of the nearest training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from src.config.schema import DISTANCE_SCALINGS, DatasetConfig, ProbeConfig
from src.data.splits import RowSplitter, resample
from src.errors import UserError
from src.probes.fitted import Prediction
from src.probes.grid import Candidate, GridSearch
from src.probes.grid_fit import GridFit
from src.probes.neighbours import neighbour_labels, vote_shares
from src.probes.nested import joined_searches
from src.probes.outcome import ProbeOutcome, no_folds
from src.probes.progress import Progress, no_progress
from src.probes.protocols.base import Protocol, protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.linear import Array, Matrix

PARAMETER = "n_neighbors"  # scikit-learn's name of k
MAX_NEIGHBOURS = 1000


@protocol("knn")
@dataclass(frozen=True)
class NearestNeighbours(Protocol):
    """The class that most of the k training rows with the largest cosine have.

    k is chosen by accuracy on the rows that the selection holds out, which share the search for
    neighbours; the largest of equally good values is taken. Log-loss cannot choose: it is infinite
    where no neighbour has the right class. Of classes with equally many votes the first in the
    order of their ids is predicted, and of equally similar rows the earlier one is nearer. With
    fewer rows than k all of them vote. ``probe.features`` scales by statistics of the training rows.

    The stored decisions are the shares of the votes. Nothing is kept to predict new rows with: it
    would be all training vectors.
    """

    SCALINGS: ClassVar[tuple[str, ...]] = DISTANCE_SCALINGS

    def check_config(self, probe: ProbeConfig, dataset: DatasetConfig, draws: int) -> None:
        """Check that no estimator and no similarity is named; raise a UserError."""
        if probe.estimator:
            raise UserError("probe.estimator: probe=knn fits nothing, so it has no estimator. Leave it out.")
        if probe.similarity != ProbeConfig.similarity:
            raise UserError(
                f"probe.similarity={probe.similarity}: probe=knn compares by the cosine. Leave probe.similarity out, "
                "or use probe=cosine for scores of pairs."
            )

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check that the grid holds values of k alone; raise a UserError."""
        values = grid.get(PARAMETER) or ()
        whole = all(float(value).is_integer() and 1 <= value <= MAX_NEIGHBOURS for value in values)
        if set(grid) != {PARAMETER} or not values or not whole:
            raise UserError(
                f"probe.grid={dict(grid)}: probe=knn needs whole numbers from 1 to {MAX_NEIGHBOURS:,} of {PARAMETER} "
                f"and nothing else. Example: probe.grid.{PARAMETER}=[1,5,21]"
            )

    def fit_by_rules(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None
    ) -> ProbeOutcome:
        """Choose k and predict; `estimator` is None."""
        vote = _Vote(settings, data, progress or no_progress)
        splitter = data.splitter(settings)
        if settings.selection == "nested":
            return _nested(vote, splitter)
        rows = np.arange(len(data.train.y))
        search = _search(vote, splitter, rows)
        best = search.best()
        predictions = vote.predictions(rows, best)
        draws = [predictions]
        if settings.draws > 1:
            counts = [resample(data.train.y, settings.seed, draw, regression=False) for draw in range(settings.draws)]
            draws = [vote.predictions(np.repeat(rows, each.astype(np.int64)), best) for each in counts]
        choice = search.choice(PARAMETER, len(rows), best)
        return ProbeOutcome(predictions, no_folds(len(data.tests["test"].y)), choice, None, draws)


class _Vote:
    """The votes of subsets of the training rows, for all values of k in falling order."""

    def __init__(self, settings: ProbeSettings, data: ProbeData, progress: Progress) -> None:
        self.settings, self.data, self.progress = settings, data, progress
        self.values = sorted({int(value) for value in settings.grid[PARAMETER]}, reverse=True)
        folds, roles = settings.folds, max(settings.draws + (settings.draws > 1), 1) * len(data.tests)
        searches = {"nested": folds * (folds + 1), "folds": folds + roles}
        self.done, self.total = 0, searches.get(settings.selection, 1 + roles)

    def labels(self, rows: Array, queries: Matrix, count: int) -> Array:
        """Return the classes of the nearest of some training rows, (queries, neighbours)."""
        train = self.data.train
        found = neighbour_labels(train.x[rows], train.y[rows], queries, count, self.settings.features)
        self.done += 1
        self.progress("neighbours", self.done, self.total)
        return found

    def errors(self, rows: Array, held_out: Rows) -> Array:
        """Return the share of held-out rows that each k predicts wrong from some training rows, (values,)."""
        labels = self.labels(rows, held_out.x, self.values[0])
        wrong = [vote_shares(labels[:, :k], self.data.classes).argmax(axis=1) != held_out.y for k in self.values]
        return np.mean(wrong, axis=1)

    def predict(self, rows: Array, queries: Matrix, best: int) -> Prediction:
        """Return predictions by some training rows at one of the values, with the shares of the votes."""
        shares = vote_shares(self.labels(rows, queries, self.values[best]), self.data.classes)
        return Prediction(shares.argmax(axis=1), shares)

    def predictions(self, rows: Array, best: int) -> dict[str, Prediction]:
        """Return the predictions of each scored role's rows."""
        return {role: self.predict(rows, each.x, best) for role, each in self.data.tests.items()}

    def search(self, errors: Array, fitted: int, held_out: int) -> GridSearch:
        """Return the grid with the share of held-out rows that each k predicts wrong."""
        candidates = [
            Candidate(float(k), [GridFit(float(k), None, None)], float(loss))
            for k, loss in zip(self.values, errors, strict=True)
        ]
        # With fewer rows than k all of them vote: a larger k changes nothing.
        bounds = (1.0, float(min(fitted, MAX_NEIGHBOURS)))
        return GridSearch(candidates, {"fitted": fitted, "held_out": held_out}, bounds=bounds)


def _search(vote: _Vote, splitter: RowSplitter, rows: Array) -> GridSearch:
    """Score every k on the rows that the selection holds out."""
    train, development = vote.data.train, vote.data.development
    if vote.settings.selection == "folds":
        return _cross_validate(vote, splitter.fold_ids(), rows)
    if vote.settings.selection == "development" and development is not None:
        return vote.search(vote.errors(rows, development), len(rows), len(development.y))
    mask = splitter.holdout_mask()
    errors = vote.errors(rows[~mask], Rows(train.x[mask], train.y[mask]))
    return vote.search(errors, int((~mask).sum()), int(mask.sum()))


def _cross_validate(vote: _Vote, fold_ids: Array, rows: Array) -> GridSearch:
    """Score every k on each fold of some rows, by the neighbours in the other folds."""
    train, folds, errors = vote.data.train, int(fold_ids.max()) + 1, np.zeros(len(vote.values))
    for number in range(folds):
        held_out = rows[fold_ids == number]
        found = vote.errors(rows[fold_ids != number], Rows(train.x[held_out], train.y[held_out]))
        errors += found * len(held_out) / len(rows)
    return vote.search(errors, len(rows) - len(rows) // folds, len(rows))


def _nested(vote: _Vote, splitter: RowSplitter) -> ProbeOutcome:
    """Choose k in inner folds, and predict each outer fold by the neighbours in the others."""
    outer, folds, train = splitter.fold_ids(), splitter.folds, vote.data.train
    values, shares = np.empty(len(outer), np.int64), np.empty((len(outer), vote.data.classes), np.float32)
    searches, chosen = [], []
    for number in range(folds):
        rows, inside = np.flatnonzero(outer != number), np.flatnonzero(outer == number)
        searches.append(_cross_validate(vote, splitter.subset(rows).fold_ids(), rows))
        chosen.append(searches[-1].best())
        found = vote.predict(rows, train.x[inside], chosen[-1])
        values[inside], shares[inside] = found.values, found.decisions
    best = int(np.bincount(chosen, minlength=len(vote.values)).argmax())  # the first of equals is the largest k
    votes = [float(vote.values[each]) for each in chosen]
    choice = joined_searches(searches, outer).choice(PARAMETER, len(outer), best, votes=votes)
    predictions = {"test": Prediction(values, shares)}
    return ProbeOutcome(predictions, outer, choice, None, [predictions])

"""Nested cross-validation: a row's probe is chosen and fitted without the row's fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.fitted import predict_folds
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import Candidate, Criterion, GridSearch, cross_validate, with_constants
from src.probes.held_out import threshold_metric
from src.probes.outcome import GridChoice, ProbeOutcome
from src.probes.separability import find_separable
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.solvers.linear import Array
from src.probes.threshold import best_threshold


def fit_nested(
    fitter: ProbeFitter, settings: ProbeSettings, data: ProbeData, splitter: RowSplitter, criterion: Criterion
) -> ProbeOutcome:
    """Choose in inner folds, refit without each outer fold, and predict its rows.

    Raises
    ------
    UserError
        `draws` is above 1, or there are too few rows for the folds.
    """
    if settings.draws > 1:
        raise UserError(
            "draws above 1 needs a test split of its own, but selection=nested predicts the training rows. Set draws=1."
        )
    folds = splitter.folds
    fitter.total = folds * folds * len(fitter.values) + folds + 1
    outer = splitter.fold_ids()
    searches = []
    for number in range(folds):
        rows = np.flatnonzero(outer != number)
        searches.append(cross_validate(fitter, splitter.subset(rows).fold_ids(), rows, criterion))
    # Where some folds have extended the grid, all have the same values, so that their losses have a mean.
    tried = {candidate.value for search in searches for candidate in search.candidates}
    searches = [search.with_values(fitter, sorted(tried, reverse=True), criterion) for search in searches]
    values = [candidate.value for candidate in searches[0].candidates]
    chosen, metric = [search.best() for search in searches], threshold_metric(fitter, settings.metric)
    requests, thresholds = [], []
    for number, (best, search) in enumerate(zip(chosen, searches, strict=True)):
        fits = search.candidates[best].fits
        requests.append(FitRequest(values[best], (outer != number).astype(np.float64), fits[0].solution))
        if metric and search.held_out is not None:
            thresholds.append(search.held_out.threshold(fitter, fits, metric))
    refits = fitter.fit(requests, stage="refit")
    cuts: Sequence[float | None] = thresholds or [None] * folds
    probes = [fitter.fitted_probe(fit, "fold", cut) for fit, cut in zip(refits, cuts, strict=True)]
    predictions = {"test": predict_folds(probes, data.train.x, outer)}
    threshold = best_threshold(metric, fitter.y, predictions["test"].decisions) if metric else None
    best = int(np.bincount(chosen, minlength=len(values)).argmax())  # the first of equals is the stronger penalty
    (final,) = fitter.fit([FitRequest(values[best], None, refits[0].solution)], stage="refit")
    separable = find_separable(fitter, final, searches[0].candidates[-1].fits[0], None)
    votes, joined = [values[each] for each in chosen], joined_searches(searches, outer)
    choice = joined.choice(
        fitter.parameter, len(outer), best, refits=[*refits, final], separable=separable, votes=votes
    )
    choice = _with_constants(choice, fitter, searches, chosen, outer)
    choice = replace(choice, threshold=threshold, thresholds=thresholds or None)
    trained_on = "all rows, at the value chosen most often; the predictions are those of the outer folds"
    fitted = fitter.fitted_probe(final, trained_on, threshold)
    return ProbeOutcome(predictions, outer, choice, fitted, [predictions])


def _with_constants(
    choice: GridChoice, fitter: ProbeFitter, searches: Sequence[GridSearch], chosen: Sequence[int], outer: Array
) -> GridChoice:
    """Return the record with the mean losses at each outer fold's own choice, and each fold's constant."""
    of_folds = [
        with_constants(choice, fitter, search, best, [(outer != number).astype(np.float64)])
        for number, (search, best) in enumerate(zip(searches, chosen, strict=True))
    ]
    if of_folds[0].constants is None:
        return choice
    return replace(
        choice,
        loss=float(np.mean([each.loss for each in of_folds])),
        constant_loss=float(np.mean([each.constant_loss for each in of_folds])),
        constants=[constant for each in of_folds for constant in each.constants or []],
    )


def joined_searches(searches: Sequence[GridSearch], outer: Array) -> GridSearch:
    """Return the searches of the outer folds as one, with mean losses."""
    folds = len(searches)
    losses = np.mean([[candidate.loss for candidate in search.candidates] for search in searches], axis=0)
    candidates = []
    for loss, *same in zip(losses, *(search.candidates for search in searches), strict=True):
        candidates.append(Candidate(same[0].value, [fit for each in same for fit in each.fits], float(loss)))
    fitted = np.mean([(outer != number).sum() for number in range(folds)]) * (folds - 1) / folds
    rows = {"fitted": int(fitted), "held_out": len(outer)}
    return GridSearch(candidates, rows, bounds=searches[0].bounds)

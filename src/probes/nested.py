"""Nested cross-validation: a row's probe is chosen and fitted without the row's fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.fitted import predict_folds
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import Candidate, Criterion, GridSearch, cross_validate
from src.probes.outcome import ProbeOutcome
from src.probes.separability import find_separable
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.solvers.linear import Array


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
    values, folds = fitter.values, splitter.folds
    fitter.total = folds * folds * len(values) + folds + 1
    outer = splitter.fold_ids()
    searches = []
    for number in range(folds):
        rows = np.flatnonzero(outer != number)
        searches.append(cross_validate(fitter, splitter.subset(rows).fold_ids(), rows, criterion))
    chosen = [search.best() for search in searches]
    requests = []
    for number, (best, search) in enumerate(zip(chosen, searches, strict=True)):
        start = search.candidates[best].fits[0].solution
        requests.append(FitRequest(values[best], (outer != number).astype(np.float64), start))
    refits = fitter.fit(requests, stage="refit")
    probes = [fitter.fitted_probe(fit, "fold") for fit in refits]
    predictions = {"test": predict_folds(probes, data.train.x, outer)}
    best = int(np.bincount(chosen, minlength=len(values)).argmax())  # the first of equals is the stronger penalty
    (final,) = fitter.fit([FitRequest(values[best], None, refits[0].solution)], stage="refit")
    separable = find_separable(fitter, final, searches[0].candidates[-1].fits[0], None)
    votes = [values[each] for each in chosen]
    choice = joined_searches(searches, outer).choice(
        fitter.parameter, len(outer), best, refits=[*refits, final], separable=separable, votes=votes
    )
    trained_on = "all rows, at the value chosen most often; the predictions are those of the outer folds"
    return ProbeOutcome(predictions, outer, choice, fitter.fitted_probe(final, trained_on), [predictions])


def joined_searches(searches: Sequence[GridSearch], outer: Array) -> GridSearch:
    """Return the searches of the outer folds as one, with mean losses."""
    folds = len(searches)
    losses = np.mean([[candidate.loss for candidate in search.candidates] for search in searches], axis=0)
    candidates = []
    for loss, *same in zip(losses, *(search.candidates for search in searches), strict=True):
        candidates.append(Candidate(same[0].value, [fit for each in same for fit in each.fits], float(loss)))
    fitted = np.mean([(outer != number).sum() for number in range(folds)]) * (folds - 1) / folds
    return GridSearch(candidates, {"fitted": int(fitted), "held_out": len(outer)})

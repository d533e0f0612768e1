"""The suite's protocol: choose on held-out training rows, refit, predict test rows once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from src.data.splits import RowSplitter, resample
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import Candidate, Criterion, GridSearch, search_grid, with_constants
from src.probes.held_out import HoldOut, threshold_metric
from src.probes.nested import fit_nested
from src.probes.outcome import ProbeOutcome, no_folds
from src.probes.progress import Progress
from src.probes.separability import find_separable
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.solvers.linear import Array


def suite_protocol(
    estimator: Any,
    settings: ProbeSettings,
    data: ProbeData,
    progress: Progress | None = None,
    *,
    splitter: RowSplitter | None = None,
    criterion: Criterion | None = None,
) -> ProbeOutcome:
    """Choose a value of the grid, refit it on all training rows and predict.

    Parameters
    ----------
    estimator, settings, data, progress
        See `src.probes.protocols.base.Protocol.fit`.
    splitter : RowSplitter, optional
        Rule that divides the training rows; default: the suite's.
    criterion : Criterion, optional
        Loss by which the value is chosen; default: log-loss, or squared error.

    Raises
    ------
    UserError
        The grid is unusable, or there are too few rows for the selection.
    """
    splitter = splitter or data.splitter(settings)
    criterion = criterion or Criterion()
    fitter = ProbeFitter(estimator, settings, data.train, data.classes, progress)
    if settings.selection == "nested":
        outcome = fit_nested(fitter, settings, data, splitter, criterion)
    else:
        folds = splitter.folds if settings.selection == "folds" else 1
        fitter.total = len(fitter.values) * folds + 1 + (settings.draws if settings.draws > 1 else 0)
        search = search_grid(fitter, settings, data, splitter, criterion)
        outcome = _refit(fitter, settings, data, search)
    constant = fitter.constant_columns
    return replace(outcome, details={"constant_dimensions": constant}) if constant else outcome


def _refit(fitter: ProbeFitter, settings: ProbeSettings, data: ProbeData, search: GridSearch) -> ProbeOutcome:
    """Refit the chosen value on all training rows and on any resamples, and predict."""
    assert search.held_out is not None
    best = search.best()
    candidate, metric = search.candidates[best], threshold_metric(fitter, settings.metric)
    value, first = candidate.value, candidate.fits[0]
    if settings.selection == "development":  # fitted on all training rows already
        final = first
    else:
        (final,) = fitter.fit([FitRequest(value, None, first.solution)], stage="refit")
    separable = find_separable(fitter, final, search.candidates[-1].fits[0], search.held_out.weights[0])
    threshold = search.held_out.threshold(fitter, candidate.fits, metric) if metric else None
    fitted = fitter.fitted_probe(final, "train", threshold)
    predictions = {role: fitted.predict(rows.x) for role, rows in data.tests.items()}
    draws, refits, counts = [predictions], [final], list[Array]()
    thresholds = None
    if settings.draws > 1:
        regression = data.classes == 0
        groups = data.groups if data.groups_span_classes else None
        counts = [
            resample(fitter.y, settings.seed, draw, regression=regression, groups=groups)
            for draw in range(settings.draws)
        ]
        drawn = fitter.fit([FitRequest(value, each, final.solution) for each in counts], stage="draws")
        if metric and threshold is not None:
            thresholds = _drawn_thresholds(fitter, search.held_out, candidate, counts, metric, threshold)
        cuts: Sequence[float | None] = thresholds or [None] * len(drawn)
        probes = [
            fitter.fitted_probe(fit, f"draw {draw}", cut)
            for draw, (fit, cut) in enumerate(zip(drawn, cuts, strict=True))
        ]
        draws = [{role: probe.predict(rows.x) for role, rows in data.tests.items()} for probe in probes]
        refits += drawn
    choice = search.choice(fitter.parameter, len(fitter.y), best, refits=refits, separable=separable)
    choice = replace(choice, threshold=threshold, thresholds=thresholds)
    # A resample of rows of classes is stratified, so that their frequencies are those of all rows.
    varied = counts if not data.classes or data.groups_span_classes else []
    choice = with_constants(choice, fitter, search, best, varied or [None])
    fold_ids = no_folds(len(data.tests["test"].y) if "test" in data.tests else 0)
    return ProbeOutcome(predictions, fold_ids, choice, fitted, draws)


def _drawn_thresholds(
    fitter: ProbeFitter, held_out: HoldOut, candidate: Candidate, counts: list[Array], metric: str, threshold: float
) -> list[float]:
    """Return a threshold for each resample, chosen as that of all rows is.

    A resample that lacks a class among the rows fitted on, or rows to choose on, gets `threshold`.
    """
    resampled = [held_out.resampled(each, fitter.y) for each in counts]
    requests = [
        FitRequest(candidate.value, weights, fit.solution)
        for each in resampled
        if each is not None
        for weights, fit in zip(each.weights, candidate.fits, strict=True)
    ]
    fits = iter(fitter.fit(requests, stage="thresholds"))
    return [
        threshold if each is None else each.threshold(fitter, [next(fits) for _ in each.rows], metric)
        for each in resampled
    ]

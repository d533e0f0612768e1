"""The suite's protocol: choose on held-out training rows, refit, predict test rows once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from src.data.splits import RowSplitter, resample
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import Criterion, GridSearch, search_grid
from src.probes.nested import fit_nested
from src.probes.outcome import ProbeOutcome, no_folds
from src.probes.progress import Progress
from src.probes.separability import find_separable
from src.probes.settings import ProbeData, ProbeSettings


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
    best = search.best()
    value, first = search.candidates[best].value, search.candidates[best].fits[0]
    if settings.selection == "development":  # fitted on all training rows already
        final = first
    else:
        (final,) = fitter.fit([FitRequest(value, None, first.solution)], stage="refit")
    separable = find_separable(fitter, final, search.candidates[-1].fits[0], search.weights)
    fitted = fitter.fitted_probe(final, "train")
    predictions = {role: fitted.predict(rows.x) for role, rows in data.tests.items()}
    draws, refits = [predictions], [final]
    if settings.draws > 1:
        regression = data.classes == 0
        groups = data.groups if data.groups_span_classes else None
        counts = [
            resample(fitter.y, settings.seed, draw, regression=regression, groups=groups)
            for draw in range(settings.draws)
        ]
        drawn = fitter.fit([FitRequest(value, each, final.solution) for each in counts], stage="draws")
        probes = [fitter.fitted_probe(fit, f"draw {draw}") for draw, fit in enumerate(drawn)]
        draws = [{role: probe.predict(rows.x) for role, rows in data.tests.items()} for probe in probes]
        refits += drawn
    choice = search.choice(fitter.parameter, len(fitter.y), best, refits=refits, separable=separable)
    fold_ids = no_folds(len(data.tests["test"].y) if "test" in data.tests else 0)
    return ProbeOutcome(predictions, fold_ids, choice, fitted, draws)

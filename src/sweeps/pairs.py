"""Tests of every pair of runs in a group, on the same test rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import UserError
from src.results.paired import have_same_rows, make_task
from src.results.predictions import Arrays
from src.results.result import Result, read_predictions

if TYPE_CHECKING:
    from src.evaluation.contrasts import Contrast

Pairs = dict[tuple[str, str], "Contrast"]


def compare_pairs(runs: Mapping[str, tuple[Result, Path]], best: str) -> tuple[Pairs, dict[str, str]]:
    """Return the contrast of every pair of runs, and a reason for each run that could not be tested.

    Parameters
    ----------
    runs : mapping
        Name of each run to its record and the folder of its predictions.
    best : str
        Name of the run whose test rows the others must share.
    """
    from src.evaluation.contrasts import contrasts, metric_margin

    predictions, reasons = _read(runs, best)
    if len(predictions) < 2:
        return {}, reasons
    task = make_task(runs[best][0], predictions)
    try:
        found = contrasts([task], list(combinations(predictions, 2)), margin=metric_margin(task))
    except UserError as error:
        return {}, reasons | dict.fromkeys(predictions, str(error))
    for each in found:
        if each.difference.p is None and best in (each.a, each.b):
            reasons[each.b if each.a == best else each.a] = each.difference.method
    return {(each.a, each.b): each for each in found}, reasons


def _read(runs: Mapping[str, tuple[Result, Path]], best: str) -> tuple[dict[str, Arrays], dict[str, str]]:
    """Return the predictions that can be compared by name of their run, and why the others cannot."""
    result, folder = runs[best]
    try:
        first = read_predictions(folder, result)
    except UserError as error:
        return {}, dict.fromkeys(runs, str(error))
    found: dict[str, Arrays] = {}
    reasons = {}
    for name, (result, folder) in runs.items():
        try:
            arrays = read_predictions(folder, result)
        except UserError as error:
            reasons[name] = str(error)
            continue
        if not have_same_rows(first, arrays):
            reasons[name] = "its test rows are not those of the best"
        elif result.draws > 1 and not first["prediction"].ndim == arrays["prediction"].ndim == 2:
            reasons[name] = "its score is a mean over draws, its predictions are those of one draw"
        else:
            found[name] = arrays
    return found, reasons

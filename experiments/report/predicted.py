"""Compares a sweep with the predictions about its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.formatting import format_interval, format_points
from experiments.predictions import OUTCOMES, PREDICTIONS, UNTESTED, Prediction, Predictions, read_predictions
from experiments.report.claims import Setting, at_last_layer
from experiments.report.sections import Section, negate
from experiments.report.tables import Cell, Table
from experiments.strata import stratum_of
from src.errors import UserError
from src.evaluation.differences import Difference

COLUMNS = ("prediction", "where", "difference", "predicted, points", "found, points", "outcome")


@dataclass(frozen=True)
class Predicted:
    """The outcomes of the predictions: a sentence, and a row for each."""

    sentence: str
    table: Table


def choose_predictions(path: str | None, sections: Sequence[Section]) -> Predictions | None:
    """Return the predictions to compare a sweep with.

    Parameters
    ----------
    path : str or None
        None: the committed ones, if the sweep has their encoder; else nothing.
    sections : sequence of Section

    Raises
    ------
    UserError
        The file is not valid, or the sweep has several encoders of which none is the file's.
    """
    models = {section.runs[0].result.model for section in sections}
    if path is None:
        committed = read_predictions(PREDICTIONS)
        return committed if committed.model in models else None
    found = read_predictions(Path(path))
    if len(models) > 1 and found.model not in models:
        raise UserError(
            f"predictions={path} are about one encoder, and the records are of {', '.join(sorted(models))}. "
            "Name one of them as 'model' in the file."
        )
    return found


def judge_predictions(predictions: Predictions, sections: Sequence[Section], settings: Sequence[Setting]) -> Predicted:
    """Return the outcome of each prediction for the records of a sweep."""
    models = {section.runs[0].result.model for section in sections}
    model = predictions.model if predictions.model in models else next(iter(models))
    inside = [section for section in at_last_layer(sections) if section.runs[0].result.model == model]
    over = [setting for setting in settings if setting.label.get("model", model) == model]
    rows, outcomes = [], []
    for each in predictions.found:
        found, why = _over_stratum(each, over) if each.stratum else _on_task(each, inside)
        outcome = each.judge(found) if found is not None else UNTESTED
        outcomes.append(outcome)
        rows.append(_row(each, found, outcome if found is not None else f"{UNTESTED}: {why}"))
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in OUTCOMES if outcome in outcomes)
    about = f"{len(outcomes)} predictions" + (f" for {predictions.model}" if predictions.model else "")
    if predictions.model and predictions.model != model:
        about += f", compared with {model}"
    return Predicted(f"Of {about}: {counts}.", Table("Predictions", COLUMNS, tuple(rows)))


def _over_stratum(prediction: Prediction, settings: Sequence[Setting]) -> tuple[Difference | None, str]:
    """Return the difference over the tasks of a stratum, or None and the reason."""
    pair = {prediction.a, prediction.b}
    found = [
        claim
        for setting in settings
        if setting.stratum == prediction.stratum and prediction.fits(setting.label)
        for claim in setting.claims
        if {claim.a, claim.b} == pair
    ]
    if len(found) != 1:
        return None, "no claim over such tasks" if not found else "several settings have such a claim"
    claim = found[0]
    return claim.difference if claim.a == prediction.a else negate(claim.difference), ""


def _on_task(prediction: Prediction, sections: Sequence[Section]) -> tuple[Difference | None, str]:
    """Return the difference on a task, or None and the reason."""
    names = {prediction.a, prediction.b}
    found = [
        section
        for section in sections
        if section.runs[0].result.dataset == prediction.task
        and stratum_of(section.runs[0].result) is not None
        and prediction.fits(section.label)
        and names <= {run.name for run in section.runs}
    ]
    if len(found) != 1:
        return None, "no such runs" if not found else "several settings have such runs"
    return found[0].difference(prediction.a, prediction.b), ""


def _row(prediction: Prediction, found: Difference | None, outcome: str) -> tuple[Cell, ...]:
    shown = (
        ""
        if found is None
        else f"{format_points(found.value, signed=True)} " + format_interval(found.low, found.high, signed=True)
    )
    value = None if found is None else found.value
    return (
        Cell(prediction.id),
        Cell(prediction.stratum or prediction.task),
        Cell(f"{prediction.a} − {prediction.b}"),
        Cell(describe_size(prediction)),
        Cell(shown.strip(), value),
        Cell(outcome),
    )


def describe_size(prediction: Prediction) -> str:
    """Return the sign and the sizes of a prediction.

    >>> describe_size(Prediction("x", "", "trec", "pooler", "cls", "lower", -8.0, -0.5))
    'lower, −8.0 to −0.5'
    """
    ends = (format_points(end / 100, signed=True) for end in (prediction.lower, prediction.upper))
    sign = "no relevant difference" if prediction.sign == "none" else prediction.sign
    return f"{sign}, {' to '.join(ends)}"

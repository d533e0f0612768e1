"""Builds the tables of paired differences: task by task, over tasks, the ladder, half precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments import style
from experiments.paper.claims.sentences import scale_of
from experiments.paper.evidence import PAIRS, STRENGTHS, Evidence, stratum_claims
from experiments.paper.tables.cells import CLAIM, CONTRAST, claim_cells, claim_row, contrast_cells, contrast_row
from experiments.paper.tables.table import Table
from src.evaluation.units import MeanContrast

Found = tuple[dict[str, Any], MeanContrast]  # the columns before a claim, and the claim


def verdicts(evidence: Evidence, model: str) -> Table:
    """Return every pair of cls, pooler and mean on every real task."""
    found = evidence.contrasts(model)
    status = evidence.pooler_status(model)
    cells = [(style.pair_label(each.a, each.b, status), each.task, *contrast_cells(each)) for each in found]
    caption = (
        f"{model}: paired differences on the same rows, in points of the task's metric. Holm over the three pairs of "
        "a task, separately for differences and equivalences; margin 1 point. Smallest margin: at which these rows "
        "show equivalence. Smallest difference: that they show with a power of 80 %; both before Holm's correction."
    )
    return Table(f"verdicts-{model}", caption, ("pair", "task", *CONTRAST), cells, list(map(contrast_row, found)))


def strata(evidence: Evidence) -> Table:
    """Return each pair of cls, pooler and mean over the tasks of each stratum, for each model."""
    found = [
        ({"model": model, "stratum": name, "scale": scale_of(stratum.stratum)}, claim)
        for model in evidence.models
        for stratum in evidence.strata(model)
        for name, claim in stratum_claims(stratum, PAIRS, repeated=True)
    ]
    caption = (
        "Over the tasks that count, by stratum: mean difference over units of tasks, in points of D² or of "
        "Spearman's correlation; margin 1 point; Holm over the three pairs of a model and stratum."
    )
    return _claims("strata", caption, ("model", "stratum", "scale"), found, _statuses(evidence))


def ladder(evidence: Evidence) -> Table:
    """Return each step from [CLS] to the pooler, under each penalty, by stratum."""
    found = [
        ({"model": model, "penalty": strength, "stratum": stratum}, claim)
        for model in evidence.models_of("ladder")
        for strength in STRENGTHS
        for stratum, claim in evidence.ladder(model, strength, repeated=True)
    ]
    caption = (
        "The ladder: each step less [CLS], over the tasks of experiment=ladder that count, in points of D². No "
        "penalty, a weak one (0.0001 per row) and the one tuned on held-out training rows. Holm: pooler − [CLS] by "
        "itself, the other steps as second family."
    )
    return _claims("ladder", caption, ("model", "penalty", "stratum"), found, _statuses(evidence))


def precision(evidence: Evidence) -> Table:
    """Return each pooling in half precision against itself in float32, by stratum."""
    found = [
        ({"model": model, "stratum": stratum}, claim)
        for model in evidence.models_of("precision")
        for stratum, claim in evidence.precision(model, repeated=True)
    ]
    caption = (
        "Half precision (encoder and pooling) against float32, over the tasks that count of those "
        "that were run, in points of D²; Holm over all of a stratum, a second family."
    )
    return _claims("precision", caption, ("model", "stratum"), found, _statuses(evidence))


def _statuses(evidence: Evidence) -> dict[str, str]:
    return {model: evidence.pooler_status(model) for model in evidence.models}


def _claims(
    name: str, caption: str, columns: Sequence[str], found: Sequence[Found], pooler: Mapping[str, str]
) -> Table:
    """Return claims over tasks as a table; `pooler` has the status of each model's."""
    cells = [
        (*named.values(), style.pair_label(claim.a, claim.b, pooler.get(named["model"], "")), *claim_cells(claim))
        for named, claim in found
    ]
    rows = [claim_row(claim, **named) for named, claim in found]
    return Table(name, caption, (*columns, "pair", *CLAIM), cells, rows)

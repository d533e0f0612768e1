"""Builds the tables of paired differences: the primary claim, the ladder, half precision."""

from __future__ import annotations

from experiments import style
from experiments.paper.evidence import PAIRS, STRENGTHS, Evidence
from experiments.paper.tables.cells import CONTRAST, OVERALL, contrast_cells, contrast_row, overall_cells, overall_row
from experiments.paper.tables.table import Table


def verdicts(evidence: Evidence, model: str) -> Table:
    """Return every primary pair on every primary task."""
    found = evidence.contrasts(model)
    cells = [(f"{each.a} − {each.b}", each.task, *contrast_cells(each)) for each in found]
    caption = (
        f"{model}: paired differences on the same rows, in points. Holm over the three pairs of a task, "
        "separately for differences and equivalences; equivalence by two one-sided tests at 1 point. Smallest margin: "
        "at which these rows show equivalence. Smallest difference: that they show with a power of 80 %; both "
        "before Holm's correction."
    )
    return Table(f"verdicts-{model}", caption, ("pair", "task", *CONTRAST), cells, list(map(contrast_row, found)))


def overall(evidence: Evidence) -> Table:
    """Return the primary claim: each pair over all primary tasks, for each model."""
    found = [(model, evidence.overall(model, *pair)) for model in evidence.models for pair in PAIRS]
    cells = [(model, f"{each.a} − {each.b}", *overall_cells(each)) for model, each in found]
    caption = (
        "The primary claim, over tasks: mean difference in points by a hierarchical bootstrap over tasks and rows; "
        "margin 1 point, fixed beforehand; Holm over the pairs of a model. SST-2 shares sentences with MR, and SICK-R "
        "has SICK-E's pairs: the tasks are not quite independent."
    )
    rows = [overall_row(each, model=model) for model, each in found]
    return Table("overall", caption, ("model", "pair", *OVERALL), cells, rows)


def ladder(evidence: Evidence) -> Table:
    """Return each step from [CLS] to the pooler, over the ladder's tasks, under each penalty."""
    found = [
        (model, strength, each)
        for model in evidence.models_of("ladder")
        for strength in STRENGTHS
        for each in evidence.ladder(model, strength)
    ]
    cells = [
        (model, strength, style.pooling_label(each.a, evidence.pooler_status(model)), *overall_cells(each))
        for model, strength, each in found
    ]
    caption = (
        "The ladder: each step's score less that of [CLS], over the tasks of experiment=ladder, in points. No penalty, "
        "a weak one (0.0001 per row) and the one tuned on held-out training rows."
    )
    rows = [overall_row(each, model=model, regularisation=strength) for model, strength, each in found]
    return Table("ladder", caption, ("model", "regularisation", "step", *OVERALL), cells, rows)


def precision(evidence: Evidence) -> Table:
    """Return each pooling in half precision against itself in float32."""
    found = [(model, each) for model in evidence.models_of("precision") for each in evidence.precision(model)]
    cells = [(model, f"{each.a} − {each.b}", *overall_cells(each)) for model, each in found]
    caption = "Half precision (encoder and pooling) against float32, over the tasks of experiment=precision, in points."
    rows = [overall_row(each, model=model) for model, each in found]
    return Table("precision", caption, ("model", "pair", *OVERALL), cells, rows)

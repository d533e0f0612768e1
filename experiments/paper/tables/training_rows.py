"""Builds the tables on training rows: resamples of them, and the bits of their labels."""

from __future__ import annotations

import numpy as np

from experiments import style
from experiments.formatting import format_points
from experiments.paper.evidence import Evidence
from experiments.paper.tables.cells import score_rows
from experiments.paper.tables.scores import POOLINGS, by_task, group_lines, records_of
from experiments.paper.tables.table import Table
from src.evaluation.multiplicity import MAIN_POOLINGS


def draws(evidence: Evidence, model: str) -> Table:
    """Return the mean score over resamples of the training rows and its standard deviation."""
    records = evidence[f"draws/{model}"]
    rows = score_rows(records)
    for row, record in zip(rows, records, strict=True):
        values = record.result.score.get("draws") or []
        row["deviation"] = float(np.std(values, ddof=1)) if len(values) > 1 and None not in values else None
    cells = []
    for line, members in group_lines(rows, by_task).items():
        runs = [members.get(pooling) for pooling in POOLINGS]
        shown = (f"{format_points(run['value'])} ± {format_points(run['deviation'])}" if run else "" for run in runs)
        cells.append((*line, *shown))
    caption = f"{model}: mean over ten resamples of the training rows and their standard deviation, in points."
    titles = (style.pooling_label(pooling, evidence.pooler_status(model)) for pooling in POOLINGS)
    return Table(f"draws-{model}", caption, ("task", *titles), cells, rows)


def mdl(evidence: Evidence) -> Table:
    """Return the bits and the compression of the online code."""
    rows = []
    for record in records_of(evidence, "mdl"):
        result, code = record.result, record.result.chosen["online_code"]
        identity = {"model": result.model, "dataset": result.dataset, "pooling": result.pooling_label}
        rows.append(identity | {name: code[name] for name in ("bits", "uniform_bits", "compression")})
    cells = []
    for line, members in group_lines(rows, lambda row: (row["model"], row["dataset"])).items():
        runs = [members.get(pooling) for pooling in MAIN_POOLINGS]
        cells.append((*line, *(f"{run['bits']:,.0f} ({run['compression']:.3f})" if run else "" for run in runs)))
    caption = (
        "Bits that the training labels cost by the online code, and compression "
        "(the uniform code over them; more is better)."
    )
    return Table("mdl", caption, ("model", "task", *MAIN_POOLINGS), cells, rows)

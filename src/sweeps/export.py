"""A comparison as ``comparison.csv`` and ``comparison.md``."""

from __future__ import annotations

import csv
import io
from typing import Any

from src.results.escaping import csv_cell, markdown
from src.results.groups import IDENTITY
from src.sweeps.comparison import Comparison
from src.sweeps.rendering import (
    COLUMNS,
    LEGEND,
    TESTS,
    baseline_names,
    baseline_texts,
    caption,
    group_title,
    layer_lines,
    run_rows,
    score_value,
    tally,
    warnings,
)

MEASUREMENTS = (
    "value", "low", "high", "mark", "difference", "p", "p_holm", "p_equivalence_holm", "family", "width", "wider",
    "pooler", "cache", "seconds", "key", "folder",
)  # fmt: skip


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown document with a row per run."""
    lines = ["# Comparison", "", markdown(f"{caption(comparison)}."), ""]
    for group in comparison.groups:
        trivial = ", ".join(baseline_texts(group))
        lines += [f"## {markdown(group_title(group))}", "", *([markdown(f"Trivial: {trivial}"), ""] if trivial else [])]
        lines += ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(map(markdown, row)) + " |" for row in run_rows(group)] + [""]
    lines += [f"- `{symbol.strip()}`: {meaning}" for symbol, meaning in LEGEND.items()]
    lines += ["", TESTS, *(f"\n{markdown(line)}" for line in layer_lines(comparison))]
    if found := warnings(comparison):
        lines += ["", *map(markdown, found)]
    return "\n".join([*lines, "", *map(markdown, tally(comparison))]) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Return the comparison as CSV: a row per run, scores as fractions, undefined values empty, formulas escaped."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(csv_cell, row) for row in to_rows(comparison))
    return out.getvalue()


def to_rows(comparison: Comparison) -> list[list[Any]]:
    """Return the names of the columns, then a row per run."""
    labels = list(
        dict.fromkeys(name for group in comparison.groups for name in group.label if name not in (*IDENTITY, "metric"))
    )
    trivial = baseline_names(comparison.groups)
    rows: list[list[Any]] = [
        [*IDENTITY, *labels, "pooling", "metric", *MEASUREMENTS, *(f"baseline_{name}" for name in trivial)]
    ]
    for group in comparison.groups:
        for run in group.runs:
            result, numbers = run.result, run.result.score
            rows.append(
                [
                    *(getattr(result, name) for name in IDENTITY),
                    *(group.label.get(name, "") for name in labels),
                    *(result.pooling_label, group.metric, numbers["value"], numbers.get("low"), numbers.get("high")),
                    *(
                        run.mark,
                        run.difference,
                        run.p,
                        run.adjusted,
                        run.equivalence,
                        run.family,
                        result.counts.get("width"),
                        "yes" if run.wider else "",
                        result.pooler.get("status"),
                    ),
                    *(result.timing.get("cache"), result.timing.get("total"), result.key, run.folder.name),
                    *(score_value(group.baseline.get(name)) for name in trivial),
                ]
            )
    return rows

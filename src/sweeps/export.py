"""A comparison as ``comparison.csv`` and ``comparison.md``."""

from __future__ import annotations

import csv
import io
from typing import Any

from src.results.display import score_value
from src.results.escaping import csv_cell, markdown
from src.results.groups import IDENTITY
from src.sweeps.cells import COLUMNS, run_rows
from src.sweeps.comparison import Comparison
from src.sweeps.remarks import (
    bag_lines,
    caption,
    group_baselines,
    group_title,
    layer_lines,
    legend_text,
    tally,
    warnings,
)
from src.sweeps.status import STATUSES

MEASUREMENTS = (
    "value", "low", "high", "mark", "difference", "p", "p_holm", "p_equivalence_holm", "family", "width", "wider",
    "pooler", "cache", "seconds", "key", "folder",
)  # fmt: skip


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown document with a row per run."""
    lines = ["# Comparison", "", markdown(caption(comparison)), ""]
    for group in comparison.groups:
        trivial = ", ".join(group_baselines(group))
        lines += [f"## {markdown(group_title(group))}", "", *([markdown(f"Trivial: {trivial}"), ""] if trivial else [])]
        lines += ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(map(markdown, row)) + " |" for row in run_rows(group)] + [""]
    notes = [*legend_text(comparison).splitlines(), *bag_lines(comparison), *layer_lines(comparison)]
    lines += [f"- {markdown(line)}" for line in (*notes, *warnings(comparison))]
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
    trivial = list(dict.fromkeys(name for group in comparison.groups for name in group.baseline))
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


def to_values(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain values: number of jobs by status, a mapping per run, the failed jobs."""
    names, *rows = to_rows(comparison)
    return {
        "jobs": {status: comparison.count(status) for status in STATUSES},
        "runs": [dict(zip(names, row, strict=True)) for row in rows],
        "failed": [
            {"folder": str(job.folder), "overrides": list(job.overrides), "error": job.error}
            for job in comparison.failed
        ],
    }

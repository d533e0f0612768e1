"""Builds the tables of geometry, of the simulation, and of the runs themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from experiments import style
from experiments.paper.evidence import Evidence
from experiments.paper.tables.table import Row, Table

GEOMETRY = ("width", "effective_rank", "participation_ratio", "condition_number", "anisotropy")


def simulation(evidence: Evidence) -> Table:
    """Return the error rates of the tests and the coverage of the intervals."""
    rows = evidence.csv("simulation.csv")
    columns = tuple(rows[0])
    caption = (
        "Simulated error rates of every test and coverage of every interval, with the limits that are asked from 250 "
        "rows on."
    )
    return Table("simulation", caption, columns, [tuple(row[name] for name in columns) for row in rows], rows)


def diagnostics(evidence: Evidence) -> Table:
    """Return the geometry of each representation."""
    rows = [
        _geometry_row(model, task, name, figures)
        for model in evidence.models_of("diagnostics")
        for task, figures in evidence.json(f"diagnostics/{model}.json")["tasks"].items()
        for name in figures["representations"]
    ]
    cells = [
        (
            row["model"],
            row["task"],
            style.pooling_label(row["pooling"], evidence.pooler_status(row["model"])),
            f"{row['effective_rank']:.1f} of {row['width']}",
            f"{row['condition_number']:.3g}",
            f"{row['anisotropy']:.3f}",
            f"{row['cka_with_cls']:.3f}",
            "" if row.get("saturated_nearly") is None else f"{100 * row['saturated_nearly']:.2f} %",
        )
        for row in rows
    ]
    columns = (
        *("model", "task", "representation", "effective rank", "condition number", "anisotropy"),
        *("CKA with [CLS]", "saturated"),
    )
    caption = "Geometry of each representation on a task's training rows: exact for these texts, so without intervals."
    return Table("diagnostics", caption, columns, cells, rows)


def _geometry_row(model: str, task: str, name: str, figures: Mapping[str, Any]) -> Row:
    found, cka = figures["representations"][name], figures["cka"]
    return {
        "model": model,
        "task": task,
        "pooling": name,
        **{key: found[key] for key in GEOMETRY},
        **{f"saturated_{key}": value for key, value in (found.get("saturation") or {}).items()},
        "cka_with_cls": 1.0 if name == "cls" else cka.get(f"cls {name}", cka.get(f"{name} cls")),
    }


def runs(evidence: Evidence) -> Table:
    """Return every bundle with its number of runs, their minutes and their hardware."""
    rows: list[Row] = []
    for name, records in sorted(evidence.items()):
        provenance = [record.result.provenance for record in records]
        rows.append(
            {
                "bundle": name,
                "runs": len(records),
                "tasks": len({record.result.dataset for record in records}),
                "minutes": math.fsum(float(record.result.timing.get("total") or 0) for record in records) / 60,
                "cpu": str(provenance[0].get("cpu")),
                "cores": provenance[0].get("cores"),
                "commits": " ".join(sorted({str(each.get("commit"))[:7] for each in provenance})),
            }
        )
    cells = [
        (
            row["bundle"],
            *(str(row["runs"]), str(row["tasks"]), f"{row['minutes']:.1f}"),
            f"{row['cores']} x {row['cpu']}",
            row["commits"],
        )
        for row in rows
    ]
    caption = (
        "Every bundle of records. Minutes are those of its runs on two cores that other work shared: an upper estimate."
    )
    return Table("runs", caption, ("bundle", "runs", "tasks", "minutes", "hardware", "commit"), cells, rows)

"""Formats the cells and rows of scores and differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from experiments import style
from experiments.bundles import Record
from experiments.formatting import format_interval, format_points
from experiments.paper.labels import by_pooling
from experiments.paper.tables.table import Row
from src.evaluation.contrasts import Contrast
from src.evaluation.units import MeanContrast
from src.results.display import format_p_value

CONTRAST = (
    "difference",
    "95 %",
    "p (Holm)",
    "p equivalence (Holm)",
    "verdict",
    "smallest margin",
    "smallest difference",
    "kappa",
    "care",
)
CLAIM = ("difference", "95 %", "p", "p equivalence", "verdict", "tasks", "units")


def score_rows(records: Iterable[Record]) -> list[Row]:
    """Return a row per record: identity, score, trivial scores, counts and seconds."""
    return [_score_row(record) for record in records]


def _score_row(record: Record) -> Row:
    result = record.result
    score, probe = result.score, result.config.get("probe", {})
    trivial = {
        name: value.get("value") if isinstance(value, Mapping) else value for name, value in result.baseline.items()
    }
    identity = ("model", "dataset", "pooling", "layer", "pairing", "probe", "seed", "draws")
    return {
        "experiment": record.experiment,
        **{name: getattr(result, name) for name in identity},
        "pooling": by_pooling(result),
        "grid": next(iter(probe.get("grid", {}).values()), None),
        "features": probe.get("features"),
        "dtype": result.config.get("runtime", {}).get("dtype"),
        **{name: score.get(name) for name in ("metric", "value", "low", "high")},
        "pooler": result.pooler.get("status"),
        "constant": trivial.get("constant"),
        "bag_of_word_pieces": trivial.get("bag_of_word_pieces"),
        "chosen": result.chosen.get("value"),
        **{name: result.counts.get(name) for name in ("train", "test", "width")},
        "fit": result.timing.get("fit"),
        "key": result.key,
    }


def task_cell(row: Row) -> str:
    """Return the task of a score's row with its metric."""
    return style.task_label(row["dataset"], row["metric"])


def model_cell(row: Row) -> str:
    """Return the model of a score's row, with the status of an untrained pooler."""
    return style.model_label(row["model"], row["pooler"])


def contrast_cells(contrast: Contrast) -> tuple[str, ...]:
    """Return the cells of a paired difference, in the order of `CONTRAST`."""
    difference = contrast.difference
    return (
        format_points(difference.value, signed=True),
        format_interval(difference.low, difference.high, signed=True),
        format_p_value(contrast.p_holm),
        format_p_value(contrast.p_equivalence_holm),
        contrast.verdict,
        format_points(contrast.smallest_margin),
        format_points(contrast.smallest_difference),
        "" if contrast.agreement is None else f"{contrast.agreement:.2f}",
        contrast.flag or "",
    )


def contrast_row(contrast: Contrast) -> Row:
    """Return all numbers of a paired difference."""
    difference = contrast.difference
    return {
        **{name: getattr(contrast, name) for name in ("task", "metric", "a", "b", "rows")},
        "difference": difference.value,
        **{name: getattr(difference, name) for name in ("low", "high", "low90", "high90", "p")},
        "p_holm": contrast.p_holm,
        "p_equivalence": contrast.p_equivalence,
        "p_equivalence_holm": contrast.p_equivalence_holm,
        "verdict": contrast.verdict,
        "smallest_margin": contrast.smallest_margin,
        "smallest_difference": contrast.smallest_difference,
        "agreement": contrast.agreement,
        "flag": contrast.flag,
    }


def claim_cells(claim: MeanContrast) -> tuple[str, ...]:
    """Return the cells of a difference over tasks, in the order of `CLAIM`."""
    difference = claim.difference
    return (
        format_points(claim.value, signed=True),
        format_interval(difference.low, difference.high, signed=True),
        format_p_value(claim.p),
        format_p_value(claim.p_equivalence),
        claim.verdict,
        str(len(claim.tasks)),
        str(len(claim.units)),
    )


def claim_row(claim: MeanContrast, **named: Any) -> Row:
    """Return all numbers of a difference over tasks, after the columns `named`."""
    return {
        **named,
        "a": claim.a,
        "b": claim.b,
        "difference": claim.value,
        **{name: getattr(claim.difference, name) for name in ("low", "high", "low90", "high90")},
        "error": claim.error,
        "rows_error": claim.rows_error,
        "p": claim.p,
        "p_equivalence": claim.p_equivalence,
        "family": claim.family,
        "verdict": claim.verdict,
        "tasks": " ".join(claim.tasks),
        "units": len(claim.units),
        "method": claim.difference.method,
    }

"""Formats the cells and rows of scores and differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from experiments import style
from experiments.bundles import Record
from experiments.formatting import format_interval, format_p_value, format_points
from experiments.paper.labels import by_pooling
from experiments.paper.tables.table import Row
from src.evaluation.contrasts import Contrast
from src.evaluation.hierarchical import Overall

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
OVERALL = ("difference", "95 %", "90 %", "p", "p equivalence", "verdict", "shown to differ on at least")


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


def overall_cells(overall: Overall) -> tuple[str, ...]:
    """Return the cells of a difference over tasks, in the order of `OVERALL`."""
    return (
        format_points(overall.value, signed=True),
        format_interval(overall.low, overall.high, signed=True),
        format_interval(overall.low90, overall.high90, signed=True),
        format_p_value(overall.p),
        format_p_value(overall.p_equivalence),
        overall.verdict,
        f"{overall.at_least} of {len(overall.tasks)}",
    )


def overall_row(overall: Overall, **named: Any) -> Row:
    """Return all numbers of a difference over tasks, after the columns `named`."""
    return {
        **named,
        "a": overall.a,
        "b": overall.b,
        "tasks": len(overall.tasks),
        "difference": overall.value,
        **{name: getattr(overall, name) for name in ("low", "high", "low90", "high90", "p", "p_equivalence")},
        "verdict": overall.verdict,
        "shown_on_at_least": overall.at_least,
        "without_one_low": min(overall.without),
        "without_one_high": max(overall.without),
    }

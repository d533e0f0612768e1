"""The cells of a comparison's tables: a row per run."""

from __future__ import annotations

from src.results.cautions import uses_untrained_pooler
from src.results.display import format_interval, format_p_value, format_score, format_value
from src.sweeps.comparison import Comparison, Group, Run

BEST = "best"
OTHER_PAIR, UNTRAINED, WIDER = "+", "u", "w"
RESULT = ["pooling", "metric", "score", "95 % interval", "verdict"]
COLUMNS = ["pooling", "metric", "score", "interval", "verdict", "to best", "p (Holm)", "cache, seconds"]


def symbols(run: Run) -> str:
    """Return the symbols after a run's verdict, as the legend explains them."""
    from src.evaluation.multiplicity import SECOND_FAMILY

    return (
        OTHER_PAIR * (run.family == SECOND_FAMILY) + UNTRAINED * uses_untrained_pooler(run.result) + WIDER * run.wider
    )


def verdict(run: Run) -> str:
    """Return the verdict of a run against the best of its group, with its symbols."""
    return f"{run.mark} {symbols(run)}".strip()


def result_cells(group: Group, run: Run) -> list[str]:
    """Return a run's cells of the columns `RESULT`."""
    score = run.result.score
    return [
        run.result.pooling_label,
        group.metric,
        format_score(group.metric, score, bounds=False),
        format_interval(group.metric, score),
        verdict(run),
    ]


def result_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the columns of the table that ends a sweep, and a row per run: its settings, its score, its verdict."""
    names = [
        name for name in dict.fromkeys(name for group in comparison.groups for name in group.label) if name != "metric"
    ]
    rows = [
        [*(group.label.get(name, "") for name in names), *result_cells(group, run)]
        for group in comparison.groups
        for run in group.runs
    ]
    return [*names, *RESULT], rows


def run_rows(group: Group) -> list[list[str]]:
    """Return a row of `COLUMNS` for each run of a group."""
    return [
        [
            *result_cells(group, run),
            "" if run.difference is None else _signed(group.metric, -run.difference),
            format_p_value(run.adjusted),
            cost(run),
        ]
        for run in group.runs
    ]


def _signed(metric: str, value: float) -> str:
    return f"{'+' * (value > 0)}{format_value(metric, value)}"


def cost(run: Run) -> str:
    """Return cache state and total seconds of a run as text."""
    timing = run.result.timing
    return f"{timing.get('cache', '')} {timing.get('total', 0.0):.0f} s".strip()

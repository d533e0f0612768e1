"""Holds the parts of a claim; a number chooses the phrase that describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from experiments.formatting import format_interval, format_overall, format_p_value, format_points, join_names
from src.evaluation.contrasts import Contrast
from src.evaluation.differences import (
    BETTER,
    INCONCLUSIVE,
    NO_RELEVANT_DIFFERENCE,
    SMALL_DIFFERENCE,
    WORSE,
    Difference,
)
from src.evaluation.hierarchical import Overall

SWEEP = "python -m src.run -m +experiment={} data_root=FOLDER"
REAL_PAIRS = ("mrpc", "stsb", "rte", "sick_e", "sick_r")  # without the suite's own tasks
OVER_TASKS = "hierarchical bootstrap over {} tasks and their rows; equivalence: two one-sided tests at 1 point"
HOLM, ALONE = "after Holm over the pairs of a model", "uncorrected"


@dataclass(frozen=True)
class Number:
    """A number of a claim: its description, value, interval and test."""

    what: str
    value: str
    interval: str
    test: str


@dataclass(frozen=True)
class Claim:
    """A claim of the paper; `see` names its figures and tables."""

    title: str
    text: str
    numbers: list[Number]
    command: str
    see: list[str] = field(default_factory=list)


def describe_overall(overall: Overall) -> str:
    """Return a difference over tasks with its verdict."""
    return f"{format_overall(overall)} ({overall.verdict})"


def overall_number(overall: Overall, what: str, family: str = ALONE) -> Number:
    """Return a difference over tasks as a number; `family` names the correction of its p-values."""
    p, equivalence = format_p_value(overall.p), format_p_value(overall.p_equivalence)
    test = f"{OVER_TASKS.format(len(overall.tasks))}; p {p}, equivalence p {equivalence} ({family})"
    test += "; unequal widths" if overall.flag else ""
    return _number(what, overall, overall.verdict, test)


def contrast_number(contrast: Contrast, what: str) -> Number:
    """Return a difference on one task as a number."""
    p, equivalence = format_p_value(contrast.p_holm), format_p_value(contrast.p_equivalence_holm)
    test = f"{contrast.difference.method}; p {p} (Holm), equivalence p {equivalence} (Holm)"
    return _number(what, contrast.difference, contrast.verdict, test)


def _number(what: str, difference: Overall | Difference, verdict: str, test: str) -> Number:
    value = f"{format_points(difference.value, signed=True)}; {verdict}"
    return Number(what, value, format_interval(difference.low, difference.high, signed=True), test)


def tasks_with_verdict(contrasts: Sequence[Contrast], a: str, b: str, verdict: str) -> list[str]:
    """Return the tasks on which a against b has a verdict."""
    return [each.task for each in contrasts if (each.a, each.b) == (a, b) and each.verdict == verdict]


def describe_tasks(contrasts: Sequence[Contrast], a: str, b: str) -> str:
    """Return the tasks by the verdict of a against b."""
    better, worse, same, small = (
        tasks_with_verdict(contrasts, a, b, verdict)
        for verdict in (BETTER, WORSE, NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE)
    )
    rest = len({each.task for each in contrasts}) - len(better) - len(worse) - len(same) - len(small)
    return (
        f"better on {join_names(better)}, worse on {join_names(worse)}; {SMALL_DIFFERENCE} on {join_names(small)}, "
        f"{NO_RELEVANT_DIFFERENCE} on {join_names(same)}; {INCONCLUSIVE} on {rest} of the tasks"
    )

"""Holds the parts of a claim; a verdict chooses the words that describe its number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from experiments import style
from experiments.formatting import format_interval, format_points, join_names
from experiments.paper.evidence import Evidence
from experiments.strata import SIMILARITY
from src.evaluation.contrasts import Contrast
from src.evaluation.differences import (
    BETTER,
    INCONCLUSIVE,
    NO_RELEVANT_DIFFERENCE,
    SMALL_DIFFERENCE,
    WORSE,
    Difference,
)
from src.evaluation.multiplicity import FIRST_FAMILY
from src.evaluation.units import MeanContrast
from src.results.display import format_p_value

NAMES = {"cls": "[CLS]", "pooler": "the pooler", "mean": "the mean"}  # in sentences
SHOWN = (BETTER, WORSE, SMALL_DIFFERENCE)  # verdicts that there is a difference
SWEEP = "python -m src.run -m +experiment={} data_root=FOLDER"
SECOND = "₂"  # marks the corrected p-values of the second family


@dataclass(frozen=True)
class Number:
    """A number of a claim: its description, value, interval, test and verdict."""

    what: str
    value: str
    interval: str
    test: str
    verdict: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper; `see` names its figures and tables."""

    title: str
    text: str
    numbers: list[Number]
    command: str
    see: list[str] = field(default_factory=list)


def about(experiment: str) -> Callable[[Callable[[Evidence], Claim]], Callable[[Evidence], Claim | None]]:
    """Return a decorator of a claim that is None where no model has records of an experiment."""

    def decorate(function: Callable[[Evidence], Claim]) -> Callable[[Evidence], Claim | None]:
        @functools.wraps(function)
        def claim(evidence: Evidence) -> Claim | None:
            return function(evidence) if evidence.models_of(experiment) else None

        return claim

    return decorate


def scale_of(stratum: str) -> str:
    """Return what the points of a stratum are points of."""
    return "Spearman" if stratum == SIMILARITY else "D²"


def format_claim(claim: MeanContrast) -> str:
    """Return a difference over tasks in points with its 95 % interval."""
    return format_difference(claim.difference)


def format_difference(difference: Difference) -> str:
    """Return a difference in points with its 95 % interval."""
    interval = format_interval(difference.low, difference.high, signed=True)
    return f"{format_points(difference.value, signed=True)} {interval}"


def claim_number(claim: MeanContrast, what: str) -> Number:
    """Return a difference over tasks as a number with its test.

    The test holds the numbers of tasks and of units, the p-value of the difference and that of the
    equivalence, both after Holm; `SECOND` marks those of the second family.
    """
    mark = "" if claim.family == FIRST_FAMILY else SECOND
    tests = f"p{mark} {format_p_value(claim.p)}, eq{mark} {format_p_value(claim.p_equivalence)}"
    interval = format_interval(claim.difference.low, claim.difference.high, signed=True)
    size = f"{len(claim.tasks)} / {len(claim.units)}"
    return Number(what, format_points(claim.value, signed=True), interval, f"{size}; {tests}", claim.verdict)


def contrast_number(contrast: Contrast, what: str) -> Number:
    """Return a difference on one task, in its own metric, as a number with its test."""
    difference = contrast.difference
    mark = "" if contrast.family == FIRST_FAMILY else SECOND
    tests = f"p{mark} {format_p_value(contrast.p_holm)}, eq{mark} {format_p_value(contrast.p_equivalence_holm)}"
    interval = format_interval(difference.low, difference.high, signed=True)
    return Number(what, format_points(difference.value, signed=True), interval, f"1 / 1; {tests}", contrast.verdict)


def claim_numbers(found: Iterable[tuple[str, MeanContrast]], prefix: str = "", pooler: str = "") -> list[Number]:
    """Return the claims of strata as numbers, named by stratum and pair; `pooler` is the status of the model's."""
    return [
        claim_number(each, f"{prefix}{stratum}: {style.pair_label(each.a, each.b, pooler)}") for stratum, each in found
    ]


def describe_claims(found: Sequence[tuple[str, MeanContrast]], pooler: str = "") -> str:
    """Return claims in words: the pair, its difference, verdict and scope, by stratum."""
    parts = []
    for stratum in dict.fromkeys(stratum for stratum, _ in found):
        mine = [each for own, each in found if own == stratum]
        alike = len({each.tasks for each in mine}) == 1
        named = [
            f"{style.pair_label(each.a, each.b, pooler)} {format_claim(each)}, {each.verdict}"
            + ("" if alike else f" {each.scope}")
            for each in mine
        ]
        parts.append(f"{stratum}{f', {mine[0].scope}' if alike else ''}: {'; '.join(named)}")
    return ". ".join(parts)


def tasks_with_verdict(contrasts: Sequence[Contrast], a: str, b: str, verdict: str) -> list[str]:
    """Return the tasks on which a against b has a verdict."""
    return [each.task for each in contrasts if (each.a, each.b) == (a, b) and each.verdict == verdict]


def describe_tasks(contrasts: Sequence[Contrast], a: str, b: str) -> str:
    """Return the tasks by the verdict of a against b; verdicts of no task are left out."""
    terms = (BETTER, WORSE, SMALL_DIFFERENCE, NO_RELEVANT_DIFFERENCE, INCONCLUSIVE)
    found = {term: tasks_with_verdict(contrasts, a, b, term) for term in terms}
    return "; ".join(f"{term} on {join_names(tasks)}" for term, tasks in found.items() if tasks)


def no_claim(model: str) -> str:
    """Return the sentence on a model whose records allow no claim over tasks."""
    return f"**{model}**: not computed over tasks, because these records hold no losses by row, which D² needs."

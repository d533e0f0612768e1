"""A its figures, and the words that a number stands in: chosen by the number, so that no sentence says what the records do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from experiments.tables import p_value, points, span
from src.evaluation.contrasts import Contrast
from src.evaluation.hierarchical import Overall
from src.results.result import Result

SWEEP = "python -m src.run -m +experiment={} data_root=FOLDER"
REAL_PAIRS = ("mrpc", "stsb", "rte", "sick_e", "sick_r")  # read together or apart
OVER_TASKS = "hierarchical bootstrap over {} tasks and their rows; equivalence: two one-sided tests at 1 point"
HOLM, ALONE = "after Holm over the pairs of a model", "uncorrected"


@dataclass(frozen=True)
class Number:
    """One figure of a claim: what, how much with its interval, and the test behind it."""

    what: str
    value: str
    interval: str
    test: str


@dataclass(frozen=True)
class Claim:
    """A claim of the page. `see` names its figures and tables."""

    title: str
    text: str
    numbers: list[Number]
    command: str
    see: list[str] = field(default_factory=list)


def words(verdict: str, better: str = "better", worse: str = "worse") -> str:
    """A verdict as half a sentence.

    >>> words("equivalent with a small difference")
    'equivalent within 1 point, and yet different'
    """
    return {
        "equivalent": "equivalent within 1 point",
        "equivalent with a small difference": "equivalent within 1 point, and yet different",
        "better": better,
        "worse": worse,
        "undecided": "neither told apart nor shown to be equivalent",
    }[verdict]


def of(overall: Overall, what: str, family: str = ALONE) -> Number:
    """A claim over tasks as a figure; `family` says what its p-values were corrected for."""
    test = OVER_TASKS.format(len(overall.tasks))
    value = f"{points(overall.value, signed=True)}; {words(overall.verdict)}"
    return Number(
        what,
        value,
        span(overall.low, overall.high, signed=True),
        f"{test}; p {p_value(overall.p)}, equivalence p {p_value(overall.p_equivalence)} ({family})",
    )


def against(contrast: Contrast, what: str) -> Number:
    """One task's contrast as a figure."""
    difference = contrast.difference
    return Number(
        what,
        f"{points(difference.value, signed=True)}; {words(contrast.verdict)}",
        span(difference.low, difference.high, signed=True),
        f"{difference.method}; p {p_value(contrast.p_holm)} (Holm), equivalence p {p_value(contrast.p_equivalence_holm)} (Holm)",
    )


def listed(names: Sequence[str], none: str = "none") -> str:
    """Names in a sentence.

    >>> listed(["mr", "cr", "mpqa"]), listed([])
    ('mr, cr and mpqa', 'none')
    """
    names = list(names)
    if not names:
        return none
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def told(contrasts: Sequence[Contrast], a: str, b: str, verdict: str) -> list[str]:
    """Tasks on which a against b got this verdict."""
    return [each.task for each in contrasts if (each.a, each.b) == (a, b) and each.verdict == verdict]


def amount(overall: Overall) -> str:
    """A claim over tasks in a sentence: the mean difference with its interval."""
    return f"{points(overall.value, signed=True)} points {span(overall.low, overall.high, signed=True)}"


def split(contrasts: Sequence[Contrast], a: str, b: str) -> str:
    """On which tasks a against b is better, worse, equivalent, and on how many undecided."""
    better, worse = told(contrasts, a, b, "better"), told(contrasts, a, b, "worse")
    same = told(contrasts, a, b, "equivalent") + told(contrasts, a, b, "equivalent with a small difference")
    rest = len({each.task for each in contrasts}) - len(better) - len(worse) - len(same)
    return f"better on {listed(better)}, worse on {listed(worse)}, equivalent on {listed(same)}, undecided on {rest} of the tasks"


def by_name(result: Result) -> str:
    """A run's label where runs differ in their pooling."""
    return result.pooling


def by_pairing(result: Result) -> str:
    """Where they differ in how pairs are read too."""
    return f"{result.pooling}, {result.pairing}"


def by_model(result: Result) -> str:
    """Where they differ in the model too."""
    return f"{result.pooling}, {result.model}"


def by_layer(result: Result) -> str:
    """Where they differ in the layer."""
    return str(result.layer)

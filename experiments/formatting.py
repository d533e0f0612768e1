"""Formats points, intervals, p-values, differences, margins, names and Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from src.evaluation.differences import Difference
from src.results.display import format_value, is_fraction


def format_points(value: float | None, *, signed: bool = False) -> str:
    """Return a fraction in points, with one decimal.

    >>> format_points(0.0312, signed=True), format_points(-0.0004, signed=True), format_points(None)
    ('+3.1', '0.0', 'undefined')
    """
    if value is None:
        return "undefined"
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    if text in ("+0.0", "-0.0"):
        return "0.0"
    return text.replace("-", "−")


def format_interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Return an interval of fractions in points, empty if an end is undefined.

    An end that would round to zero has as many decimals as show its first digit, if the interval
    excludes zero.

    >>> [format_interval(-0.024, high, signed=True) for high in (-0.0003, -0.00004, 0.0003)]
    ['[−2.4, −0.03]', '[−2.4, −0.004]', '[−2.4, 0.0]']
    """
    if low is None or high is None:
        return ""
    ends = [format_points(end, signed=signed) for end in (low, high)]
    if low * high > 0:
        fine = [f"{100 * end:{'+' * signed}.{_decimals(100 * end)}f}".replace("-", "−") for end in (low, high)]
        ends = [exact if end == "0.0" else end for end, exact in zip(ends, fine, strict=True)]
    return f"[{', '.join(ends)}]"


def _decimals(points: float) -> int:
    """Return how many decimals show the first digit of a number that is not 0, two at least."""
    return max(2, -int(f"{points:.0e}".partition("e")[2]))


def format_score_points(score: Mapping[str, Any]) -> str:
    """Return a score in points with its interval."""
    return f"{format_points(score['value'])} {format_interval(score['low'], score['high'])}".rstrip()


def format_signed(metric: str, value: float) -> str:
    """Return a difference with its sign, in points if the metric is a fraction.

    >>> format_signed("accuracy", 0.0312), format_signed("accuracy", -0.0004), format_signed("rmse", -0.25)
    ('+3.1', '0.0', '-0.25')
    """
    text = format_unsigned(metric, value)
    return f"{'+' * (float(text) > 0)}{text}"


def format_difference(metric: str, difference: Difference) -> str:
    """Return a difference in a metric with its 95 % interval."""
    if difference.value is None:
        return "undefined"
    text = format_signed(metric, difference.value)
    if difference.low is None or difference.high is None:
        return f"{text} (no interval)"
    return f"{text} [{format_unsigned(metric, difference.low)}, {format_unsigned(metric, difference.high)}]"


def format_unsigned(metric: str, value: float) -> str:
    """Return a difference without a plus sign, in points if the metric is a fraction."""
    text = f"{100 * value:.1f}" if is_fraction(metric) else format_value(metric, value)
    return text if float(text) else text.removeprefix("-")


def format_margin(metric: str, value: float) -> str:
    """Return a margin, or the size of a difference, with its unit.

    >>> format_margin("accuracy", 0.01), format_margin("accuracy", 0.0234), format_margin("rmse", 0.0234)
    ('1 point', '2.3 points', '0.023 of rmse')
    """
    if not is_fraction(metric):
        return f"{value:.2g} of {metric}"
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text} point{'s' * (text != '1')}"


def join_names(names: Iterable[str], none: str = "none") -> str:
    """Return names as a list in a sentence; `none` if there is none.

    >>> join_names(["mr", "cr", "mpqa"]), join_names([])
    ('mr, cr and mpqa', 'none')
    """
    names = list(names)
    if len(names) < 2:
        return names[0] if names else none
    return f"{', '.join(names[:-1])} and {names[-1]}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """Return the lines of a Markdown table.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequences of str
        Cells, escaped where they need it.
    numeric : sequence of bool
        Whether a column is aligned to the right.
    """
    rule = ["---:" if right else "---" for right in numeric]
    return ["| " + " | ".join(row) + " |" for row in (columns, rule, *rows)]

"""A record as text: the table that a run prints, and its line in a sweep."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from src.results.cautions import cautions, uses_untrained_pooler
from src.results.result import Result, phase_seconds
from src.results.statements import describe_statements, recorded_statements
from src.runtime.clock import PHASES

if TYPE_CHECKING:
    from rich.console import Console

HIDDEN_AT_ZERO = ("unknown", "empty", "lowered")  # counts


def result_table(result: Result, *, width: int = 80, terminal: bool = False) -> str:
    """Return the table that a run prints: scores, baselines, chosen value, seconds, cautions.

    Parameters
    ----------
    result : Result
    width : int
        Columns; longer lines are folded.
    terminal : bool
        Bold and colours by ANSI codes.
    """
    from rich.table import Table
    from rich.text import Text

    console = text_console(width, terminal)
    identity = (result.dataset, result.model, result.pooling_label, f"layer {result.layer}", result.probe)
    head = "  ".join([*identity, f"seed {result.seed}"])
    console.print(Text(head, style="bold"))
    rows = Table.grid(padding=(0, 2), expand=False)
    for name, text in _lines(result):
        rows.add_row(Text(name), Text(text, style="bold" if name == result.score["metric"] else ""))
    console.print(rows)
    for caution in cautions(result):
        console.print(Text(f"warning: {caution}", style="yellow"))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"  # type: ignore[attr-defined]


def text_console(width: int, terminal: bool) -> Console:
    """Return a console that writes into memory, with ANSI codes if `terminal` is True."""
    from rich.console import Console

    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, no_color=not terminal, highlight=False, emoji=False
    )


def result_summary(result: Result) -> str:
    """Return a run in one line, as a sweep prints it: score with interval, cache and seconds."""
    score = format_score(result.score["metric"], result.score)
    untrained = " (untrained)" if uses_untrained_pooler(result) else ""
    where = f"{result.dataset}  {result.pooling_label}{untrained}  layer {result.layer}"
    return f"{where}  {result.score['metric']} {score}  {result.timing['cache']}, {result.timing['total']:.1f} s"


def _lines(result: Result) -> list[tuple[str, str]]:
    """Return name and text of each line of the run's table."""
    metric, counts, chosen, timing = result.score["metric"], result.counts, result.chosen, result.timing
    lines = [(metric, format_score(metric, result.score))]
    lines += [(name, format_score(name, value)) for name, value in result.metrics.items() if name != metric]
    lines += [
        (f"baseline {name.replace('_', ' ')}", format_score(metric, value)) for name, value in result.baseline.items()
    ]
    if chosen.get("value") is not None:
        values = len(chosen.get("grid") or [])
        lines.append((f"chosen {chosen.get('parameter', 'value')}", f"{chosen['value']:g} (of {values} values)"))
    if similarity := chosen.get("similarity"):
        dropped = f", {chosen['dropped_directions']:,} directions dropped" if "dropped_directions" in chosen else ""
        lines.append(("similarity", f"{similarity}, features {chosen.get('features')}{dropped}"))
    if code := chosen.get("online_code"):
        bits = f"{code['bits']:,.0f} of {code['uniform_bits']:,.0f} bits"
        lines.append(("code length", f"{bits}, compression {code['compression']:.2f}"))
    if stated := describe_statements(recorded_statements(result)):
        lines.append(("checkpoint", stated))
    shown = {
        name: count
        for name, count in counts.items()
        if count is not None and (count or name not in HIDDEN_AT_ZERO) and name != "one_vector"
    }
    lines.append(("counts", ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in shown.items())))
    seconds = {name: value for name, value in phase_seconds(timing).items() if value}
    lines.append(("seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())))
    lines.append(("cache", timing.get("cache", "unknown") + _pass_seconds(timing)))
    return lines


def _pass_seconds(timing: Mapping[str, Any]) -> str:
    """Return how long the pass that made the features took, after a hit of the cache."""
    if timing.get("cache") != "hit" or not timing.get("passes"):
        return ""
    seconds = sum(each.get(name, 0.0) for each in timing["passes"] for name in PHASES)
    return f"; the pass that made the features took {seconds:.1f} s"


def format_score(metric: str, value: Any) -> str:
    """Return a score with its interval, in percent if the metric is a fraction.

    Parameters
    ----------
    metric : str
    value : float, None or mapping
        ``{value, low, high, reason}``; a value of None is shown as undefined, with its reason.

    Examples
    --------
    >>> format_score("accuracy", {"value": 0.8123, "low": 0.801, "high": 0.823})
    '81.2 % [80.1, 82.3]'
    >>> format_score("rmse", 2.5)
    '2.5'
    """
    if not isinstance(value, Mapping):
        value = {"value": value}
    if value.get("value") is None:
        return "undefined" + (f": {value['reason']}" if value.get("reason") else "")
    text = format_value(metric, value["value"]) + (" %" if is_fraction(metric) else "")
    if value.get("low") is not None and value.get("high") is not None:
        text += f" [{format_value(metric, value['low'])}, {format_value(metric, value['high'])}]"
    return text


def format_value(metric: str, value: float) -> str:
    """Return a metric's value in percent, or unchanged if the metric is not a fraction."""
    return f"{100 * value:.1f}" if is_fraction(metric) else f"{value:.4g}"


def is_fraction(metric: str) -> bool:
    """Return whether a metric lies within -1 and 1."""
    from src.evaluation.metrics import metrics

    return metric not in metrics or metrics[metric].high <= 1

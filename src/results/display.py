"""A record as text: the lines that a run prints, its score in a sweep's line, and the table of all its values."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from src.results.cautions import cautions, uses_untrained_pooler
from src.results.result import Result, phase_seconds
from src.results.statements import describe_statements, recorded_statements
from src.runtime.clock import PHASES

if TYPE_CHECKING:
    from rich.console import Console

HIDDEN_AT_ZERO = ("unknown", "empty", "lowered")  # counts
MAX_OTHER_METRICS = 3  # metrics that a run prints beside the headline
BAG = "bag_of_word_pieces"


def result_table(result: Result, *, width: int = 80, terminal: bool = False) -> str:
    """Return the table of a run's values: scores, baselines, chosen value, counts, seconds, cautions.

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


def result_lines(result: Result, *, width: int | None = None) -> str:
    """Return the lines that a run prints: its scores, those of the baselines, seconds, then cautions.

    Parameters
    ----------
    result : Result
    width : int, optional
        Columns of the terminal; None: lines are not folded. Scores and intervals stay on one line.
    """
    metric, timing = str(result.score["metric"]), result.timing
    others = [f"{name} {format_score(name, value, bounds=False)}" for name, value in _other_metrics(result)]
    shown = others[:MAX_OTHER_METRICS] + ["..."] * (len(others) > MAX_OTHER_METRICS)
    where = f"{pooling_text(result)}, layer {result.layer}, {result.model}, {result.dataset}"
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in phase_seconds(timing).items() if value >= 0.05)
    rows = [
        (metric, f"{', '.join([format_score(metric, result.score), *shown])} ({where})"),
        ("baseline", ", ".join(baseline_texts(result))),
        ("seconds", f"{seconds}; cache {timing.get('cache', 'unknown')}"),
    ]
    rows = [(name, text) for name, text in rows if text]
    indent = max(len(name) for name, _ in rows) + 2
    lines = [fold_text(f"{name:<{indent}}{text}", width, indent) for name, text in rows]
    if bag_scores_higher([result]):
        lines.append(f"The bag of word pieces scores better than {pooling_text(result)} here.")
    lines += [fold_text(f"warning: {caution}", width, 2) for caution in cautions(result)]
    return "\n".join(lines)


def result_summary(result: Result) -> str:
    """Return a run in one line: what was probed, its score with interval, cache and seconds."""
    return f"{result.dataset}  {pooling_text(result)}  layer {result.layer}  {score_summary(result)}"


def score_summary(result: Result) -> str:
    """Return the headline score of a run with its interval, the state of the cache and the seconds."""
    metric, timing = str(result.score["metric"]), result.timing
    return f"{metric} {format_score(metric, result.score)}; cache {timing['cache']}, {timing['total']:.1f} s"


def fold_text(text: str, width: int | None, indent: int) -> str:
    """Return a line folded at its words, further lines indented; none ends within a score with its interval."""
    if width is None:
        return text
    kept = re.sub(r"(?<=[\d%,]) (?=[%\[\d-])", "\xa0", text)
    filled = textwrap.fill(kept, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return filled.replace("\xa0", " ")


def _other_metrics(result: Result) -> list[tuple[str, Any]]:
    """Return name and value of each metric but the headline."""
    return [(name, value) for name, value in result.metrics.items() if name != result.score["metric"]]


def pooling_text(result: Result) -> str:
    """Return the name of a run's pooling, with a remark if it needs a pooler that was never trained."""
    return result.pooling_label + " (untrained)" * uses_untrained_pooler(result)


def baseline_texts(result: Result) -> list[str]:
    """Return each trivial baseline of a run with its score."""
    metric = str(result.score["metric"])
    return [f"{name.replace('_', ' ')} {format_score(metric, value)}" for name, value in result.baseline.items()]


def bag_scores_higher(results: Sequence[Result]) -> bool:
    """Return whether the bag of word pieces has a better score than each of some runs of one task."""
    bags = [score_value(result.baseline.get(BAG)) for result in results]
    values = [result.score["value"] for result in results]
    if not results or None in bags or None in values:
        return False
    sign = 1 if higher_is_better(str(results[0].score["metric"])) else -1
    return all(sign * bag > sign * value for bag, value in zip(bags, values, strict=True))


def _lines(result: Result) -> list[tuple[str, str]]:
    """Return name and text of each line of the run's table."""
    metric, counts, chosen, timing = result.score["metric"], result.counts, result.chosen, result.timing
    lines = [(metric, format_score(metric, result.score))]
    lines += [(name, format_score(name, value)) for name, value in _other_metrics(result)]
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


def format_score(metric: str, value: Any, *, bounds: bool = True) -> str:
    """Return a score with its interval, in percent if the metric is a share.

    Parameters
    ----------
    metric : str
    value : float, None or mapping
        ``{value, low, high, reason}``; a value of None is shown as undefined, with its reason.
    bounds : bool, default True
        Whether the interval, or the reason, is shown.

    Examples
    --------
    >>> format_score("accuracy", {"value": 0.8123, "low": 0.801, "high": 0.823})
    '81.2 % [80.1, 82.3]'
    >>> format_score("mcc", {"value": 0.8123, "low": 0.801, "high": 0.823}), format_score("rmse", 2.5)
    ('0.812 [0.801, 0.823]', '2.5')
    """
    if not isinstance(value, Mapping):
        value = {"value": value}
    if value.get("value") is None:
        return "undefined" + (f": {value['reason']}" if bounds and value.get("reason") else "")
    interval = format_interval(metric, value) if bounds else ""
    return f"{format_value(metric, value['value'])}{' %' * is_percent(metric)} {interval}".rstrip()


def format_interval(metric: str, value: Mapping[str, Any]) -> str:
    """Return the 95 % interval of a score as text, empty if it has none."""
    low, high = value.get("low"), value.get("high")
    return "" if low is None or high is None else f"[{format_value(metric, low)}, {format_value(metric, high)}]"


def format_value(metric: str, value: float) -> str:
    """Return a metric's value: a share in percent, a correlation with three decimals, others with four digits.

    >>> format_value("accuracy", 0.8123), format_value("mcc", 0.8123), format_value("rmse", 0.8123)
    ('81.2', '0.812', '0.8123')
    """
    if is_percent(metric):
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if is_fraction(metric) else f"{value:.4g}"


def score_value(value: Any) -> Any:
    """Return the number of a score that may hold its interval too; None stays None."""
    return value.get("value") if isinstance(value, Mapping) else value


def is_fraction(metric: str) -> bool:
    """Return whether a metric lies within -1 and 1."""
    found = _registered(metric)
    return found is None or found.high <= 1


def is_percent(metric: str) -> bool:
    """Return whether a metric is a share, from 0 to 1; correlations, from -1 on, are none.

    >>> is_percent("accuracy_mismatched"), is_percent("spearman_mean_of_sets"), is_percent("rmse")
    (True, False, False)
    """
    found = _registered(metric)
    return found is None or (found.low, found.high) == (0, 1)


def higher_is_better(metric: str) -> bool:
    """Return whether a higher score is a better one."""
    found = _registered(metric)
    return found is None or bool(found.higher_is_better)


def _registered(metric: str) -> Any:
    """Return the registered metric of a name that may end with a role or a set; None for an unknown one."""
    from src.evaluation.metrics import metrics

    return next((metrics[name] for name in metrics if metric == name or metric.startswith(f"{name}_")), None)


def format_p_value(value: float | None) -> str:
    """Return a p-value with three decimals.

    >>> format_p_value(0.00004), format_p_value(0.0312), format_p_value(None)
    ('< 0.001', '0.031', '')
    """
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

"""A comparison as text for the terminal."""

from __future__ import annotations

import io
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from src.errors import UserError, flatten, printable
from src.results.cautions import uses_untrained_pooler
from src.results.display import format_value, text_console
from src.results.statements import recorded_joint_reading
from src.sweeps.comparison import SIGNIFICANCE_LEVEL, Comparison, Group, Run, best_layers
from src.sweeps.status import STATUSES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MAX_POOLINGS_SIDE_BY_SIDE = 5
SYMBOLS = {
    "best": "*", "no relevant difference": "=", "small difference": "~", "inconclusive": "?", "untested": "!",
    "one vector": "0",
}  # fmt: skip
OTHER_PAIR = "+"
BEST_SCORE = re.compile(r"^-?[\d.e+-]+ \*u?w?$", re.MULTILINE)  # the best score of a group and its symbols, in a cell
LEGEND = {
    "*": "the best of its group",
    "=": "no relevant difference from the best: within the margin of 1 point",
    "~": "small difference from the best: real, and within the margin",
    "?": "inconclusive: neither a difference from the best nor its absence is shown",
    OTHER_PAIR: "not a pair of cls, pooler and mean: corrected over all other pairs",
    "!": "not tested against the best",
    "0": "all texts have one and the same vector: nothing can be read from it",
    "u": "made with a pooler that was never trained",
    "w": "wider than another pooling of its group: the scores compare numbers of dimensions too",
}
TESTS = (
    f"No symbol: worse than the best. Paired tests on the same rows at {100 * SIGNIFICANCE_LEVEL:g} %, Holm over the "
    "pairs of cls, pooler and mean."
)
COLUMNS = ["pooling", "score", "interval", "to best", "p (Holm)", "cache, seconds"]


def symbols(run: Run) -> str:
    """Return the symbols of a run, as the legend explains them."""
    from src.evaluation.multiplicity import SECOND_FAMILY

    other = run.family == SECOND_FAMILY
    return SYMBOLS.get(run.mark, "") + OTHER_PAIR * other + "u" * uses_untrained_pooler(run.result) + "w" * run.wider


def render(comparison: Comparison, *, width: int = 100, terminal: bool = False) -> str:
    """Return the comparison as text, its poolings side by side if they fit into `width` columns, else one per line."""
    console = text_console(width, terminal)
    if comparison.groups:
        console.print(_text(caption(comparison)))
        columns, rows = _wide(comparison)
        if (
            len(comparison.poolings) <= MAX_POOLINGS_SIDE_BY_SIDE
            and _width(columns, rows) <= width
            and not _repeated(comparison)
        ):
            _print(console, columns, rows)
        else:
            _print_long(console, comparison)
        if legend := legend_text(comparison):
            console.print(_text(legend))
        for line in layer_lines(comparison):
            console.print(_text(line))
        for warning in warnings(comparison):
            console.print(_text(warning, "yellow"), soft_wrap=True)
    console.print(_text("\n".join(tally(comparison))), soft_wrap=True)  # folders are not broken over lines
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _text(text: str, style: str = "") -> Text:
    """Return a text for the terminal, its control characters escaped."""
    from rich.text import Text

    return Text(printable(text), style=style)


def caption(comparison: Comparison) -> str:
    """Return a line that says what the numbers are, and which settings all groups share."""
    shared = ", ".join(f"{name} {value}" for name, value in comparison.common.items())
    return f"Score in % with its 95 % interval{'; ' * bool(shared)}{shared}"


def warnings(comparison: Comparison) -> list[str]:
    """Return a line for each model that read pairs in another way than it was made for, with the tasks."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for result in (run.result for group in comparison.groups for run in group.runs):
        if caution := recorded_joint_reading(result):
            found.setdefault((result.model, caution), {})[result.dataset] = None
    return [f"warning: {model} on {', '.join(datasets)}: {caution}" for (model, caution), datasets in found.items()]


def _repeated(comparison: Comparison) -> bool:
    """Return whether a group has a pooling twice, which one cell cannot show."""
    return any(len({run.result.pooling_label for run in group.runs}) < len(group.runs) for group in comparison.groups)


def tally(comparison: Comparison) -> list[str]:
    """Return a line with the number of jobs by status, then a line for each failed job.

    That line has the overrides that not all jobs share, the reason, and the folder.
    """
    lines = [", ".join(f"{comparison.count(status)} {status}" for status in STATUSES)]
    jobs = comparison.jobs
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    for job in comparison.failed:
        what = " ".join(word for word in job.overrides if word not in shared) or job.folder.name
        lines.append(f"failed: {what}: {flatten(UserError(job.error))} ({job.folder})")
    return lines


def legend_text(comparison: Comparison) -> str:
    """Return the meaning of the symbols that occur, and why runs are not tested, a line each."""
    used = {symbol for group in comparison.groups for run in group.runs for symbol in symbols(run)}
    lines = [f"{symbol} {meaning}" for symbol, meaning in LEGEND.items() if symbol in used]
    lines += [TESTS] * any(run.p is not None for group in comparison.groups for run in group.runs)
    reasons = Counter(run.reason for group in comparison.groups for run in group.runs if run.reason)
    lines += [f"  not tested, {number} of the runs: {reason}" for reason, number in reasons.items()]
    return "\n".join(lines)


def layer_lines(comparison: Comparison) -> list[str]:
    """Return a line for each best layer, with the number of scores that it was chosen among."""
    lines = []
    for found in best_layers(comparison):
        metric, result = str(found.run.result.score["metric"]), found.run.result
        lines.append(
            f"{label_text(found.label)}: the best layer is {result.layer} with {result.pooling_label}, "
            f"{score(metric, result.score)}, chosen among {found.scores} scores on these test rows, so an upper "
            "estimate. Layers are not tested against each other."
        )
    return lines


def _wide(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the wide table: a row per group, a column per pooling.

    A cell holds score and symbols, the interval, and cache state and seconds, one below the other.
    """
    names = list(dict.fromkeys(name for group in comparison.groups for name in group.label))
    trivial = baseline_names(comparison.groups)
    columns = [*names, *comparison.poolings, *(textwrap.fill(name.replace("_", " "), 9) for name in trivial)]
    rows = []
    for group in comparison.groups:
        cells = {
            run.result.pooling_label: "\n".join(
                (f"{score(group.metric, run.result.score)} {symbols(run)}", interval(run), cost(run))
            )
            for run in group.runs
        }
        rows.append(
            [group.label.get(name, "") for name in names]
            + [cells.get(pooling, "") for pooling in comparison.poolings]
            + [score(group.metric, group.baseline[name]) if name in group.baseline else "" for name in trivial]
        )
    return columns, rows


def run_rows(group: Group) -> list[list[str]]:
    """Return a row of `COLUMNS` for each run of a group."""
    return [
        [
            run.result.pooling_label,
            f"{score(group.metric, run.result.score)} {symbols(run)}".rstrip(),
            interval(run),
            "" if run.difference is None else _signed(group.metric, -run.difference),
            _p(run.adjusted),
            cost(run),
        ]
        for run in group.runs
    ]


def _signed(metric: str, value: float) -> str:
    return f"{'+' * (value > 0)}{format_value(metric, value)}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _print_long(console: Console, comparison: Comparison) -> None:
    tables = [run_rows(group) for group in comparison.groups]
    widths = [
        max(len(cell) for cell in cells)
        for cells in zip(COLUMNS, *(row for rows in tables for row in rows), strict=True)
    ]
    for group, rows in zip(comparison.groups, tables, strict=True):
        console.print(_text(f"\n{'  '.join([group_title(group), *baseline_texts(group)])}", "bold"))
        _print(console, COLUMNS, rows, widths)


def group_title(group: Group) -> str:
    """Return the settings in which a group differs from the others."""
    return label_text(group.label)


def label_text(label: Mapping[str, str]) -> str:
    """Return settings as text, dataset and metric by their values alone."""
    names = ("dataset", "metric")
    return " ".join(
        [label[name] for name in names] + [f"{name}={value}" for name, value in label.items() if name not in names]
    )


def _print(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int] | None = None
) -> None:
    from rich import box
    from rich.table import Table

    rule = box.Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)  # a line of dashes below the head
    table = Table(box=rule, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(
            _text(name),
            min_width=widths[place] if widths else None,
            no_wrap=place == 0,
            overflow="fold",
            vertical="top",
        )
    for row in rows:
        cells = [_text(cell) for cell in row]
        for cell in cells:
            cell.highlight_regex(BEST_SCORE, "bold")
        table.add_row(*cells)
    console.print(table)


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the width of a table, in columns of the terminal, if no cell is folded."""
    return sum(
        2 + max(len(line) for cell in cells for line in cell.split("\n")) for cells in zip(columns, *rows, strict=True)
    )


def baseline_names(groups: Iterable[Group]) -> list[str]:
    """Return the names of the trivial baselines of all groups."""
    return list(dict.fromkeys(name for group in groups for name in group.baseline))


def baseline_texts(group: Group) -> list[str]:
    """Return each trivial baseline of a group with its score."""
    return [f"{name.replace('_', ' ')} {score(group.metric, value)}" for name, value in group.baseline.items()]


def score(metric: str, value: Any) -> str:
    """Return a score as text, in percent if its metric is a fraction.

    >>> score("accuracy", {"value": 0.5}), score("accuracy", None)
    ('50.0', 'undefined')
    """
    found = score_value(value)
    return "undefined" if found is None else format_value(metric, found)


def interval(run: Run) -> str:
    """Return the 95 % interval as text, empty if there is none."""
    metric, low, high = (run.result.score.get(name) for name in ("metric", "low", "high"))
    return (
        "" if low is None or high is None else f"[{format_value(str(metric), low)}, {format_value(str(metric), high)}]"
    )


def cost(run: Run) -> str:
    """Return cache state and total seconds of a run as text."""
    timing = run.result.timing
    return f"{timing.get('cache', '')} {timing.get('total', 0.0):.0f} s".strip()


def score_value(value: Any) -> Any:
    """Return the number of a score that may hold its interval too; None stays None."""
    return value.get("value") if isinstance(value, Mapping) else value

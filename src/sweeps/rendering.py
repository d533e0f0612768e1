"""A comparison as text for the terminal: Markdown tables with a row per run, and the lines around them."""

from __future__ import annotations

from collections.abc import Sequence

from src.errors import printable
from src.results.display import fold_text
from src.results.escaping import markdown
from src.sweeps.cells import BEST, RESULT, result_cells, result_rows
from src.sweeps.comparison import Comparison
from src.sweeps.remarks import (
    bag_lines,
    baseline_lines,
    caption,
    group_title,
    layer_lines,
    legend_text,
    tally,
    warnings,
)

BOLD, YELLOW, PLAIN = "\x1b[1m", "\x1b[33m", "\x1b[0m"
NARROW = [name for name in RESULT if name != "metric"]  # columns of a group's own table, whose title has the metric
PROSE_WIDTH = 100  # columns of prose that is not for a terminal


def render(comparison: Comparison, *, width: int | None = None, terminal: bool = False) -> str:
    """Return the comparison as text: one table, or one per group where it would be wider than the terminal.

    Parameters
    ----------
    comparison : Comparison
    width : int, optional
        Columns of the terminal; None: tables have any width. Rows are never folded.
    terminal : bool, default False
        Bold and colours by ANSI codes.
    """
    lines = []
    if comparison.groups:
        trivial = [*baseline_lines(comparison), *bag_lines(comparison)]
        below = [*trivial, *legend_text(comparison).splitlines(), *layer_lines(comparison)]
        above = [line for line in [caption(comparison)] if line]
        above, below = (
            [fold_text(printable(line), width or PROSE_WIDTH, 2) for line in each] for each in (above, below)
        )
        lines += [*above, "", *_tables(comparison, width, terminal), "", *below]
        found = [printable(line) for line in warnings(comparison)]
        lines += [f"{YELLOW}{line}{PLAIN}" if terminal else line for line in found]
    return "\n".join([*lines, *map(printable, tally(comparison))]) + "\n"  # folders are not broken over lines


def _tables(comparison: Comparison, width: int | None, terminal: bool) -> list[str]:
    """Return the lines of one table, or of a table per group if the one is too wide."""
    columns, rows = result_rows(comparison)
    lines = table_lines(columns, rows, terminal=terminal)
    if width is None or all(len(line) <= width for line in table_lines(columns, rows)):
        return lines
    lines = []
    for group in comparison.groups:
        cells = [
            [cell for name, cell in zip(RESULT, result_cells(group, run), strict=True) if name in NARROW]
            for run in group.runs
        ]
        title = printable(group_title(group))
        lines += ["", f"{BOLD}{title}{PLAIN}" if terminal else title, ""]
        lines += table_lines(NARROW, cells, terminal=terminal)
    return lines[1:]


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], *, terminal: bool = False) -> list[str]:
    """Return the lines of a Markdown table whose columns are aligned; the best scores are bold on a terminal."""
    from rich.cells import cell_len

    cells = [[markdown(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    score, mark = columns.index("score"), columns.index("verdict")

    def line(row: Sequence[str], bold: bool = False) -> str:
        padded = []
        for place, (cell, size) in enumerate(zip(row, widths, strict=True)):
            space = " " * (size - cell_len(cell))
            shown = f"{BOLD}{cell}{PLAIN}" if bold and place == score else cell
            padded.append(space + shown if place == score else shown + space)
        return f"| {' | '.join(padded)} |"

    rule = [("-" * (size - 1) + ":") if place == score else "-" * size for place, size in enumerate(widths)]
    body = [line(row, terminal and row[mark].split(" ")[0] == BEST) for row in cells[1:]]
    return [line(cells[0]), line(rule), *body]

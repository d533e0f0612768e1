"""Writes the page as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.formatting import markdown_table
from experiments.paper.claims.sentences import Number
from experiments.paper.grids import Cell, Grid
from experiments.paper.page import COLUMNS, FIRST, Appendix, Page

SHOWN = 12  # rows of a table that is not folded
NUMBER_COLUMNS = ("what", "points", "95 % interval", "verdict", "size; p, eq")


def to_markdown(page: Page) -> str:
    """Return report.md."""
    lines = [f"# {page.title}", "", page.scope, "", "## The answer", "", page.lead, "", *numbered(page.answer), ""]
    for paragraph in page.reading:
        lines += [paragraph, ""]
    for encoder in page.encoders:
        lines += [f"### {encoder.title}", "", *_grid(encoder.tasks), ""]
        lines += [*_grid(encoder.similarity), ""] if encoder.similarity else []
        lines += [encoder.note, ""] if encoder.note else []
    for note in page.notes:
        lines += [note, ""]
    lines += [*_figure(page, FIRST), "## What this does not show", "", *(f"- {each}" for each in page.limits), ""]
    lines += ["## How to read it", "", page.method, "", "## Appendices", "", COLUMNS, ""]
    for number, appendix in enumerate(page.appendices, 1):
        lines += _appendix(page, appendix, number)
    placed = {name for each in page.appendices for name in each.figures} | {FIRST}
    lines += ["### Scores", ""]
    for name in page.figures:
        lines += [] if name in placed else _figure(page, name)
    lines += ["## Tables", "", *(f"- [{name}](tables/{name}.md): {text}" for name, text in page.tables.items()), ""]
    return "\n".join(lines)


def numbered(sentences: Iterable[str]) -> list[str]:
    """Return sentences as a numbered list."""
    return [f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1)]


def number_cells(number: Number) -> tuple[str, ...]:
    """Return the cells of a number, in the order of `NUMBER_COLUMNS`."""
    return number.what, number.value, number.interval, number.verdict, number.test


def _grid(grid: Grid) -> list[str]:
    rows = [[_cell(cell, line.kind) for cell in line.cells] for line in grid.lines]
    return markdown_table(grid.columns, rows, [False, False, *[True] * (len(grid.columns) - 2)])


def _cell(cell: Cell, kind: str) -> str:
    if not cell.text:
        return ""
    if kind == "claim":
        return f"*{cell.text}*"
    text = f"**{cell.text}**" if cell.is_best else cell.text
    return f"~~{text}~~" if kind == "floor" else text


def _figure(page: Page, name: str) -> list[str]:
    return [f"![{name}](figures/{name}.png)", "", f"*{name}.* {page.figures[name]}", ""]


def _appendix(page: Page, appendix: Appendix, number: int) -> list[str]:
    claim = appendix.claim
    lines = [f"### {number}. {claim.title}", "", claim.text, ""]
    if claim.numbers:
        rows = list(map(number_cells, claim.numbers))
        table = [*markdown_table(NUMBER_COLUMNS, rows, [False, True, True, False, False]), ""]
        lines += table if len(rows) <= SHOWN else fold(f"{len(rows)} numbers", table)
    for name in appendix.figures:
        lines += _figure(page, name)
    lines += [f"`{claim.command}`", ""]
    return [*lines, f"See {', '.join(map(link, claim.see))}.", ""] if claim.see else lines


def fold(summary: str, lines: Iterable[str]) -> list[str]:
    """Return lines that a reader opens by a click on their summary."""
    return [f"<details><summary>{summary}</summary>", "", *lines, "</details>", ""]


def link(name: str) -> str:
    """Return a link to a figure or table of a claim."""
    folder, _, plain = name.partition("/")
    return f"[{plain}]({name}.{'png' if folder == 'figures' else 'md'})"

"""Writes the report as a Markdown document."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.formatting import markdown_table
from experiments.report.document import AGAIN, Report, setting_prefix
from experiments.report.tables import Table
from src.results.escaping import markdown


def to_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    lines = [f"# {markdown(report.title)}", "", *_list(report.head), ""]
    lines += ["## Verdicts", "", *_table(report.overview), ""]
    if report.predicted:
        lines += ["## Predictions", "", f"**{markdown(report.predicted.sentence)}**", ""]
        lines += [*_table(report.predicted.table), ""]
    lines += ["## Over the tasks", ""]
    for setting, sentence, table in report.across:
        lines += [markdown(f"{setting_prefix(setting.label)}{sentence}"), ""] + ([*_table(table), ""] if table else [])
    for sentence in report.over_layers:
        lines += [markdown(sentence), ""]
    for part in report.parts:
        lines += [f"## {markdown(part.title)}", "", f"**{markdown(part.verdict.sentence)}**", ""]
        lines += [*_list(part.verdict.more), ""] if part.verdict.more else []
        for table in filter(None, (part.by_layer, part.runs)):
            lines += [markdown(f"{table.caption}."), "", *_table(table), ""]
        lines += [*_list(part.notes), ""] if part.notes else []
    lines += ["## Left out", "", AGAIN, "", *_list(report.left_out), ""] if report.left_out else []
    return "\n".join([*lines, "## How to read this", "", *_list(report.reading)]) + "\n"


def _list(lines: Iterable[str]) -> list[str]:
    return [f"- {markdown(line)}" for line in lines]


def _table(table: Table) -> list[str]:
    cells = ([markdown(cell.text) for cell in row] for row in table.rows)
    return markdown_table(table.columns, cells, table.numeric)

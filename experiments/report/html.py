"""Writes the report as one HTML page that holds its style, script and figures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from experiments.report.charts import claims_chart, part_charts
from experiments.report.document import AGAIN, Part, Report, setting_prefix
from experiments.report.svg import draw, escape_html
from experiments.report.tables import Cell, Table

TEMPLATES = Path(__file__).parent / "templates"
LONG = 40  # characters from which a text column keeps a width of its own


def to_html(report: Report) -> str:
    """Return the report as a page whose content security policy allows its own script alone."""
    return compose_html(report.title, "\n".join(_body(report)))


def compose_html(title: str, body: str, style: str = "") -> str:
    """Return a page of some body whose content security policy allows its own style, script and images alone.

    Parameters
    ----------
    title, body : str
        Text, and HTML.
    style : str
        Rules of a style sheet after the report's own.
    """
    css, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    page = Template((TEMPLATES / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape_html(title),
        style=css + style,
        style_digest=_policy_digest(css + style),
        script=script,
        script_digest=_policy_digest(script),
        body=body,
    )


def _policy_digest(content: str) -> str:
    """Return the name of an inline style or script in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _body(report: Report) -> Iterable[str]:
    yield f"<header><h1>{escape_html(report.title)}</h1>{_list(report.head)}</header>"
    anchors = [f"#task-{place}" for place in range(1, len(report.parts) + 1)]
    yield f"<section><h2>{escape_html(report.overview.caption)}</h2>{_table(report.overview, anchors)}</section>"
    if report.predicted:
        yield f'<section><h2>Predictions</h2><p class="verdict">{escape_html(report.predicted.sentence)}</p>'
        yield f"{_table(report.predicted.table)}</section>"
    yield "<section><h2>Over the tasks</h2>"
    for place, (setting, sentence, table) in enumerate(report.across, 1):
        yield f'<p class="verdict">{escape_html(setting_prefix(setting.label) + sentence)}</p>'
        if table:
            yield draw(claims_chart(setting, f"over-{place}")) + _table(table)
    yield from (f'<p class="verdict">{escape_html(sentence)}</p>' for sentence in report.over_layers)
    yield "</section>"
    yield from (_part(part, f"task-{place}") for place, part in enumerate(report.parts, 1))
    if report.left_out:
        yield f"<section><h2>Left out</h2><p>{AGAIN}</p>{_list(report.left_out)}</section>"
    yield f"<section><h2>How to read this</h2>{_list(report.reading)}</section>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape_html(line)}</li>" for line in lines) + "</ul>"


def _part(part: Part, name: str) -> str:
    kind = ' class="failed"' if part.fails else ""
    blocks = [
        f'<section id="{name}"{kind}><h2>{escape_html(part.title)}</h2>',
        f'<p class="verdict">{escape_html(part.verdict.sentence)}</p>',
        *(f"<p>{escape_html(line)}</p>" for line in part.verdict.more),
        *map(draw, part_charts(part.section, part.layers, name, faded=part.fails)),
        *([_table(part.by_layer)] if part.by_layer else []),
        _table(part.runs),
        *([_list(part.notes)] if part.notes else []),
        *([f"<details><summary>Every pair</summary>{_table(part.pairs)}</details>"] if part.pairs else []),
        "</section>",
    ]
    return "\n".join(block for block in blocks if block)


def _table(table: Table, anchors: Sequence[str] = ()) -> str:
    """Return a table with sortable columns; with `anchors`, its rows are links."""
    kinds = [_column_class(table, place, numeric) for place, numeric in enumerate(table.numeric)]
    head = "".join(
        f'<th scope="col"{kind}{" data-numeric" * numeric}><button type="button">{escape_html(name)}</button></th>'
        for name, kind, numeric in zip(table.columns, kinds, table.numeric, strict=True)
    )
    rows = []
    for place, row in enumerate(table.rows):
        name = escape_html(row[0].text)
        linked = f'<a href="{anchors[place]}">{name}</a>' if anchors else name
        cells = "".join(
            f"<td{kind}{_value(cell)}>{escape_html(cell.text)}</td>"
            for kind, cell in zip(kinds[1:], row[1:], strict=True)
        )
        faded = ' class="faded"' if place in table.faded else ""
        rows.append(f'<tr{faded}><th scope="row">{linked}</th>{cells}</tr>')
    caption, stacked = escape_html(table.caption), ' class="stack"' if anchors else ""
    return (
        ("" if anchors else f'<p class="small">{caption}</p>')
        + f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        + f'<table aria-label="{caption}"{stacked}><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _column_class(table: Table, place: int, numeric: bool) -> str:
    if numeric:
        return ' class="number"'
    return ' class="long"' if place and any(len(row[place].text) > LONG for row in table.rows) else ""


def _value(cell: Cell) -> str:
    return "" if cell.value is None else f' data-value="{cell.value:.10g}"'

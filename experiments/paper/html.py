"""Writes the page as one HTML file that holds its style, script and figures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.paper.claims.sentences import Claim
from experiments.paper.figures.saving import RUN_LENGTHS
from experiments.paper.grids import Cell, Grid
from experiments.paper.markdown import NUMBER_COLUMNS, number_cells
from experiments.paper.page import COLUMNS, FIRST, Appendix, Page
from experiments.report.html import TEMPLATES, compose_html
from experiments.report.svg import escape_html

COLOURS = 64  # of an image


def to_html(page: Page, images: Mapping[str, str]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    page : Page
    images : mapping of str to str
        The address of each figure's image; see `embed`.
    """
    style = (TEMPLATES / "paper.css").read_text(encoding="utf-8")
    return compose_html(page.title, "\n".join(_body(page, images)), style)


def embed(path: Path) -> str:
    """Return a PNG file, reduced to `COLOURS`, as the address of an image."""
    from PIL import Image

    content = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(content, "PNG", compress_type=RUN_LENGTHS)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def inline(text: str) -> str:
    """Return a text with Markdown's bold, code and links as HTML.

    >>> inline("**a < b** by `x`, [y](z)")
    '<b>a &lt; b</b> by <code>x</code>, <a href="z">y</a>'
    """
    found = escape_html(text)
    for pattern, tag in ((r"`([^`]+)`", "code"), (r"\*\*([^*]+)\*\*", "b"), (r"(?<![\w*])\*([^*]+)\*(?![\w*])", "i")):
        found = re.sub(pattern, rf"<{tag}>\1</{tag}>", found)
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', found)


def _body(page: Page, images: Mapping[str, str]) -> Iterable[str]:
    yield f"<header><h1>{escape_html(page.title)}</h1><p>{inline(page.scope)}</p></header>"
    yield f'<div class="screens"><section class="answer"><h2>The answer</h2><p>{inline(page.lead)}</p>'
    reading = "".join(f'<p class="small">{inline(paragraph)}</p>' for paragraph in page.reading)
    yield f"{_list(page.answer, 'ol')}{reading}</section>"
    yield f'<section class="limits"><h2>What this does not show</h2>{_list(page.limits)}</section>'
    yield f'<section class="shown">{_figure(page, FIRST, images)}</section>'
    yield '<section class="tables"><div class="encoders">'
    for encoder in page.encoders:
        grids = [_grid(each, encoder.title) for each in (encoder.tasks, encoder.similarity) if each]
        note = f'<p class="small">{inline(encoder.note)}</p>' if encoder.note else ""
        yield f"<div><h3>{escape_html(encoder.title)}</h3>{''.join(grids)}{note}</div>"
    yield '</div><div class="encoders">'
    yield from (f'<p class="small">{inline(note)}</p>' for note in page.notes)
    yield "</div></section></div>"
    yield f"<section><h2>How to read it</h2><p>{inline(page.method)}</p></section>"
    yield f"<section><h2>Appendices</h2><p>{inline(COLUMNS)}</p>"
    yield from (_appendix(page, each, number, images) for number, each in enumerate(page.appendices, 1))
    placed = {name for each in page.appendices for name in each.figures} | {FIRST}
    rest = "".join(_figure(page, name, images) for name in page.figures if name not in placed)
    yield f"<details><summary>Scores</summary>{rest}</details>"
    tables = [f"[{name}](tables/{name}.md): {text}" for name, text in page.tables.items()]
    yield f"<details><summary>Tables</summary>{_list(tables)}</details></section>"


def _list(lines: Iterable[str], kind: str = "ul") -> str:
    return f"<{kind}>" + "".join(f"<li>{inline(line)}</li>" for line in lines) + f"</{kind}>"


def _grid(grid: Grid, title: str) -> str:
    kinds = ["", "", *[' class="number"'] * (len(grid.columns) - 2)]
    head = "".join(
        f'<th scope="col"{kind}>{escape_html(name)}</th>' for name, kind in zip(grid.columns, kinds, strict=True)
    )
    rows = []
    for line in grid.lines:
        cells = "".join(f"<td{kind}>{_cell(each)}</td>" for kind, each in zip(kinds[1:], line.cells[1:], strict=True))
        rows.append(f'<tr class="{line.kind}"><th scope="row">{_cell(line.cells[0])}</th>{cells}</tr>')
    label = escape_html(f"{title}: {grid.columns[0]}")
    return (
        f'<div class="scroll grid" tabindex="0" role="region" aria-label="{label}"><table aria-label="{label}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    return f"<b>{escape_html(cell.text)}</b>" if cell.is_best else escape_html(cell.text)


def _figure(page: Page, name: str, images: Mapping[str, str]) -> str:
    caption = inline(page.figures[name])
    return (
        f'<figure><img src="{images[name]}" alt="{escape_html(page.figures[name])}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _appendix(page: Page, appendix: Appendix, number: int, images: Mapping[str, str]) -> str:
    claim = appendix.claim
    parts = [f"<details><summary>{number}. {escape_html(claim.title)}</summary><p>{inline(claim.text)}</p>"]
    parts += [_numbers(claim)] if claim.numbers else []
    parts += [_figure(page, name, images) for name in appendix.figures]
    tables = [name for name in claim.see if name.startswith("tables/")]
    links = ", ".join(f'<a href="{name}.md">{name.partition("/")[2]}</a>' for name in tables)
    more = f" Tables: {links}." if tables else ""
    return "\n".join([*parts, f'<p class="small"><code>{escape_html(claim.command)}</code>.{more}</p></details>'])


def _numbers(claim: Claim) -> str:
    kinds = ("", ' class="number"', ' class="number"', "", "")
    head = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in zip(NUMBER_COLUMNS, kinds, strict=True))
    rows = []
    for number in claim.numbers:
        first, *rest = map(escape_html, number_cells(number))
        cells = "".join(f"<td{kind}>{text}</td>" for kind, text in zip(kinds[1:], rest, strict=True))
        rows.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    label = escape_html(claim.title)
    return (
        f'<div class="scroll grid" tabindex="0" role="region" aria-label="{label}"><table aria-label="{label}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )

"""The report as one HTML page: style, script and figures are inside, nothing is fetched, and a name in the data stays a name."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from experiments.figures import style
from experiments.verdicts import Run, Section, Setting, gap, is_random
from src.errors import printable
from src.results.display import format_score, format_value, is_fraction

if TYPE_CHECKING:
    from experiments.report import Cell, Part, Report, Table

TEMPLATES = Path(__file__).parent / "templates"
LONG = 40  # characters from which a column of text keeps a width of its own
# A figure's measures, in its own units: the column of names, the plot, the margin beside it, the heights of a row, the axis and the legend.
NAMES, PLOT, BESIDE, ROW, AXIS, LEGEND = 172, 280, 18, 22, 40, 18
LONGEST = 20  # characters of a name in a figure
STEPS = 5  # of an axis, at most


def to_html(report: Report) -> str:
    """The report as a page that runs its own script alone: any other is refused by the page's content security policy."""
    css, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    page = Template((TEMPLATES / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=_text(report.title),
        style=css,
        style_digest=_digest(css),
        script=script,
        script_digest=_digest(script),
        body="\n".join(_body(report)),
    )


def _digest(content: str) -> str:
    """How a content security policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _text(text: str) -> str:
    return escape(printable(text))


def _body(report: Report) -> Iterable[str]:
    yield f"<header><h1>{_text(report.title)}</h1>{_list(report.head)}</header>"
    anchors = [f"#task-{place}" for place in range(1, len(report.parts) + 1)]
    yield f"<section><h2>{_text(report.overview.caption)}</h2>{_table(report.overview, anchors)}</section>"
    yield "<section><h2>Over the tasks</h2>"
    for place, (setting, sentence, table) in enumerate(report.across, 1):
        yield f'<p class="verdict">{_text(called(setting.label) + sentence)}</p>'
        if table:
            yield _claims_figure(setting, place) + _table(table)
    yield "</section>"
    yield from (_part(part, place) for place, part in enumerate(report.parts, 1))
    if report.left_out:
        yield f"<section><h2>Left out</h2>{_list(report.left_out)}</section>"
    yield f"<section><h2>How to read this</h2>{_list(report.reading)}</section>"


def called(label: Mapping[str, str]) -> str:
    """What a setting's sentence begins with: what tells it from the others."""
    told = ", ".join(f"{name}={value}" for name, value in label.items())
    return f"{told}: " if told else ""


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _part(part: Part, place: int) -> str:
    blocks = [
        f'<section id="task-{place}"><h2>{_text(part.section.title)}</h2>',
        f'<p class="verdict">{_text(part.verdict.sentence)}</p>',
        *(f"<p>{_text(line)}</p>" for line in part.verdict.more),
        _scores_figure(part.section, place),
        _table(part.runs),
        *([_list(part.notes)] if part.notes else []),
        *([f"<details><summary>Every pair</summary>{_table(part.pairs)}</details>"] if part.pairs else []),
        "</section>",
    ]
    return "\n".join(block for block in blocks if block)


def _table(table: Table, anchors: Sequence[str] = ()) -> str:
    """A table whose columns can be sorted; with `anchors`, links of the rows' names, it stands below a heading that says its caption."""
    columns = range(len(table.columns))
    numeric = [any(row[place].value is not None for row in table.rows) for place in columns]
    kinds = [
        ' class="number"'
        if numeric[place]
        else ' class="long"'
        if any(len(row[place].text) > LONG for row in table.rows)
        else ""
        for place in columns
    ]
    head = "".join(
        f'<th scope="col"{kinds[place]}{" data-numeric" * numeric[place]}><button type="button">{_text(name)}</button></th>'
        for place, name in enumerate(table.columns)
    )
    rows = []
    for place, row in enumerate(table.rows):
        name = _text(row[0].text)
        linked = f'<a href="{anchors[place]}">{name}</a>' if anchors else name
        cells = [
            f"<td{kind}{_value(cell)}>{_text(cell.text)}</td>" for kind, cell in zip(kinds[1:], row[1:], strict=True)
        ]
        rows.append(f'<tr><th scope="row">{linked}</th>{"".join(cells)}</tr>')
    caption, stacked = _text(table.caption), ' class="stack"' if anchors else ""
    return (
        ("" if anchors else f'<p class="small">{caption}</p>')
        + f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        + f'<table aria-label="{caption}"{stacked}><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _value(cell: Cell) -> str:
    return "" if cell.value is None else f' data-value="{cell.value:.10g}"'


@dataclass(frozen=True)
class Mark:
    """A row of a figure: its name, its value with its interval, what it looks like, and the value in words."""

    name: str
    value: float
    low: float
    high: float
    colour: str
    hollow: bool
    words: str


@dataclass(frozen=True)
class Line:
    """A line across a figure's rows: its kind, which the style sheet knows, what it is in words, and where it stands."""

    kind: str
    words: str
    value: float


def _scores_figure(section: Section, place: int) -> str:
    """Every pooling's score with its interval, and the trivial scores as lines."""
    marks = [_mark(run, section.metric) for run in section.scored]
    scale = 100 if is_fraction(section.metric) else 1
    lines = [
        Line(
            name,
            f"{style.BASELINES.get(name, (name,))[0]} {format_value(section.metric, value['value'])}",
            scale * value["value"],
        )
        for name, value in section.baseline.items()
        if value.get("value") is not None
    ]
    unit = f"{section.metric}, %" if scale == 100 else section.metric
    return (
        _figure(f"task-{place}", f"{section.title}: {section.metric} with 95 % intervals", unit, marks, lines)
        if marks
        else ""
    )


def _mark(run: Run, metric: str) -> Mark:
    score, scale = run.result.score, 100 if is_fraction(metric) else 1
    assert run.value is not None
    low, high = (run.value if score.get(end) is None else score[end] for end in ("low", "high"))
    colour = style.COLOURS.get(run.result.pooling, "")
    return Mark(
        run.name, scale * run.value, scale * low, scale * high, colour, is_random(run), format_score(metric, score)
    )


def _claims_figure(setting: Setting, place: int) -> str:
    """Every pair's mean difference over the tasks with its interval, zero, and the margin as a band."""
    marks = [
        Mark(
            f"{found.a} - {found.b}",
            100 * found.value,
            100 * found.low,
            100 * found.high,
            "",
            False,
            gap("accuracy", claim.difference),
        )
        for claim in setting.claims
        for found in (claim.overall,)
    ]
    title = f"Difference over {len(setting.tasks)} tasks, points, with 95 % intervals"
    margin = 100 * setting.claims[0].overall.margin
    return _figure(
        f"over-{place}", title, "mean difference, points", marks, [Line("zero", "no difference", 0.0)], margin
    )


def _figure(
    name: str, title: str, unit: str, marks: Sequence[Mark], lines: Sequence[Line], band: float | None = None
) -> str:
    """Rows of dots with their intervals above one axis, as SVG that takes the page's colours; `band` shades what lies within it of zero."""
    ends = [end for mark in marks for end in (mark.low, mark.high)] + [line.value for line in lines]
    ends += [] if band is None else [-band, band]
    ticks = _ticks(min(ends), max(ends))
    bottom = ROW * len(marks) + 6
    legend = [*lines, *([] if band is None else [Line("band", f"within the margin of {band:g}", band)])]
    height = bottom + AXIS + LEGEND * len(legend)

    def x(value: float) -> str:
        return f"{NAMES + PLOT * (value - ticks[0]) / (ticks[-1] - ticks[0]):.1f}"

    told = "; ".join([*(f"{mark.name} {mark.words}" for mark in marks), *(line.words for line in lines)])
    parts = [
        f'<figure><svg viewBox="0 0 {NAMES + PLOT + BESIDE} {height}" role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{_text(title)}</title><desc id="{name}-desc">{_text(told)}</desc>',
    ]
    if band is not None:
        width = float(x(band)) - float(x(-band))
        parts.append(f'<rect class="band" x="{x(-band)}" y="0" width="{width:.1f}" height="{bottom}"/>')
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text class="soft middle" x="{x(tick)}" y="{bottom + 15}">{tick:g}</text>')
    parts.append(f'<text class="soft middle" x="{NAMES + PLOT / 2:g}" y="{bottom + 32}">{_text(unit)}</text>')
    parts += [
        f'<line class="base {_text(each.kind)}" x1="{x(each.value)}" x2="{x(each.value)}" y1="0" y2="{bottom}"/>'
        for each in lines
    ]
    for row, mark in enumerate(marks):
        parts += _row(mark, 14 + ROW * row, x)
    parts += [_explained(line, bottom + AXIS + LEGEND * row + 8) for row, line in enumerate(legend)]
    return "\n".join([*parts, "</svg></figure>"])


def _explained(line: Line, y: int) -> str:
    """A line of the legend."""
    shape = f'<line class="base {_text(line.kind)}" x1="{NAMES}" x2="{NAMES + 30}" y1="{y - 4}" y2="{y - 4}"/>'
    if line.kind == "band":
        shape = f'<rect class="band" x="{NAMES}" y="{y - 10}" width="30" height="12"/>'
    return f'{shape}<text class="soft" x="{NAMES + 38}" y="{y}">{_text(line.words)}</text>'


def _row(mark: Mark, y: int, x: Callable[[float], str]) -> Iterable[str]:
    short = mark.name if len(mark.name) <= LONGEST else f"{mark.name[: LONGEST - 1]}…"
    colour = f' stroke="{mark.colour}"' if mark.colour else ""
    filled = f' fill="{mark.colour}"' if mark.colour and not mark.hollow else ""
    kind = f"{' hollow' * mark.hollow}{'' if mark.colour else ' plain'}"
    yield f'<text class="end" x="{NAMES - 10}" y="{y + 4}">{_text(short)}</text><g><title>{_text(f"{mark.name}: {mark.words}")}</title>'
    yield f'<line class="range{kind}" x1="{x(mark.low)}" x2="{x(mark.high)}" y1="{y}" y2="{y}"{colour}/>'
    yield f'<circle class="dot{kind}" cx="{x(mark.value)}" cy="{y}" r="4.5"{colour}{filled}/></g>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below `low` to above `high`.

    >>> _ticks(61.0, 77.2)
    [60.0, 65.0, 70.0, 75.0, 80.0]
    """
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / STEPS))
    step = next(size * times for times in (1, 2, 5, 10) if span <= STEPS * size * times)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(place * step, 10) for place in range(first, last + 1)]

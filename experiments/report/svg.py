"""Draws the figures of the HTML report: rows of dots above one axis, and scores by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape

from experiments.report.charts import Chart, LayersChart, Line, Mark
from src.errors import printable

# Sizes in the figure's units: the column of names, the plot, its right margin, and the heights of a
# row, of the axis and of a line of the legend.
NAMES, PLOT, MARGIN, ROW, AXIS, LEGEND = 172, 280, 18, 22, 40, 18
LONGEST = 20  # characters of a name
MOST_STEPS = 5  # steps of an axis


def draw(chart: Chart | LayersChart) -> str:
    """Return a figure as SVG with its description in words."""
    if isinstance(chart, LayersChart):
        return _draw_layers(chart)
    return _draw_rows(chart)


def _draw_rows(chart: Chart) -> str:
    """Return rows of marks above one axis."""
    marks, lines, band = chart.marks, chart.lines, chart.band
    ends = [end for mark in marks for end in (mark.low, mark.high)] + [line.value for line in lines]
    ticks = _ticks([*ends, *([] if band is None else [-band, band])])
    bottom = ROW * len(marks) + 6
    legend = [*lines, *([] if band is None else [Line("band", f"within the margin of {band:g}", band)])]

    def x(value: float) -> str:
        return f"{NAMES + PLOT * (value - ticks[0]) / (ticks[-1] - ticks[0]):.1f}"

    described = "; ".join([*(f"{mark.name} {mark.text}" for mark in marks), *(line.text for line in lines)])
    parts = _open(chart, bottom + AXIS + LEGEND * len(legend), described)
    if band is not None:
        width = float(x(band)) - float(x(-band))
        parts.append(f'<rect class="band" x="{x(-band)}" y="0" width="{width:.1f}" height="{bottom}"/>')
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text class="soft middle" x="{x(tick)}" y="{bottom + 15}">{tick:g}</text>')
    middle = NAMES + PLOT / 2
    parts.append(f'<text class="soft middle" x="{middle:g}" y="{bottom + 32}">{escape_html(chart.unit)}</text>')
    parts += [
        f'<line class="base {escape_html(each.kind)}" x1="{x(each.value)}" x2="{x(each.value)}" y1="0" y2="{bottom}"/>'
        for each in lines
    ]
    for row, mark in enumerate(marks):
        parts += _draw_mark(mark, 14 + ROW * row, x)
    parts += [_draw_legend(line, bottom + AXIS + LEGEND * row + 8) for row, line in enumerate(legend)]
    return "\n".join([*parts, "</svg></figure>"])


def _open(chart: Chart | LayersChart, height: int, described: str) -> list[str]:
    """Return the first elements of a figure."""
    name, box = chart.name, f"0 0 {NAMES + PLOT + MARGIN} {height}"
    kind = ' class="faded"' if chart.faded else ""
    return [
        f'<figure{kind}><svg viewBox="{box}" role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape_html(chart.title)}</title>'
        f'<desc id="{name}-desc">{escape_html(described)}</desc>',
    ]


def _draw_layers(chart: LayersChart) -> str:
    """Return a line of marks per pooling, by layer."""
    known = [mark for marks in chart.series.values() for mark in marks if mark is not None]
    ends = [end for mark in known for end in (mark.low, mark.high)] + [line.value for line in chart.lines]
    ticks = _ticks(ends)
    left, right, bottom = 44, NAMES + PLOT + MARGIN - 12, 220
    lines = [*chart.lines, *([Line("ring", "the chosen layer and pooling", 0.0)] if chart.chosen[0] else [])]
    legend = len(chart.series) + len(lines)

    def y(value: float) -> float:
        return round(bottom - (bottom - 10) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    def x(place: int, series: int) -> float:
        step = (right - left) / max(len(chart.layers), 1)
        shift = (series - (len(chart.series) - 1) / 2) * min(6.0, 0.7 * step / max(len(chart.series), 1))
        return round(left + step * (place + 0.5) + shift, 1)

    words = [
        f"{mark.name} at layer {layer} {mark.text}"
        for marks in chart.series.values()
        for layer, mark in zip(chart.layers, marks, strict=True)
        if mark is not None
    ]
    parts = _open(chart, bottom + AXIS + LEGEND * legend, "; ".join([*words, *(line.text for line in chart.lines)]))
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(f'<text class="soft end" x="{left - 6}" y="{y(tick) + 4}">{tick:g}</text>')
    for place, layer in enumerate(chart.layers):
        centre = left + (right - left) / len(chart.layers) * (place + 0.5)
        parts.append(f'<text class="soft middle" x="{centre:.1f}" y="{bottom + 15}">{layer}</text>')
    axis = f"layer (0: embeddings); vertical: {chart.unit}"
    parts.append(f'<text class="soft middle" x="{(left + right) / 2:g}" y="{bottom + 32}">{escape_html(axis)}</text>')
    for line in chart.lines:
        kind, height = escape_html(line.kind), y(line.value)
        parts.append(f'<line class="base {kind}" x1="{left}" x2="{right}" y1="{height}" y2="{height}"/>')
    for number, (name, marks) in enumerate(chart.series.items()):
        parts += _draw_series(chart, name, [(x(place, number), mark) for place, mark in enumerate(marks)], y)
    shown = [next(mark for mark in marks if mark is not None) for marks in chart.series.values()]
    for row, mark in enumerate(shown):
        parts += _draw_mark(replace(mark, text=""), bottom + AXIS + LEGEND * row + 8, lambda _: f"{NAMES + 20}")
    rows = range(len(shown), legend)
    parts += [_draw_legend(line, bottom + AXIS + LEGEND * row + 12) for row, line in zip(rows, lines, strict=True)]
    return "\n".join([*parts, "</svg></figure>"])


def _draw_series(
    chart: LayersChart, name: str, marks: Sequence[tuple[float, Mark | None]], y: Callable[[float], float]
) -> Iterable[str]:
    """Yield the line and the marks of a pooling; the chosen layer has a ring."""
    known = [(place, mark) for place, mark in marks if mark is not None]
    points = " ".join(f"{place},{y(mark.value)}" for place, mark in known)
    stroke = f' stroke="{known[0][1].colour}"' if known[0][1].colour else ""
    yield f'<g><polyline class="series{"" if stroke else " plain"}" points="{points}"{stroke}/></g>'
    for layer, (place, mark) in zip(chart.layers, marks, strict=True):
        if mark is None:
            continue
        kind = f"{' hollow' * mark.hollow}{'' if stroke else ' plain'}"
        filled = f' fill="{mark.colour}"' if mark.colour and not mark.hollow else ""
        title = escape_html(f"{mark.name}, layer {layer}: {mark.text}")
        yield f"<g><title>{title}</title>"
        yield f'<line class="thin{kind}" x1="{place}" x2="{place}" y1="{y(mark.low)}" y2="{y(mark.high)}"{stroke}/>'
        yield f'<circle class="dot{kind}" cx="{place}" cy="{y(mark.value)}" r="3.5"{stroke}{filled}/></g>'
        if (name, layer) == chart.chosen:
            yield f'<circle class="ring" cx="{place}" cy="{y(mark.value)}" r="8"/>'


def _draw_legend(line: Line, y: int) -> str:
    shape = f'<line class="base {escape_html(line.kind)}" x1="{NAMES}" x2="{NAMES + 30}" y1="{y - 4}" y2="{y - 4}"/>'
    if line.kind == "band":
        shape = f'<rect class="band" x="{NAMES}" y="{y - 10}" width="30" height="12"/>'
    if line.kind == "ring":
        shape = f'<circle class="ring" cx="{NAMES + 20}" cy="{y - 4}" r="7"/>'
    return f'{shape}<text class="soft" x="{NAMES + 38}" y="{y}">{escape_html(line.text)}</text>'


def _draw_mark(mark: Mark, y: int, x: Callable[[float], str]) -> Iterable[str]:
    short = mark.name if len(mark.name) <= LONGEST else f"{mark.name[: LONGEST - 1]}…"
    title = escape_html(f"{mark.name}: {mark.text}" if mark.text else mark.name)
    colour = f' stroke="{mark.colour}"' if mark.colour else ""
    filled = f' fill="{mark.colour}"' if mark.colour and not mark.hollow else ""
    kind = f"{' hollow' * mark.hollow}{'' if mark.colour else ' plain'}"
    yield f'<text class="end" x="{NAMES - 10}" y="{y + 4}">{escape_html(short)}</text><g><title>{title}</title>'
    yield f'<line class="range{kind}" x1="{x(mark.low)}" x2="{x(mark.high)}" y1="{y}" y2="{y}"{colour}/>'
    yield f'<circle class="dot{kind}" cx="{x(mark.value)}" cy="{y}" r="4.5"{colour}{filled}/></g>'


def escape_html(text: str) -> str:
    """Return a text for HTML or SVG, its control characters written as escapes."""
    return escape(printable(text))


def _ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers from below the lowest value to above the highest.

    >>> _ticks([61.0, 77.2])
    [60.0, 65.0, 70.0, 75.0, 80.0]
    """
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / MOST_STEPS))
    step = next(size * times for times in (1, 2, 5, 10) if span <= MOST_STEPS * size * times)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(place * step, 10) for place in range(first, last + 1)]

"""Draws the figures of the HTML report: rows of dots with intervals above one axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from experiments import style
from experiments.formatting import format_difference
from experiments.report.claims import Setting
from experiments.report.sections import Run, Section
from src.errors import printable
from src.results.display import format_score, format_value, is_fraction

# Sizes in the figure's units: the column of names, the plot, its right margin, and the heights of a
# row, of the axis and of a line of the legend.
NAMES, PLOT, MARGIN, ROW, AXIS, LEGEND = 172, 280, 18, 22, 40, 18
LONGEST = 20  # characters of a name
MOST_STEPS = 5  # steps of an axis


@dataclass(frozen=True)
class Mark:
    """A row of a figure: a value with its interval; `text` describes it in words."""

    name: str
    value: float
    low: float
    high: float
    colour: str
    hollow: bool
    text: str


@dataclass(frozen=True)
class Line:
    """A line across the rows; `kind` is its class in the style sheet, `text` describes it."""

    kind: str
    text: str
    value: float


def scores_figure(section: Section, name: str) -> str:
    """Return the figure of a section: scores and trivial scores; empty without scores."""
    marks = [_score_mark(run, section.metric) for run in section.scored]
    if not marks:
        return ""
    scale = 100 if is_fraction(section.metric) else 1
    lines = [
        Line(
            kind,
            f"{style.BASELINES.get(kind, kind)} {format_value(section.metric, baseline['value'])}",
            scale * baseline["value"],
        )
        for kind, baseline in section.baseline.items()
        if baseline.get("value") is not None
    ]
    unit = f"{section.metric}, %" if scale == 100 else section.metric
    return _draw(name, f"{section.title}: {section.metric} with 95 % intervals", unit, marks, lines)


def _score_mark(run: Run, metric: str) -> Mark:
    score, scale = run.result.score, 100 if is_fraction(metric) else 1
    assert run.value is not None
    low, high = (run.value if score.get(end) is None else score[end] for end in ("low", "high"))
    colour = style.COLOURS.get(run.result.pooling_label, "")
    text = format_score(metric, score)
    return Mark(run.name, scale * run.value, scale * low, scale * high, colour, run.is_random, text)


def claims_figure(setting: Setting, name: str) -> str:
    """Return the figure of a setting: mean differences over tasks, and the margin as a band."""
    marks = []
    for claim in setting.claims:
        found, text = claim.difference, format_difference("accuracy", claim.difference)
        assert found.low is not None and found.high is not None
        value, low, high = (100 * each for each in (claim.value, found.low, found.high))
        marks.append(Mark(f"{claim.a} - {claim.b}", value, low, high, "", False, text))
    title = f"{setting.stratum.capitalize()}: difference {setting.claims[0].scope}, with 95 % intervals"
    margin = 100 * setting.claims[0].margin
    return _draw(
        name, title, f"mean difference, points of {setting.scale}", marks, [Line("zero", "no difference", 0.0)], margin
    )


def _draw(
    name: str, title: str, unit: str, marks: Sequence[Mark], lines: Sequence[Line], band: float | None = None
) -> str:
    """Return a figure; `band` shades the values from -band to band."""
    ends = [end for mark in marks for end in (mark.low, mark.high)] + [line.value for line in lines]
    ticks = _ticks([*ends, *([] if band is None else [-band, band])])
    bottom = ROW * len(marks) + 6
    legend = [*lines, *([] if band is None else [Line("band", f"within the margin of {band:g}", band)])]
    height = bottom + AXIS + LEGEND * len(legend)

    def x(value: float) -> str:
        return f"{NAMES + PLOT * (value - ticks[0]) / (ticks[-1] - ticks[0]):.1f}"

    described = "; ".join([*(f"{mark.name} {mark.text}" for mark in marks), *(line.text for line in lines)])
    box = f"0 0 {NAMES + PLOT + MARGIN} {height}"
    parts = [
        f'<figure><svg viewBox="{box}" role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape_html(title)}</title><desc id="{name}-desc">{escape_html(described)}</desc>',
    ]
    if band is not None:
        width = float(x(band)) - float(x(-band))
        parts.append(f'<rect class="band" x="{x(-band)}" y="0" width="{width:.1f}" height="{bottom}"/>')
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text class="soft middle" x="{x(tick)}" y="{bottom + 15}">{tick:g}</text>')
    parts.append(f'<text class="soft middle" x="{NAMES + PLOT / 2:g}" y="{bottom + 32}">{escape_html(unit)}</text>')
    parts += [
        f'<line class="base {escape_html(each.kind)}" x1="{x(each.value)}" x2="{x(each.value)}" y1="0" y2="{bottom}"/>'
        for each in lines
    ]
    for row, mark in enumerate(marks):
        parts += _draw_mark(mark, 14 + ROW * row, x)
    parts += [_draw_legend(line, bottom + AXIS + LEGEND * row + 8) for row, line in enumerate(legend)]
    return "\n".join([*parts, "</svg></figure>"])


def _draw_legend(line: Line, y: int) -> str:
    shape = f'<line class="base {escape_html(line.kind)}" x1="{NAMES}" x2="{NAMES + 30}" y1="{y - 4}" y2="{y - 4}"/>'
    if line.kind == "band":
        shape = f'<rect class="band" x="{NAMES}" y="{y - 10}" width="30" height="12"/>'
    return f'{shape}<text class="soft" x="{NAMES + 38}" y="{y}">{escape_html(line.text)}</text>'


def _draw_mark(mark: Mark, y: int, x: Callable[[float], str]) -> Iterable[str]:
    short = mark.name if len(mark.name) <= LONGEST else f"{mark.name[: LONGEST - 1]}…"
    title = escape_html(f"{mark.name}: {mark.text}")
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

"""Describes the figures of a report, which `svg` and `plots` draw."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.formatting import format_difference
from experiments.report.claims import Setting
from experiments.report.layers import LayerGroup, layer_of
from experiments.report.sections import Run, Section
from src.results.display import format_score, format_value, is_percent

if TYPE_CHECKING:
    from experiments.report.document import Report

LONGEST_NAME = 60  # characters of a file


@dataclass(frozen=True)
class Mark:
    """A value with its interval; `text` describes it in words."""

    name: str
    value: float
    low: float
    high: float
    colour: str
    hollow: bool
    text: str


@dataclass(frozen=True)
class Line:
    """A line across the values; `kind` is its class in the style sheet, `text` describes it."""

    kind: str
    text: str
    value: float


@dataclass(frozen=True)
class Chart:
    """Rows of marks above one axis.

    Attributes
    ----------
    name : str
        Identifier in the page.
    title, unit : str
        What is shown, and the label of the axis.
    marks, lines : tuple
    band : float or None
        Values from -band to band are shaded.
    faded : bool
        Whether the task does not count.
    """

    name: str
    title: str
    unit: str
    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    band: float | None = None
    faded: bool = False


@dataclass(frozen=True)
class LayersChart:
    """Scores by layer, a series per pooling; other fields as in `Chart`.

    Attributes
    ----------
    layers : tuple of int
    series : dict
        Name of a pooling to its mark at each layer, None without a score.
    chosen : (str, int)
        Pooling and layer that are marked; no pooling if none is to be.
    """

    name: str
    title: str
    unit: str
    layers: tuple[int, ...]
    series: dict[str, tuple[Mark | None, ...]]
    lines: tuple[Line, ...]
    chosen: tuple[str, int]
    faded: bool = False


def report_charts(report: Report) -> Iterator[Chart | LayersChart]:
    """Yield all figures of a report, in their order."""
    for place, (setting, _, table) in enumerate(report.across, 1):
        if table:
            yield claims_chart(setting, f"over-{place}")
    for place, part in enumerate(report.parts, 1):
        yield from part_charts(part.section, part.layers, f"task-{place}", faded=part.fails)


def part_charts(
    section: Section, group: LayerGroup | None, name: str, *, faded: bool = False
) -> Iterator[Chart | LayersChart]:
    """Yield the figures of a section: its scores by layer, if it belongs to a group, and its scores."""
    if group is not None:
        yield layers_chart(group, f"{name}-layers", faded=faded)
    chart = scores_chart(section, name, faded=faded)
    if chart.marks:
        yield chart


def file_name(chart: Chart | LayersChart) -> str:
    """Return the name of a figure's files, without a suffix."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{chart.name} {chart.title.partition(': ')[0]}")
    return words[:LONGEST_NAME].strip("-").lower()


def scale_of(metric: str) -> float:
    """Return the factor of a metric's values: 100 for shares, which are shown in percent, else 1.

    >>> scale_of("accuracy"), scale_of("mcc"), scale_of("rmse")
    (100.0, 1.0, 1.0)
    """
    return 100.0 if is_percent(metric) else 1.0


def unit_of_metric(metric: str) -> str:
    """Return the label of an axis of scores.

    >>> unit_of_metric("accuracy"), unit_of_metric("mcc")
    ('accuracy, %', 'Matthews corr.')
    """
    return style.METRICS.get(metric, metric) + (", %" if scale_of(metric) > 1 else "")


def scores_chart(section: Section, name: str, *, faded: bool = False) -> Chart:
    """Return the scores of a section with the trivial ones."""
    marks = tuple(_score_mark(run, section.metric) for run in section.scored)
    title = f"{section.title}: {section.metric} with 95 % intervals"
    return Chart(name, title, unit_of_metric(section.metric), marks, _baselines(section), faded=faded)


def layers_chart(group: LayerGroup, name: str, *, faded: bool = False) -> LayersChart:
    """Return the scores of a group by layer, a series per pooling."""
    metric = group.sections[0].metric
    scored = [{run.name: _score_mark(run, metric) for run in section.scored} for section in group.sections]
    names = style.sort_poolings(pooling for marks in scored for pooling in marks)
    section, run = group.chosen
    return LayersChart(
        name,
        f"{group.title}: {metric} by layer, with 95 % intervals",
        unit_of_metric(metric),
        tuple(map(layer_of, group.sections)),
        {pooling: tuple(marks.get(pooling) for marks in scored) for pooling in names},
        _baselines(section),
        ("", 0) if faded else (run.name, layer_of(section)),
        faded,
    )


def _baselines(section: Section) -> tuple[Line, ...]:
    return tuple(
        Line(
            kind,
            f"{style.BASELINES.get(kind, kind)} {format_value(section.metric, baseline['value'])}",
            scale_of(section.metric) * baseline["value"],
        )
        for kind, baseline in section.baseline.items()
        if baseline.get("value") is not None
    )


def _score_mark(run: Run, metric: str) -> Mark:
    score: Mapping[str, Any] = run.result.score
    assert run.value is not None
    low, high = (run.value if score.get(end) is None else score[end] for end in ("low", "high"))
    value, low, high = (scale_of(metric) * each for each in (run.value, low, high))
    colour = style.COLOURS.get(run.result.pooling_label, "")
    return Mark(run.name, value, low, high, colour, run.is_random, format_score(metric, score))


def claims_chart(setting: Setting, name: str) -> Chart:
    """Return the mean differences over the tasks of a setting, and the margin as a band."""
    marks = []
    for claim in setting.claims:
        found, text = claim.difference, format_difference("accuracy", claim.difference)
        ends = (claim.value if end is None else end for end in (found.low, found.high))  # none: too few rows
        value, low, high = (100 * each for each in (claim.value, *ends))
        marks.append(Mark(f"{claim.a} − {claim.b}", value, low, high, "", False, text))
    title = f"{setting.stratum.capitalize()}: difference {setting.claims[0].scope}, with 95 % intervals"
    unit = f"mean difference, points of {setting.scale}; right of 0 the first is better"
    band = 100 * setting.claims[0].margin
    return Chart(name, title, unit, tuple(marks), (Line("zero", "no difference", 0.0),), band)

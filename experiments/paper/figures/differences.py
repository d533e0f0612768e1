"""Draw the answer: the pooler and mean pooling against [CLS], per task and over the tasks of each stratum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.formatting import format_points
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing
from experiments.strata import SINGLE, TOGETHER, row_contrast
from src.evaluation.contrasts import MARGIN
from src.evaluation.differences import Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 1
NEEDS = ("poolings/*",)
CAPTION = f"""The pooler and the mean less [CLS] of the same encoder, in points of D² (similarity: of
Spearman's correlation), with 95 % intervals. Right of 0 they are better than [CLS], left of it worse.
A diamond is the average over the tasks that count. From grey tasks too little is decoded, and they enter no
average. The tasks of similarity are in the tables above, those of pairs read apart in the appendices. The band is
the margin of {100 * MARGIN:g} point; the axis is linear inside it and logarithmic outside. Intervals are not
corrected for their number."""
COMPARED = ("pooler", "mean")  # each less [CLS]
TICKS = (-30, -5, -1, 0, 1, 5, 30)
LARGE, SMALL = 13, 11.5  # sizes of text, legible where the figure is shown at half its width
WIDTHS: dict[str, Any] = {"elinewidth": 1.6, "markeredgewidth": 1.4}


@dataclass(frozen=True)
class Line:
    """A line of the figure: its label, and the difference of each pooling to [CLS]."""

    label: str
    found: Mapping[str, Difference]
    is_mean: bool = False
    is_floor: bool = False


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model, a line per task, and a diamond per stratum above its tasks."""
    evidence = Evidence.of(data, files)
    lines = {model: find_lines(evidence, model) for model in evidence.models}
    order = list(dict.fromkeys(line.label for found in lines.values() for line in found))
    height = 1.9 + 0.235 * len(order)
    figure, axes = drawing.new_figure(drawing.WIDTH, height, len(lines), sharey=True)
    figure.get_layout_engine().set(w_pad=0.08)  # inches: bold labels are wider at some resolutions
    for axis, (model, found) in zip(axes[0], lines.items(), strict=True):
        _panel(axis, found, order, evidence.pooler_status(model))
        axis.set_title(style.model_label(model, evidence.pooler_status(model)).replace(" (", "\n("), fontsize=LARGE)
    axes[0, 0].set_yticks(range(len(order)), order, fontsize=SMALL)
    headings = {line.label for found in lines.values() for line in found if line.is_mean}
    for label in axes[0, 0].get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in headings else "normal")
    axes[0, 0].set_ylim(len(order) - 0.4, -0.6)
    drawing.add_legend(figure, 2, fontsize=SMALL)
    return figure


def find_lines(evidence: Evidence, model: str) -> list[Line]:
    """Return the lines of a model: each stratum, then its tasks, those that do not count last."""
    found = []
    for stratum in evidence.strata(model):
        claims = stratum.claims([(name, "cls") for name in COMPARED])
        found.append(Line(stratum.stratum.capitalize(), {each.a: each.difference for each in claims}, is_mean=True))
        if stratum.stratum in (SINGLE, TOGETHER):
            found += [Line(name, _differences(runs)) for name, runs in stratum.tasks.items()]
            found += [Line(name, _differences(runs), is_floor=True) for name, runs in stratum.floors.items()]
    return found


def _differences(runs: Mapping[str, Any]) -> dict[str, Difference]:
    return {name: row_contrast(runs, name, "cls").difference for name in COMPARED if {name, "cls"} <= runs.keys()}


def _panel(axis: Axes, found: Sequence[Line], order: Sequence[str], status: str) -> None:
    axis.axvspan(_place(-100 * MARGIN), _place(100 * MARGIN), color=drawing.PALE, linewidth=0, label="within 1 point")
    axis.axvline(0, color=drawing.GREY, linewidth=0.8)
    diamond: dict[str, Any] = {"linestyle": "none", "marker": "D", "color": "black", "markersize": 6.5}
    axis.plot([], [], label="average over its tasks", **diamond)
    for line in found:
        if line.is_mean:
            axis.axhspan(order.index(line.label) - 0.5, order.index(line.label) + 0.5, color="#F4F4F4", zorder=0)
        for number, name in enumerate(COMPARED):
            if name in line.found:
                _mark(axis, order.index(line.label) + 0.36 * number - 0.18, line, name, status)
    axis.set_xticks(
        [_place(tick) for tick in TICKS], [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in TICKS]
    )
    axis.tick_params(axis="x", labelsize=SMALL - 1)
    axis.tick_params(axis="y", length=0)
    ends = 1.35 * max(abs(_place(TICKS[0])), *axis.get_xlim())  # with room for the averages' numbers
    axis.set_xlim(-ends, ends)
    axis.set_xlabel("← worse   better than [CLS] →\npoints of D² (similarity: ρ)", fontsize=SMALL - 1)


def _mark(axis: Axes, height: float, line: Line, name: str, status: str) -> None:
    found = line.found[name]
    assert found.value is not None
    ends = (found.value if end is None else end for end in (found.low, found.high))  # none: too few rows
    value, low, high = (_place(100 * each) for each in (found.value, *ends))
    look = drawing.marker_style(name, status)
    look |= {"marker": "D" if line.is_mean else "o", "markersize": 6.5 if line.is_mean else 4.5}
    label = f"{style.pooling_label(name, status)} − [CLS]"
    if line.is_floor:
        look |= {"color": "#B0B0B0", "markerfacecolor": "#B0B0B0"}
        label = "too little decoded"
    elif line.is_mean:
        label = "_none"  # the diamond and the colour stand in the legend
        left = name == "mean" and value < 0  # elsewhere the number has room right of the interval
        axis.annotate(
            format_points(found.value, signed=True), (low if left else high, height), xytext=(-4 if left else 4, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", fontsize=SMALL - 2,
            color=look["color"],
        )  # fmt: skip
    axis.errorbar(value, height, xerr=[[value - low], [high - value]], linestyle="none", label=label, **WIDTHS, **look)


def _place(points: float) -> float:
    """Return the place of a difference on the axis: linear within 1 point, logarithmic beyond."""
    size = abs(points)
    place = size if size <= 1 else 1 + drawing.round_digits(math.log10(size)) * 2
    return round(math.copysign(place, points), 6)

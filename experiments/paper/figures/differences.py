"""Draw the primary claim: paired differences per task and over tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.paper.evidence import PAIRS, Evidence
from experiments.paper.figures import drawing, layout
from src.evaluation.contrasts import LEVEL, MARGIN, Contrast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 3
NEEDS = ("poolings/bert-books", "poolings/all-MiniLM-L6-v2")
CAPTION = f"""Paired differences on the same test rows, in points of each task's metric, with 95 %
intervals; the band is the margin of {100 * MARGIN:g} point within which a difference is not
relevant. A task carries the mark of the better pooling where the difference holds after Holm's
correction over the task's three pairs, and is grey otherwise. Diamond: the mean over tasks, with the
95 % interval of a bootstrap over tasks and rows. Each column has its own scale."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of panels per model, a column per pair of poolings, a line per task."""
    evidence = Evidence.of(data, files)
    models = [name.partition("/")[2] for name in NEEDS]
    names = {model: [task.name for task in evidence.primary_tasks(model)] for model in models}
    height = 0.3 + sum(0.45 + 0.16 * len(each) for each in names.values())
    figure, axes = drawing.new_figure(drawing.WIDTH, height, len(PAIRS), len(models), sharey="row", sharex="col")
    for line, (model, places) in zip(axes, names.items(), strict=True):
        status, found = evidence.pooler_status(model), evidence.contrasts(model)
        for axis, (a, b) in zip(line, PAIRS, strict=True):
            drawing.draw_margin(axis, horizontal=True)
            for contrast in found:
                if (contrast.a, contrast.b) == (a, b):
                    _task(axis, places.index(contrast.task), contrast, status)
            drawing.draw_interval(
                axis, len(places), vars(evidence.overall(model, a, b)), horizontal=True, color="black", marker="D"
            )
            axis.axhline(len(places) - 0.5, color=drawing.GREY, linewidth=0.6)
            axis.set_title(f"{model}\n{style.pooling_label(a, status)} − {style.pooling_label(b, status)}")
        line[0].set_yticks(range(len(places) + 1), [*places, f"mean of {len(places)} tasks"])
        line[0].invert_yaxis()
    layout.label_columns(axes, "difference, points")
    return figure


def _task(axis: Axes, place: int, contrast: Contrast, status: str) -> None:
    difference = contrast.difference
    marks: dict[str, Any] = {"color": drawing.GREY, "marker": ".", "markersize": 5}
    if difference.value and contrast.p_holm is not None and contrast.p_holm <= LEVEL:
        marks = drawing.marker_style(contrast.a if difference.value > 0 else contrast.b, status)
    drawing.draw_interval(axis, place, vars(difference), horizontal=True, **marks)

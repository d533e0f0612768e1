"""Draw the steps from [CLS] to the pooler under no, weak and tuned regularisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.evidence import LADDER, STRENGTHS, Evidence
from experiments.paper.figures import drawing
from src.evaluation.contrasts import MARGIN
from src.evaluation.hierarchical import Overall

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 4
NEEDS = ("ladder/bert-books", "ladder/all-MiniLM-L6-v2")
CAPTION = f"""What each step from [CLS] to the pooler costs: the difference to [CLS] in points, as
the mean over tasks with the 95 % interval of a bootstrap over tasks and rows; faint dots are the
tasks. Columns differ in the probe's penalty: none, a weak one (0.0001 per row), and the one tuned
on held-out training rows. The band is the margin of {100 * MARGIN:g} point."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of panels per model, a column per strength of the penalty."""
    evidence = Evidence.of(data, files)
    figure, axes = drawing.new_figure(
        drawing.WIDTH, 1.9 * len(NEEDS) + 0.4, len(STRENGTHS), len(NEEDS), sharey="row", sharex="col"
    )
    for line, name in zip(axes, NEEDS, strict=True):
        model, status = name.partition("/")[2], drawing.pooler_status(data[name])
        for axis, strength in zip(line, STRENGTHS, strict=True):
            steps(axis, evidence.ladder(model, strength), list(LADDER), status)
            axis.set_title(f"{style.model_label(model, status)}\n{'no' if strength == 'none' else strength} penalty")
        line[0].set_ylabel("difference to [CLS], points")
    for axis in axes[-1]:
        axis.set_xticks(
            range(len(LADDER)),
            [style.pooling_label(step, "").replace(" pooler", "\npooler").replace("(", "\n(") for step in LADDER],
        )
    return figure


def steps(axis: Axes, differences: Sequence[Overall], poolings: Sequence[str], status: str) -> None:
    """Draw the mean over tasks of each pooling with its interval, and the tasks as faint dots."""
    drawing.draw_margin(axis)
    for place, (overall, pooling) in enumerate(zip(differences, poolings, strict=True)):
        marks = drawing.marker_style(pooling, status)
        drawing.draw_dots(axis, place + 0.22, overall.differences, marks["color"])
        drawing.draw_interval(axis, place, vars(overall), label=style.pooling_label(pooling, status), **marks)
    axis.margins(x=0.15)

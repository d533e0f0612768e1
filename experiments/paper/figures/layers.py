"""Draw scores by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 6
NEEDS = ("layers/*",)
CAPTION = """Score by layer, 0 being the embeddings, with 95 % intervals over test rows. The dotted
line is the best constant prediction; for correlations it stands at 0. At layer 0 all texts have the
same [CLS], so its score is that of a constant; where it is a correlation it is undefined and left out.
Each panel has its own scale."""
COLUMNS = 4


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model and task, a line per pooling over the layers."""
    found = layout.draw_panels(data, drawing.find_bundles(data, *NEEDS), columns=COLUMNS, height=1.5)
    layout.label_columns(found.axes, "layer")
    return found.fill(_task)


def panels(tasks: Mapping[str, Sequence[Record]]) -> Figure:
    """Return a figure with a panel per task, under its title, and a line per pooling over the layers."""
    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    figure, axes = drawing.new_figure(drawing.WIDTH, 0.7 + 1.7 * rows, columns, rows)
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis, (title, members) in zip(axes.flat, tasks.items(), strict=False):
        _task(axis, members)
        axis.set_title(title)
    layout.label_columns(axes, "layer")
    for line in axes:
        line[0].set_ylabel("score, %")
    drawing.add_legend(figure)
    return figure


def _task(axis: Axes, records: Sequence[Record]) -> None:
    drawing.draw_constant(axis, records[0])
    for pooling, shift, options in layout.spread_poolings(records, 0.12):
        runs = sorted(
            (record.result for record in records if record.result.pooling_label == pooling), key=lambda run: run.layer
        )
        known = [run for run in runs if run.score["value"] is not None]
        axis.plot(
            [run.layer + shift for run in known],
            [drawing.percent(run.score["value"]) for run in known],
            color=options["color"],
        )
        for run in known:
            drawing.draw_interval(axis, run.layer + shift, run.score, **options)
    axis.set_xticks(sorted({record.result.layer for record in records}))

"""Draw the score of every pooling on every task, with the trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.figures import drawing, layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 2
NEEDS = ("poolings/bert-books",)
CAPTION = """Scores of each pooling of the frozen bert-books with 95 % intervals over test rows.
Broken lines are the trivial baselines: a bag of word pieces under the same probe, and the best
constant prediction. Each panel has its own scale."""
COLUMNS = 4


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per task, a row per pooling."""
    return panels(layout.by_title(data[NEEDS[0]]))


def panels(tasks: Mapping[str, Sequence[Record]]) -> Figure:
    """Return a figure with a panel per task, under its title, and a row per pooling."""
    records = [record for members in tasks.values() for record in members]
    names = style.sort_poolings(record.result.pooling_label for record in records)
    status = drawing.pooler_status(records)
    rows = -(-len(tasks) // COLUMNS)
    figure, axes = drawing.new_figure(
        drawing.WIDTH, 0.7 + rows * (0.45 + 0.15 * len(names)), min(COLUMNS, len(tasks)), rows, sharey=True
    )
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis, (title, members) in zip(axes.flat, tasks.items(), strict=False):
        axis.grid(axis="y")
        drawing.draw_baselines(axis, members[0], horizontal=True)
        for record in members:
            pooling = record.result.pooling_label
            drawing.draw_interval(
                axis,
                names.index(pooling),
                record.result.score,
                horizontal=True,
                **drawing.marker_style(pooling, status),
            )
        axis.set_title(title)
        axis.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(names)), [style.pooling_label(name, status) for name in names])  # of all panels
    axes[0, 0].invert_yaxis()
    layout.label_columns(axes, "score × 100")
    drawing.add_legend(figure)
    return figure

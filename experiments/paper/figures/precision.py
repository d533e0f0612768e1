"""Draw the cost of half precision for each pooling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing
from experiments.paper.figures.ladder import steps
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 5
NEEDS = ("precision/bert-books",)
CAPTION = f"""What half precision costs each pooling of bert-books: the difference to its own score
in float32 in points, as the mean over tasks with the 95 % interval of a bootstrap over tasks and
rows; faint dots are the tasks. The band is the margin of {100 * MARGIN:g} point."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per dtype, a mark per pooling."""
    found = Evidence.of(data, files).precision("bert-books")
    status = drawing.pooler_status(data[NEEDS[0]])
    kinds = sorted({overall.a.partition(", ")[2] for overall in found})
    figure, axes = drawing.new_figure(drawing.WIDTH, 2.6, len(kinds), sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=True):
        mine = {overall.a.partition(", ")[0]: overall for overall in found if overall.a.endswith(f", {kind}")}
        names = style.sort_poolings(mine)
        steps(axis, [mine[name] for name in names], names, status)
        axis.set_xticks(
            range(len(names)),
            [style.pooling_label(name, "").replace(" pooler", "\npooler").replace("(", "\n(") for name in names],
        )
        axis.set_title(kind)
    axes[0, 0].set_ylabel("difference to float32, points")
    return figure

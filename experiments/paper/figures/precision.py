"""What half precision costs each pooling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.evidence import Evidence
from experiments.figures import style
from experiments.figures.ladder import steps
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 5
NEEDS = ("precision/bert-books",)
CAPTION = (
    "What half precision costs each pooling of bert-books: the difference to its own score in float32 in points, as the mean over tasks"
    f" with the 95 % interval of a bootstrap over tasks and rows; faint dots are the tasks. The band is the margin of {100 * MARGIN:g} "
    "point."
)


@style.drawing(NEEDS)
def draw(data: style.Dataset, files: Path) -> Figure:
    """A panel per half precision, a mark per pooling."""
    found = Evidence.of(data, files).precision("bert-books")
    status = style.status(data[NEEDS[0]])
    kinds = sorted({overall.a.partition(", ")[2] for overall in found})
    figure, axes = style.figure(style.WIDTH, 2.6, len(kinds), sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=True):
        mine = {overall.a.partition(", ")[0]: overall for overall in found if overall.a.endswith(f", {kind}")}
        names = style.in_order(mine)
        steps(axis, [mine[name] for name in names], names, status)
        axis.set_xticks(
            range(len(names)),
            [style.label(name, "").replace(" pooler", "\npooler").replace("(", "\n(") for name in names],
        )
        axis.set_title(kind)
    axes[0, 0].set_ylabel("difference to float32, points")
    return figure

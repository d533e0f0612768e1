"""Draw the cost of half precision for each pooling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing
from experiments.paper.figures.ladder import label_poolings, steps
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 5
NEEDS = ("precision/bert-books",)
CAPTION = f"""What half precision costs each pooling of bert-books: the difference to its own D² in
float32 in points, as the mean over a stratum's tasks that count with its 95 % interval; faint
dots are the tasks. The band is the margin of {100 * MARGIN:g} point."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a column per dtype, a row per stratum, a mark per pooling."""
    found = Evidence.of(data, files).precision("bert-books")
    status = drawing.pooler_status(data[NEEDS[0]])
    strata = list(dict.fromkeys(stratum for stratum, _ in found)) or [""]
    kinds = sorted({claim.a.partition(", ")[2] for _, claim in found}) or [""]
    figure, axes = drawing.new_figure(
        drawing.WIDTH, 0.5 + 1.9 * len(strata), len(kinds), len(strata), sharey=True, sharex=True
    )
    for line, stratum in zip(axes, strata, strict=True):
        for axis, kind in zip(line, kinds, strict=True):
            ends = f", {kind}"
            mine = {c.a.partition(", ")[0]: c for own, c in found if own == stratum and c.a.endswith(ends)}
            names = style.sort_poolings(mine)
            steps(axis, [mine[name] for name in names], names, status)
            label_poolings(axis, names)
            axis.tick_params(axis="x", labelrotation=90)
            axis.set_title(f"{kind}, {stratum}" if stratum else "bert-books")
        line[0].set_ylabel("difference to float32,\npoints of D²")
    return figure

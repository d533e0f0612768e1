"""Scores by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.collect import Record

PLACE = 6
NEEDS = ("layers/bert-books", "layers/all-MiniLM-L6-v2")
CAPTION = (
    "Score by layer, 0 being the embeddings, with 95 % intervals over test rows. The dotted line is the best constant prediction (no "
    "correlation: 0), where [CLS] of layer 0, a constant, has to lie; its correlation is undefined and left out. Each panel has its own"
    " scale."
)
COLUMNS = 4


@style.drawing(NEEDS)
def draw(data: style.Dataset, files: Path) -> Figure:
    """A panel per model and task, a line per pooling over the layers."""
    panels = style.panels(data, NEEDS, COLUMNS, height=1.5)
    for axis, members in panels.filled:
        _task(axis, members)
    style.name_below(panels.axes, "layer")
    style.legend(panels.figure)
    return panels.figure


def _task(axis: Axes, records: Sequence[Record]) -> None:
    style.constant(axis, records[0])
    names = style.in_order(record.result.pooling for record in records)
    status = style.status(records)
    for number, pooling in enumerate(names):
        marks = style.marks(pooling, status)
        shift = 0.12 * (number - (len(names) - 1) / 2)
        runs = sorted(
            (record.result for record in records if record.result.pooling == pooling), key=lambda run: run.layer
        )
        known = [run for run in runs if run.score["value"] is not None]
        axis.plot(
            [run.layer + shift for run in known],
            [style.percent(run.score["value"]) for run in known],
            color=marks["color"],
        )
        for run in known:
            style.interval(axis, run.layer + shift, run.score, label=style.label(pooling, status), **marks)
    axis.set_xticks(sorted({record.result.layer for record in records}))

"""Draw scores of few-shot probes over the training rows of a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, layout
from experiments.paper.labels import rows_per_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 7.5
NEEDS = ("few_shot/*",)
CAPTION = """Scores of probes on few training rows, drawn several times by MTEB's rules, the same rows for every
pooling: means with 95 % intervals over draws and test rows. The dotted line is the best constant prediction. Each
panel has its own scale."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model and task, a line per pooling."""
    return layout.draw_panels(data, drawing.find_bundles(data, *NEEDS), columns=4, height=1.75).fill(_curves, legend=6)


def _curves(axis: Axes, records: Sequence[Record]) -> None:
    drawing.draw_constant(axis, records[0])
    sizes = sorted({rows_per_class(record.result) for record in records})
    for pooling, shift, marks in layout.spread_poolings(records, 0.05):
        runs = sorted(
            (
                each
                for each in records
                if each.result.pooling_label == pooling and each.result.score["value"] is not None
            ),
            key=lambda record: rows_per_class(record.result),
        )
        places = [drawing.log10(rows_per_class(record.result)) + shift for record in runs]
        values = [drawing.percent(float(record.result.score["value"])) for record in runs]
        axis.plot(places, values, color=marks["color"], linewidth=0.8)
        for place, record in zip(places, runs, strict=True):
            drawing.draw_interval(axis, place, record.result.score, **{**marks, "markersize": 3})
    drawing.log_ticks(axis.xaxis, sizes)
    axis.set_xlabel("training rows of a class")

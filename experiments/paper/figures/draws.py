"""Draw the scores of probes on resamples of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing, layout
from src.results.predictions import headline_predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record
    from experiments.paper.resampling import Resampling

PLACE = 16
NEEDS = ("draws/*",)
CAPTION = """Probes fitted on ten resamples of the training rows, at the strength chosen once: small
dots are the draws, the bar beside them the first draw with its 95 % interval over test rows. Where
the dots spread as wide as the bar, the choice of training rows weighs as much as that of test rows.
Each panel has its own scale."""
RESAMPLES = 1000


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model and task, a column per pooling."""
    task = partial(_task, Evidence.of(data, files).resampling)
    bundles = drawing.find_bundles(data, *NEEDS)
    return layout.draw_panels(data, bundles, columns=4, height=1.5).fill(task, legend=6)


def _task(resampling: Resampling, axis: Axes, records: Sequence[Record]) -> None:
    status = drawing.pooler_status(records)
    for place, record in enumerate(records):
        result, arrays = record.result, record.predictions
        marks = drawing.marker_style(result.pooling_label, status)
        metric, classes = str(result.score["metric"]), int(result.counts.get("classes") or 0)
        rows = resampling.evaluate(
            metric,
            arrays["label"],
            headline_predictions(arrays)[0],
            classes=classes,
            seed=result.seed,
            resamples=RESAMPLES,
        )
        drawing.draw_interval(
            axis, place - 0.15, vars(rows), label=style.pooling_label(result.pooling_label, status), **marks
        )
        drawing.draw_dots(axis, place + 0.2, result.score["draws"], marks["color"])
    labels = [style.pooling_label(record.result.pooling_label, "") for record in records]
    axis.set_xticks(range(len(labels)), labels, rotation=25)
    axis.margins(x=0.15)

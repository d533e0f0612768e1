"""Draw the similarity of two texts against the gold scores, by the scaling of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, layout
from src.config.schema import DISTANCE_SCALINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 11
NEEDS = ("similarity/*",)
CAPTION = """Read-out without a fit: Spearman's correlation of the cosine of two texts, which are
encoded apart, with the gold scores, with 95 % intervals over test rows (of the STS years, resampled
within sets). From left to right the vectors as they are, centred, standardised and whitened by the
evaluated texts. The broken line is the cosine of word-piece counts. Each panel has its own scale."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model and task, a line per pooling over the scalings."""
    panels = layout.draw_panels(data, drawing.find_bundles(data, *NEEDS), columns=3, height=1.7)
    layout.label_columns(panels.axes, "scaling")
    return panels.fill(_task)


def _task(axis: Axes, records: Sequence[Record]) -> None:
    drawing.draw_baselines(axis, records[0])
    for pooling, shift, options in layout.spread_poolings(records, 0.09):
        results = [each.result for each in records if each.result.pooling_label == pooling]
        runs = {each.config["probe"]["features"]: each for each in results if each.score["value"] is not None}
        places = [number + shift for number, name in enumerate(DISTANCE_SCALINGS) if name in runs]
        scores = [runs[name].score for name in DISTANCE_SCALINGS if name in runs]
        axis.plot(places, [drawing.percent(score["value"]) for score in scores], color=options["color"], linewidth=0.7)
        for place, score in zip(places, scores, strict=True):
            drawing.draw_interval(axis, place, score, **options)
    axis.set_xticks(
        range(len(DISTANCE_SCALINGS)), [name.replace("standardise", "stand.") for name in DISTANCE_SCALINGS]
    )

"""Draw the scores of pairs encoded jointly and separately."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, layout
from src.config.schema import PAIRINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 9
NEEDS = ("pairs/*",)
CAPTION = """Scores on tasks of two texts, encoded jointly ([CLS] A [SEP] B [SEP], one vector) or
separately (u, v, |u − v| and u v of two vectors, four times as wide), with 95 % intervals over test
rows. book_coherence: does a segment of a book follow the other? Broken lines are the trivial
baselines. Each panel has its own scale."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model and task, a line per pooling from joint to separate."""
    panels = layout.draw_panels(data, drawing.find_bundles(data, *NEEDS, "coherence/*"), columns=5, height=1.75)
    layout.label_columns(panels.axes, "encoding of pairs")
    return panels.fill(_task, legend=6)


def _task(axis: Axes, records: Sequence[Record]) -> None:
    drawing.draw_baselines(axis, records[0])
    for pooling, shift, options in layout.spread_poolings(records, 0.07):
        scores = {
            record.result.pairing: record.result.score for record in records if record.result.pooling_label == pooling
        }
        if all(scores.get(pairing, {}).get("value") is not None for pairing in PAIRINGS):
            ends = [drawing.percent(scores[pairing]["value"]) for pairing in PAIRINGS]
            axis.plot([shift, 1 + shift], ends, color=options["color"], linewidth=0.8)
        for place, pairing in enumerate(PAIRINGS):
            if pairing in scores:
                drawing.draw_interval(axis, place + shift, scores[pairing], **options)
    axis.set_xticks((0, 1), PAIRINGS)
    axis.set_xlim(-0.35, 1.35)

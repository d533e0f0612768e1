"""Two texts read together against two texts read apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.collect import Record

PLACE = 9
NEEDS = ("pairs/bert-books", "coherence/bert-books", "pairs/all-MiniLM-L6-v2")
CAPTION = (
    "Scores on tasks of two texts, encoded jointly ([CLS] A [SEP] B [SEP], one vector) or separately (u, v, |u − v| and u v of two "
    "vectors, four times as wide), with 95 % intervals over test rows. book_coherence: does a segment of a book follow the other? "
    "Broken lines are the trivial baselines. Each panel has its own scale."
)
COLUMNS = 5
PAIRINGS = ("joint", "separate")


@style.drawing(NEEDS)
def draw(data: style.Dataset, files: Path) -> Figure:
    """A panel per task, one model's above the other's; a line per pooling from joint to separate."""
    panels = style.panels(data, NEEDS, COLUMNS, height=1.75)
    for axis, members in panels.filled:
        _task(axis, members)
    style.legend(panels.figure, 6)
    return panels.figure


def _task(axis: Axes, records: Sequence[Record]) -> None:
    status = style.status(records)
    names = style.in_order(record.result.pooling for record in records)
    style.baselines(axis, records[0])
    for number, pooling in enumerate(names):
        shift = 0.07 * (number - (len(names) - 1) / 2)
        scores = {record.result.pairing: record.result.score for record in records if record.result.pooling == pooling}
        marks = style.marks(pooling, status)
        if all(scores.get(pairing, {}).get("value") is not None for pairing in PAIRINGS):
            ends = [style.percent(scores[pairing]["value"]) for pairing in PAIRINGS]
            axis.plot([shift, 1 + shift], ends, color=marks["color"], linewidth=0.8)
        for place, pairing in enumerate(PAIRINGS):
            if pairing in scores:
                style.interval(axis, place + shift, scores[pairing], label=style.label(pooling, status), **marks)
    axis.set_xticks((0, 1), PAIRINGS)
    axis.set_xlim(-0.35, 1.35)

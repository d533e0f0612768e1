"""Draw the scores of tuned and of frozen encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 15
NEEDS = ("finetune/bert-books", "poolings/bert-books", "demo/bert-books")
CAPTION = """bert-books frozen, under the probe, and tuned whole with a linear head on the same
vector. Tuned scores are means over seeds, small dots the seeds; 95 % intervals are over test rows,
and over seeds where there are several. Broken lines are the trivial baselines. Each panel has its
own scale."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per task, a line per pooling from frozen to tuned."""
    tuned, frozen = data[NEEDS[0]], [*data[NEEDS[1]], *data[NEEDS[2]]]
    heads = {(record.result.dataset, record.result.pooling_label) for record in tuned}
    both = [*(record for record in frozen if (record.result.dataset, record.result.pooling_label) in heads), *tuned]
    return layout.draw_panels({NEEDS[0]: both}, NEEDS[:1], columns=4, height=1.8).fill(_task, legend=6)


def _task(axis: Axes, records: Sequence[Record]) -> None:
    drawing.draw_baselines(axis, records[0])
    for pooling, shift, options in layout.spread_poolings(records, 0.09):
        mine = {_place(record): record.result for record in records if record.result.pooling_label == pooling}
        known = {
            place: drawing.percent(mine[place].score["value"])
            for place in sorted(mine)
            if mine[place].score["value"] is not None
        }
        axis.plot([place + shift for place in known], list(known.values()), color=options["color"], linewidth=0.8)
        for place, result in mine.items():
            drawing.draw_interval(axis, place + shift, result.score, **options)
            seeds = result.score.get("draws") or ()
            drawing.draw_dots(axis, place + 0.3 + shift, seeds, options["color"])
    axis.set_xticks((0, 1), ("frozen", "tuned"))
    axis.set_xlim(-0.35, 1.55)


def _place(record: Record) -> int:
    return int(record.result.probe == "finetune")

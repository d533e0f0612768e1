"""Draw scores over the number of training rows, and the compression of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.figures import drawing, layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 7
NEEDS = ("mdl/*",)
CAPTION = """Scores of probes on growing parts of the training rows, in one seeded order, with 95 %
intervals over test rows; the dotted line is the best constant prediction. Last panel of a model:
compression, the labels' bits under a uniform code divided by their bits if a probe predicts them block
by block; unbalanced labels alone exceed 1. It has no interval, being exact for that order."""
ROWS = (10, 100, 1000, 10000, 100000)


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per model and task, and one of compression per model."""
    bundles = drawing.find_bundles(data, *NEEDS)
    panels = layout.draw_panels(data, bundles, columns=3, height=1.65, spare=1)
    for name, (axis,) in zip(bundles, panels.spare.values(), strict=True):
        _compression(axis, layout.by_dataset(data[name]))
        axis.set_ylabel(f"{name.partition('/')[2]}\ntask")
    return panels.fill(_curves, legend=6)


def _curves(axis: Axes, records: Sequence[Record]) -> None:
    drawing.draw_constant(axis, records[0])
    status = drawing.pooler_status(records)
    for number, record in enumerate(records):
        marks = drawing.marker_style(record.result.pooling_label, status)
        shift = 0.03 * (number - (len(records) - 1) / 2)
        curve = [point for point in record.result.chosen["curve"] if point["value"] is not None]
        places = [drawing.log10(point["rows"]) + shift for point in curve]
        axis.plot(places, [drawing.percent(point["value"]) for point in curve], color=marks["color"], linewidth=0.8)
        for place, point in zip(places, curve, strict=True):
            drawing.draw_interval(
                axis,
                place,
                point,
                label=style.pooling_label(record.result.pooling_label, status),
                **{**marks, "markersize": 3},
            )
    counts = [point["rows"] for record in records for point in record.result.chosen["curve"]]
    drawing.log_ticks(axis.xaxis, [count for count in ROWS if min(counts) / 1.3 <= count <= 1.3 * max(counts)])
    axis.set_xlabel("training rows")


def _compression(axis: Axes, tasks: Mapping[str, Sequence[Record]]) -> None:
    axis.grid(axis="y")
    axis.axvline(1, color=drawing.GREY, linewidth=0.9, linestyle=drawing.DASHES["constant"])
    for place, members in enumerate(tasks.values()):
        status = drawing.pooler_status(members)
        for number, record in enumerate(members):
            found = record.result.chosen["online_code"]["compression"]
            shift = 0.15 * (number - (len(members) - 1) / 2)
            axis.plot(
                drawing.round_digits(found),
                place + shift,
                linestyle="none",
                **drawing.marker_style(record.result.pooling_label, status),
            )
    axis.set_yticks(range(len(tasks)), list(tasks))
    axis.set_ylim(len(tasks) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.set_title("all tasks\nonline code")
    axis.set_xlabel("compression: uniform code / bits")

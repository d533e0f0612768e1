"""Draw the error rates of the statistics in simulation."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.benchmarks.calibration import LIMITS, NOMINAL
from experiments.benchmarks.unit_simulations import METHOD
from experiments.paper.figures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 17
NEEDS = ("simulation.csv",)
CAPTION = """Error rates of the tests and intervals used here, in simulation with known truth: a dot
for each method, metric and population, with the 95 % interval of the simulation itself, by the
number of test rows, or of units of tasks for claims over them. The line is what is stated, the band what is
asked for from 250 rows on; crosses lie outside it, and simulation.csv says of each why."""
WITHIN: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 3, "label": "within what is asked for"}
OUTSIDE: dict[str, Any] = {"color": "#D55E00", "marker": "X", "markersize": 4.5, "label": "outside"}
Row = dict[str, str]


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per quantity: test errors, coverage, false equivalence."""
    with (files / NEEDS[0]).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file)]
    quantities = [name for name in NOMINAL if any(row["quantity"] == name for row in rows)]
    figure, axes = drawing.new_figure(drawing.WIDTH, 3.2, len(quantities))
    for axis, quantity in zip(axes[0], quantities, strict=True):
        _panel(axis, quantity, [row for row in rows if row["quantity"] == quantity])
    axes[0, 0].set_ylabel("measured rate, %")
    axes[0, len(quantities) // 2].set_xlabel("test rows, or units of tasks")
    drawing.add_legend(figure)
    return figure


def _panel(axis: Axes, quantity: str, rows: Sequence[Row]) -> None:
    low, high = LIMITS[quantity]
    axis.axhspan(drawing.percent(low), drawing.percent(high), color=drawing.PALE, linewidth=0)
    axis.axhline(drawing.percent(NOMINAL[quantity]), color=drawing.GREY, linewidth=0.6)
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(row)
    for place, key in enumerate(sorted(groups)):
        members = groups[key]
        for number, row in enumerate(members):
            across = place + 0.7 * ((number + 0.5) / len(members) - 0.5)
            look = WITHIN if low <= float(row["measured"]) <= high else OUTSIDE
            value, error = float(row["measured"]), 1.96 * float(row["error"])
            score = {"value": value, "low": max(0.0, value - error), "high": min(1.0, value + error)}
            drawing.draw_interval(axis, across, score, linewidth=0.6, **look)
    axis.set_xticks(range(len(groups)), [name for _, name in sorted(groups)], rotation=90)
    axis.set_xlim(-0.6, len(groups) - 0.4)
    if not low:
        axis.set_ylim(bottom=0)
    axis.set_title(quantity)


def _group(row: Row) -> tuple[int, str]:
    """Return the order and the label of a row: by test rows, then by units of tasks."""
    if row["method"] == METHOD:
        count = int(row["setting"].split()[0])
        return 10**6 + count, f"{count} units"
    return int(row["rows"]), f"{int(row['rows']):,} rows"

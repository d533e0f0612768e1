"""Draw [CLS], the pooler and mean pooling over the steps of pre-training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.paper.figures import drawing, layout
from src.evaluation.proportions import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 12
NEEDS = ("along.csv", "bert-books-training.csv")
CAPTION = """Snapshots of bert-books along its pre-training. Above: accuracy of its own
next-sentence head on 1,024 held-out pairs, half of them consecutive. Below: probes on the frozen
snapshots. Bars are 95 % intervals over rows, the dotted line chance or the best constant."""
PAIRS = 1024  # held-out pairs of bert-books-training.csv
Row = dict[str, str]


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw next-sentence accuracy above, and a panel per task below, over the steps."""
    probes, training = _read(files / NEEDS[0]), _read(files / NEEDS[1])
    tasks = sorted({row["dataset"] for row in probes})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(drawing.WIDTH, 3.9), layout="constrained")
    mosaic: list[Any] = [["nsp"] * len(tasks), tasks]
    panels = figure.subplot_mosaic(mosaic, height_ratios=(2, 3))
    _nsp(panels["nsp"], training)
    for task in tasks:
        _task(panels[task], [row for row in probes if row["dataset"] == task])
    panels[tasks[0]].set_ylabel("score × 100")
    panels[tasks[len(tasks) // 2]].set_xlabel("steps of pre-training, thousands")
    drawing.add_legend(figure)
    return figure


def _read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _nsp(axis: Axes, rows: list[Row]) -> None:
    steps = [_thousands(row) for row in rows]
    values = [float(row["nsp_accuracy"]) for row in rows]
    axis.plot(steps, [drawing.percent(value) for value in values], color="black")
    for step, value in zip(steps, values, strict=True):
        low, high = wilson(round(value * PAIRS), PAIRS)
        drawing.draw_interval(axis, step, {"value": value, "low": low, "high": high}, color="black", marker=".")
    axis.axhline(50, color=drawing.GREY, linewidth=0.9, linestyle=drawing.DASHES["constant"])
    axis.set_title("next-sentence prediction, held out")
    axis.set_ylabel("accuracy, %")
    axis.set_xlabel("steps of pre-training, thousands")


def _task(axis: Axes, rows: list[Row]) -> None:
    first = rows[0]
    axis.axhline(
        drawing.percent(float(first["baseline_constant"] or 0)),
        color=drawing.GREY,
        linewidth=0.9,
        linestyle=drawing.DASHES["constant"],
    )
    names = style.sort_poolings(row["pooling"] for row in rows)
    for number, pooling in enumerate(names):
        mine = [row for row in rows if row["pooling"] == pooling]
        shift = 0.12 * (number - (len(names) - 1) / 2)
        marks = drawing.marker_style(pooling, first["pooler"])
        axis.plot(
            [_thousands(row) + shift for row in mine],
            [drawing.percent(float(row["value"])) for row in mine],
            color=marks["color"],
        )
        for row in mine:
            score = {name: float(row[name]) for name in ("value", "low", "high")}
            drawing.draw_interval(
                axis, _thousands(row) + shift, score, label=style.pooling_label(pooling, first["pooler"]), **marks
            )
    axis.set_title(layout.panel_title(first["dataset"], first["metric"]))


def _thousands(row: Row) -> float:
    return int(row["step"]) / 1000

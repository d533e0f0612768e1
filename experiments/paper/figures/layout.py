"""Draws figures of one panel per model and task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.paper.figures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record


@dataclass(frozen=True)
class Panels:
    """A figure whose rows hold the panels of one model each.

    Parameters
    ----------
    figure : Figure
    axes : array of Axes, (rows, columns)
    filled : list of (Axes, list of Record)
        Each axis with its records, in the poolings' order.
    spare : mapping of str to list of Axes
        The empty axes of each model.
    """

    figure: Figure
    axes: Any
    filled: list[tuple[Axes, list[Record]]]
    spare: dict[str, list[Axes]]

    def fill(self, draw: Callable[[Axes, Sequence[Record]], None], *, legend: int = 5) -> Figure:
        """Draw the panels, add a legend of at most so many columns, and return the figure."""
        for axis, records in self.filled:
            draw(axis, records)
        drawing.add_legend(self.figure, legend)
        return self.figure


def draw_panels(
    data: drawing.Bundles, bundles: Sequence[str], columns: int, *, height: float, spare: int = 0
) -> Panels:
    """Return a figure of one titled panel per model and task.

    Parameters
    ----------
    data : mapping of bundles
    bundles : sequence of str
        Names; bundles of the same model share its rows.
    columns : int
        Most panels in a row.
    height : float
        Inches of a panel.
    spare : int, default 0
        Empty panels per model.
    """
    tasks: dict[str, dict[str, list[Record]]] = {}
    for name in bundles:
        tasks.setdefault(name.partition("/")[2], {}).update(by_dataset(data[name]))
    columns = min(columns, max(map(len, tasks.values())) + spare)
    lines = []
    for model, each in tasks.items():
        names = [*each, *[""] * spare]
        lines += [(model, names[start : start + columns]) for start in range(0, len(names), columns)]
    figure, axes = drawing.new_figure(drawing.WIDTH, 0.45 + height * len(lines), columns, len(lines))
    filled = []
    free: dict[str, list[Axes]] = {model: [] for model in tasks}
    for line, (model, names) in zip(axes, lines, strict=True):
        line[0].set_ylabel(f"{model}\nscore × 100")
        for axis in line[len(names) :]:
            axis.set_axis_off()
        for axis, task in zip(line, names, strict=False):
            if task:
                axis.set_title(panel_title(task, str(tasks[model][task][0].result.score["metric"])))
                filled.append((axis, tasks[model][task]))
            else:
                free[model].append(axis)
    return Panels(figure, axes, filled, free)


def by_dataset(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by task, in the poolings' order; the suite's own tasks come last."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.result.dataset, []).append(record)
    poolings = style.sort_poolings(record.result.pooling_label for members in found.values() for record in members)
    place = {name: number for number, name in enumerate(poolings)}
    ordered = sorted(found, key=lambda name: (name.startswith("demo_"), name))
    return {name: sorted(found[name], key=lambda record: place[record.result.pooling_label]) for name in ordered}


def by_title(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by the title of their task's panel, as `by_dataset` orders them."""
    tasks = by_dataset(records)
    return {panel_title(task, str(members[0].result.score["metric"])): members for task, members in tasks.items()}


def spread_poolings(records: Iterable[Record], step: float) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """Yield each pooling of some records with its shift and its options for `draw_interval`.

    Parameters
    ----------
    records : iterable of Record
    step : float
        Distance between two poolings, in the unit of the axis.
    """
    records = list(records)
    status = drawing.pooler_status(records)
    names = style.sort_poolings(record.result.pooling_label for record in records)
    for number, pooling in enumerate(names):
        options = {**drawing.marker_style(pooling, status), "label": style.pooling_label(pooling, status)}
        yield pooling, step * (number - (len(names) - 1) / 2), options


def panel_title(task: str, metric: str) -> str:
    """Return the title of a task's panel: its name above its metric."""
    return f"{task}\n{style.METRICS.get(metric, metric)}"


def label_columns(axes: Any, text: str) -> None:
    """Label the horizontal axis below the last visible panel of each column of axes."""
    for column in axes.T:
        shown = [axis for axis in column if axis.axison]
        shown[-1].set_xlabel(text)

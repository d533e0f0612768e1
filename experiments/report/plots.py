"""Writes the figures of a report as PNG and PDF files, by matplotlib."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.figures import drawing, saving
from experiments.report.charts import Chart, LayersChart, Line, Mark, file_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN = re.compile(r"(over|task)-\d+-.*\.(png|pdf)")  # files of a report's figures
FADED = 0.4  # opacity of a task that does not count
WIDTH = 5.0  # inches


def has_matplotlib() -> bool:
    """Return whether figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def write_figures(charts: Iterable[Chart | LayersChart], folder: Path) -> list[Path]:
    """Write each figure as a PDF and a PNG, and remove those of an earlier report from the folder.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    written: list[Path] = []
    for chart in charts:
        with drawing.project_style():
            figure = _draw_layers(chart) if isinstance(chart, LayersChart) else _draw_rows(chart)
        written += saving.save(figure, folder / file_name(chart))
    for path in folder.iterdir() if folder.is_dir() else ():
        if OWN.fullmatch(path.name) and path not in written:
            path.unlink()
    return written


def _draw_rows(chart: Chart) -> Figure:
    height = 0.8 + 0.24 * len(chart.marks) + 0.15 * len(chart.lines)
    figure, ((axis,),) = drawing.new_figure(WIDTH, height, 1)
    if chart.band is not None:
        axis.axvspan(-chart.band, chart.band, color=drawing.PALE, linewidth=0, label=f"within {chart.band:g}")
    _draw_lines(axis.axvline, chart.lines)
    for row, mark in enumerate(chart.marks):
        spread = [[mark.value - mark.low], [mark.high - mark.value]]
        axis.errorbar(mark.value, row, xerr=spread, alpha=_opacity(chart), **_look(mark))
    axis.set_yticks(range(len(chart.marks)), [mark.name for mark in chart.marks])
    axis.set_ylim(len(chart.marks) - 0.5, -0.5)
    axis.grid(axis="x")
    axis.set_xlabel(chart.unit)
    _finish(figure, axis, chart)
    return figure


def _draw_layers(chart: LayersChart) -> Figure:
    figure, ((axis,),) = drawing.new_figure(WIDTH, 3.4, 1)
    _draw_lines(axis.axhline, chart.lines)
    for number, (name, marks) in enumerate(chart.series.items()):
        shift = (number - (len(chart.series) - 1) / 2) * 0.5 / len(chart.series)
        known = [(place + shift, mark) for place, mark in enumerate(marks) if mark is not None]
        places, values = [place for place, _ in known], [mark.value for _, mark in known]
        spread = [[mark.value - mark.low for _, mark in known], [mark.high - mark.value for _, mark in known]]
        look = _look(known[0][1]) | {"linestyle": "-"}
        axis.errorbar(places, values, yerr=spread, label=name, alpha=_opacity(chart), **look)
        for place, mark in known:
            if (name, chart.layers[round(place - shift)]) == chart.chosen:
                axis.plot(place, mark.value, "o", markersize=10, markerfacecolor="none", color="black", label="chosen")
    axis.set_xticks(range(len(chart.layers)), list(map(str, chart.layers)))
    axis.grid(axis="y")
    axis.set_xlabel("layer (0: embeddings)")
    axis.set_ylabel(chart.unit)
    _finish(figure, axis, chart)
    return figure


def _draw_lines(draw: Callable[..., object], lines: Iterable[Line]) -> None:
    """Draw lines across the values by a method of the axes, as ``axvline``."""
    for line in lines:
        draw(
            line.value, color=drawing.GREY, linewidth=0.9, linestyle=drawing.DASHES.get(line.kind, "-"), label=line.text
        )


def _look(mark: Mark) -> dict[str, object]:
    colour = mark.colour or style.OTHER_COLOUR
    return {"color": colour, "marker": "o", "markerfacecolor": "white" if mark.hollow else colour, "linestyle": "none"}


def _opacity(chart: Chart | LayersChart) -> float:
    return FADED if chart.faded else 1.0


def _finish(figure: Figure, axis: Axes, chart: Chart | LayersChart) -> None:
    axis.set_title(chart.title, wrap=True, loc="left")
    if axis.get_legend_handles_labels()[0]:
        drawing.add_legend(figure, 3)

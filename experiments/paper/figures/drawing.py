"""Draws the parts that figures share: intervals, baselines, the margin, axes and legends."""

from __future__ import annotations

import fnmatch
import functools
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import style
from src.errors import UserError
from src.evaluation.contrasts import MARGIN

# Figures are written to files. A backend that a notebook's environment names may not be installed.
os.environ["MPLBACKEND"] = "agg"

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

    Bundles = Mapping[str, Sequence[Record]]
    Draw = Callable[[Bundles, Path], Figure]

WIDTH = 7.0  # inches, two columns of a paper
GREY, PALE = "#666666", "#E4E4E4"
DASHES = {"bag_of_word_pieces": (0, (4, 2)), "constant": (0, (1, 2))}  # of the lines of baselines
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # no ticks are above a panel, so nothing has to be searched for them
    "grid.color": PALE,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "errorbar.capsize": 0,
    "pdf.fonttype": 3,
    "pdf.compression": 0,
}


@contextmanager
def project_style() -> Iterator[None]:
    """Apply the project's fonts and lines in place of the machine's own settings."""
    import matplotlib.style

    with matplotlib.style.context([SETTINGS], after_reset=True):
        yield


def missing_records(needs: Sequence[str], data: Collection[str], files: Path) -> list[str]:
    """Return the names that are neither a bundle in `data` nor a file in the folder of records.

    Parameters
    ----------
    needs : sequence of str
        Names. One like ``ladder/*`` is that of any model.
    data : collection of str
        Names of bundles.
    files : Path
    """
    return [
        name
        for name in needs
        if not fnmatch.filter(data, name) and not any(path.is_file() for path in files.glob(name))
    ]


def find_bundles(data: Collection[str], *patterns: str) -> list[str]:
    """Return the bundles whose names match a pattern, those of the embedded model first."""
    names = [name for pattern in patterns for name in fnmatch.filter(data, pattern)]
    return sorted(names, key=lambda name: (not name.endswith("/bert-books"), name.partition("/")[2]))


def requires(needs: Sequence[str]) -> Callable[[Draw], Draw]:
    """Return a decorator of `draw` that checks a figure's records and applies the project's style.

    Parameters
    ----------
    needs : sequence of str
        Bundles and other files of records, as in `missing_records`; a missing one raises a `UserError`.
    """

    def decorate(function: Draw) -> Draw:
        @functools.wraps(function)
        def draw(data: Bundles, files: Path) -> Figure:
            if missing := missing_records(needs, data, files):
                figure = function.__module__.rpartition(".")[2]
                raise UserError(
                    f"figure '{figure}' lacks {', '.join(missing)}. records/README.md names the command that makes "
                    "each."
                )
            with project_style():
                return function(data, files)

        return draw

    return decorate


def new_figure(width: float, height: float, columns: int, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return a figure and its axes (rows, columns), to be called within `project_style`.

    Parameters
    ----------
    width, height : float
        Inches.
    columns, rows : int
    **options
        As in ``Figure.subplots``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def marker_style(pooling: str, pooler: str) -> dict[str, Any]:
    """Return the colour and marker of a pooling, hollow if its weights are untrained."""
    colour = style.COLOURS.get(pooling, style.OTHER_COLOUR)
    return {
        "color": colour,
        "marker": style.MARKERS.get(pooling, style.OTHER_MARKER),
        "markerfacecolor": "white" if style.passes_untrained(pooling, pooler) else colour,
    }


def pooler_status(records: Iterable[Record]) -> str:
    """Return the status of the pooler of the model that these records belong to."""
    return next((str(record.result.pooler.get("status")) for record in records), "trained")


def percent(value: float) -> float:
    """Return a fraction in points, rounded so that all processors give the same digits."""
    return round(100 * value, 6)


def round_digits(value: float) -> float:
    """Return a number rounded to eight significant digits."""
    return float(f"{value:.8g}")


def log10(value: float) -> float:
    """Return a decimal logarithm, rounded so that all processors give the same digits."""
    return round(math.log10(value), 8)


def log_ticks(axis: Any, values: Iterable[float], label: Callable[[float], str] = "{:,g}".format) -> None:
    """Label an axis of logarithms with the numbers themselves."""
    values = list(values)
    axis.set_ticks([log10(value) for value in values], [label(value) for value in values])


def draw_interval(
    axis: Axes, place: float, score: Mapping[str, Any], *, horizontal: bool = False, **options: Any
) -> None:
    """Draw a score in points with its interval; an undefined score is left out.

    Parameters
    ----------
    axis : Axes
    place : float
        Position on the other axis.
    score : mapping
        ``value``, ``low``, ``high`` as fractions.
    horizontal : bool, default False
    **options
        As in ``Axes.plot``.
    """
    if score["value"] is None:
        return
    value = percent(score["value"])
    low, high = (value if score.get(end) is None else percent(score[end]) for end in ("low", "high"))
    along, across = [min(low, value), value, max(high, value)], [place] * 3
    places = (along, across) if horizontal else (across, along)
    # One line per interval: `Axes.errorbar` takes five times as long.
    axis.plot(*places, **{"linewidth": 0.9, "markevery": [1], "markeredgewidth": 0.9, **options})


def draw_dots(axis: Axes, place: float, values: Iterable[float | None], colour: str) -> None:
    """Draw single values in points as small faint dots above a place."""
    known = [percent(value) for value in values if value is not None]
    axis.plot([place] * len(known), known, linestyle="none", marker=".", markersize=3.5, color=colour, alpha=0.5)


def baseline_value(record: Record, name: str) -> float | None:
    """Return a trivial score of a record's task, None if it is undefined."""
    value = record.result.baseline.get(name)
    found = value.get("value") if isinstance(value, Mapping) else value
    return None if found is None else float(found)


def draw_baselines(axis: Axes, record: Record, *, horizontal: bool = False) -> None:
    """Draw the trivial scores of a record's task as broken lines."""
    for name in style.BASELINES:
        if (value := baseline_value(record, name)) is not None:
            _draw_baseline(axis.axvline if horizontal else axis.axhline, name, value)


def draw_constant(axis: Axes, record: Record) -> None:
    """Draw the best constant prediction as a dotted line, at 0 if its correlation is undefined."""
    _draw_baseline(axis.axhline, "constant", baseline_value(record, "constant") or 0.0)


def _draw_baseline(line: Callable[..., Any], name: str, value: float) -> None:
    line(percent(value), color=GREY, linewidth=0.9, linestyle=DASHES[name], label=style.BASELINES[name], zorder=1)


def draw_margin(axis: Axes, *, horizontal: bool = False) -> None:
    """Draw the margin of equivalence as a band; `horizontal` if values run along x."""
    band, line = (axis.axvspan, axis.axvline) if horizontal else (axis.axhspan, axis.axhline)
    band(-100 * MARGIN, 100 * MARGIN, color=PALE, linewidth=0)
    line(0, color=GREY, linewidth=0.6)


def write_no_data(axis: Axes) -> None:
    """Write into an empty panel that its records allow no number."""
    axis.text(0.5, 0.2, "no losses by row\nin these records", transform=axis.transAxes, ha="center", color=GREY)


def add_legend(figure: Figure, columns: int = 5, **options: Any) -> None:
    """Add one legend below all panels, each label once, in the order of its first appearance."""
    handles = {
        name: handle for axis in figure.axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=min(columns, len(handles)), **options
    )

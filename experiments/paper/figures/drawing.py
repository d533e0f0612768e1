"""What every figure shares: each pooling's colour, marker and label, by name, and a look that does not depend on the machine."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.errors import UserError
from src.pooling import poolings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.collect import Record

    Dataset = Mapping[str, Sequence[Record]]
    Draw = Callable[[Dataset, Path], Figure]

WIDTH = 7.0  # inches, two columns of a paper
# Okabe and Ito's palette, which colour-blind readers can tell apart, for what is compared most; Paul Tol's muted one for the rest. The same
# colour and marker for a pooling in every figure, in this order.
COLOURS = {
    "cls": "#0072B2",
    "pooler_preactivation": "#E69F00",
    "pooler": "#D55E00",
    "pooler_inverse": "#882255",
    "random_pooler": "#777777",
    "mean": "#009E73",
    "mean_content": "#117733",
    "mean_sqrt_len": "#44AA99",
    "weighted_mean": "#999933",
    "first_last_mean": "#332288",
    "last4_mean": "#661100",
    "cls_mean": "#56B4E9",
    "max": "#CC79A7",
}
MARKERS = dict(zip(COLOURS, "ovsPX^<>pHd*D", strict=True))
LABELS = {
    "cls": "[CLS]",
    "pooler": "pooler",
    "mean": "mean",
    "max": "max",
    "pooler_preactivation": "W h + b",
    "pooler_inverse": "atanh(pooler)",
    "random_pooler": "random pooler",
    "mean_content": "mean, content",
    "mean_sqrt_len": "mean, √length",
    "weighted_mean": "mean, weighted",
    "first_last_mean": "mean, first + last",
    "last4_mean": "mean, last 4",
    "cls_mean": "[CLS] + mean",
}
METRICS = {"mcc": "Matthews corr.", "f1": "F1", "accuracy": "accuracy", "pearson": "Pearson corr."}
OTHER, OTHER_MARKER = "#000000", "."
GREY, PALE = "#666666", "#E4E4E4"
BASELINES = {"bag_of_word_pieces": ("bag of word pieces", (0, (4, 2))), "constant": ("best constant", (0, (1, 2)))}
LOOK: dict[str, Any] = {
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
    "grid.color": PALE,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "errorbar.capsize": 0,
    "pdf.fonttype": 3,
    "pdf.compression": 0,
    "svg.hashsalt": "probes",
}


@contextmanager
def look() -> Iterator[None]:
    """The project's type and lines, whatever the machine's own settings are."""
    import matplotlib.style

    with matplotlib.style.context([LOOK], after_reset=True):
        yield


def drawing(needs: Sequence[str]) -> Callable[[Draw], Draw]:
    """A figure's `draw`: refused where a bundle or file that it needs is missing, and drawn with the project's look."""

    def decorate(function: Draw) -> Draw:
        @functools.wraps(function)
        def draw(data: Dataset, files: Path) -> Figure:
            bundles = set(data)
            if missing := [name for name in needs if name not in bundles and not (files / name).is_file()]:
                figure = function.__module__.rpartition(".")[2]
                raise UserError(
                    f"figure '{figure}' lacks {', '.join(missing)}. records/README.md names the command that makes each."
                )
            with look():
                return function(data, files)

        return draw

    return decorate


def figure(width: float, height: float, columns: int, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure of rows x columns axes, sizes in inches; `options` as in ``Figure.subplots``. To be called within `look`."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False, **options)


def label(pooling: str, pooler: str) -> str:
    """A pooling's name in a legend; a pooler that was never trained is called so wherever it appears."""
    name = LABELS.get(pooling, pooling)
    return f"{name} (untrained)" if _needs_pooler(pooling) and pooler == "untrained" else name


def model_label(model: str, pooler: str) -> str:
    """A model's name where its pooler is shown without a label of its own."""
    return f"{model} (pooler untrained)" if pooler == "untrained" else model


def marks(pooling: str, pooler: str) -> dict[str, Any]:
    """Colour and marker of a pooling, as matplotlib's options; hollow where it goes through weights that were never trained."""
    colour = COLOURS.get(pooling, OTHER)
    hollow = pooling == "random_pooler" or (_needs_pooler(pooling) and pooler == "untrained")
    return {
        "color": colour,
        "marker": MARKERS.get(pooling, OTHER_MARKER),
        "markerfacecolor": "white" if hollow else colour,
    }


def _needs_pooler(pooling: str) -> bool:
    return any(part in poolings and poolings[part].needs_pooler for part in pooling.split("+"))


def status(records: Iterable[Record]) -> str:
    """The status of the pooler of the model that these records are of."""
    return next((str(record.result.pooler.get("status")) for record in records), "trained")


def in_order(names: Iterable[str]) -> list[str]:
    """Poolings without repetition: those known in their fixed order, then the rest by name."""
    known = list(COLOURS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def by_dataset(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by task, each task's in the poolings' order, tasks by name with those of the suite itself last."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.result.dataset, []).append(record)
    place = {name: number for number, name in enumerate(in_order(record.result.pooling for record in records))}
    ordered = sorted(found, key=lambda name: (name.startswith("demo_"), name))
    return {name: sorted(found[name], key=lambda record: place[record.result.pooling]) for name in ordered}


def percent(value: float) -> float:
    """A fraction in points, to eight digits: the last bits of another processor's arithmetic do not show."""
    return round(100 * value, 6)


def digits(value: float) -> float:
    """A number to eight digits."""
    return float(f"{value:.8g}")


def log(value: float) -> float:
    """Decimal logarithm to eight digits, for an axis that `log_ticks` labels: the same on every processor."""
    return round(math.log10(value), 8)


def log_ticks(axis: Any, values: Iterable[float], named: Callable[[float], str] = "{:,g}".format) -> None:
    """Label an axis of logarithms by the numbers that they stand for."""
    values = list(values)
    axis.set_ticks([log(value) for value in values], [named(value) for value in values])


def interval(axis: Axes, across: float, score: Mapping[str, Any], *, horizontal: bool = False, **look: Any) -> None:
    """A value with its interval, if it has one, in percent at the place `across`; what is undefined is left out."""
    if score["value"] is None:
        return
    value, low, high = percent(score["value"]), score.get("low"), score.get("high")
    spread = (
        None
        if low is None or high is None
        else [[value - min(percent(low), value)], [max(percent(high), value) - value]]
    )
    places: dict[str, Any] = (
        {"x": value, "y": across, "xerr": spread} if horizontal else {"x": across, "y": value, "yerr": spread}
    )
    axis.errorbar(**places, **{"linestyle": "none", "elinewidth": 0.9, "markeredgewidth": 0.9, **look})


def dots(axis: Axes, across: float, values: Iterable[float | None], colour: str) -> None:
    """Single values without intervals, as small faint dots in percent above the place `across`."""
    known = [percent(value) for value in values if value is not None]
    axis.plot([across] * len(known), known, linestyle="none", marker=".", markersize=3.5, color=colour, alpha=0.5)


def trivial(record: Record, name: str) -> float | None:
    """A trivial score of the record's task; None where it is undefined."""
    value = record.result.baseline.get(name)
    found = value.get("value") if isinstance(value, Mapping) else value
    return None if found is None else float(found)


def baselines(axis: Axes, record: Record, *, horizontal: bool = False) -> None:
    """The trivial scores of a record's task as broken lines."""
    for name, (called, dashes) in BASELINES.items():
        if (value := trivial(record, name)) is not None:
            line = axis.axvline if horizontal else axis.axhline
            line(percent(value), color=GREY, linewidth=0.9, linestyle=dashes, label=called, zorder=1)


def constant(axis: Axes, record: Record) -> None:
    """The best constant prediction as a dotted line; a correlation that a constant lacks is drawn at 0."""
    called, dashes = BASELINES["constant"]
    axis.axhline(
        percent(trivial(record, "constant") or 0.0), color=GREY, linewidth=0.9, linestyle=dashes, label=called, zorder=1
    )


def title(task: str, metric: str) -> str:
    """What stands above a task's panel."""
    return f"{task}\n{METRICS.get(metric, metric)}"


@dataclass(frozen=True)
class Panels:
    """A figure of one panel per model and task: rows of as many panels as asked, each model beginning a row of its own.

    ``filled`` pairs each axis with the records that belong on it, in the poolings' order; ``spare`` holds a model's empty ones.
    """

    figure: Figure
    axes: Any
    filled: list[tuple[Axes, list[Record]]]
    spare: dict[str, list[Axes]]


def panels(data: Dataset, bundles: Sequence[str], columns: int, *, height: float, spare: int = 0) -> Panels:
    """A panel of `height` inches per model and task, and `spare` empty ones per model; several bundles of a model share its rows."""
    tasks: dict[str, dict[str, list[Record]]] = {}
    for name in bundles:
        tasks.setdefault(name.partition("/")[2], {}).update(by_dataset(data[name]))
    columns = min(columns, max(map(len, tasks.values())) + spare)
    lines = []
    for model, each in tasks.items():
        names = [*each, *[""] * spare]
        lines += [(model, names[start : start + columns]) for start in range(0, len(names), columns)]
    made, axes = figure(WIDTH, 0.45 + height * len(lines), columns, len(lines))
    filled = []
    free: dict[str, list[Axes]] = {model: [] for model in tasks}
    for line, (model, names) in zip(axes, lines, strict=True):
        line[0].set_ylabel(f"{model}\nscore, %")
        for axis in line[len(names) :]:
            axis.set_axis_off()
        for axis, task in zip(line, names, strict=False):
            if task:
                axis.set_title(title(task, metric_of(tasks[model][task])))
                filled.append((axis, tasks[model][task]))
            else:
                free[model].append(axis)
    return Panels(made, axes, filled, free)


def metric_of(records: Sequence[Record]) -> str:
    """The headline metric of a task's records."""
    return str(records[0].result.score["metric"])


def name_below(axes: Any, text: str) -> None:
    """Name the horizontal axis below the last panel that is shown in each column of `axes` (rows, columns)."""
    for column in axes.T:
        shown = [axis for axis in column if axis.axison]
        shown[-1].set_xlabel(text)


def legend(figure: Figure, columns: int = 5, **more: Any) -> None:
    """One legend below all panels: every label once, in the order of its first appearance."""
    handles = {
        name: handle for axis in figure.axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=min(columns, len(handles)), **more
    )

"""Draws contrasts that are paired by seed: a panel per stratum, a line per quantity below its arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.paper.arms import Quantity, SeedContrast
from experiments.paper.figures import drawing
from experiments.style import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCH = 0.21  # of a line
ARMS = {  # as a reader knows them
    "mlm": "masked words alone",
    "nsp_other_document": "next sentences, other document",
    "nsp_same_document": "next sentences, same document",
}


def draw_contrasts(found: Sequence[SeedContrast]) -> Figure:
    """Return a figure of all contrasts, each with its interval and a dot for each seed."""
    strata = list(dict.fromkeys(each.stratum for each in found))
    lines: dict[str, list[str]] = {}
    for each in found:
        names = lines.setdefault(_heading(each.quantity), [])
        if _name(each.quantity) not in names:
            names.append(_name(each.quantity))
    rows = [(heading, name) for heading, names in lines.items() for name in ("", *names)]
    figure, axes = drawing.new_figure(drawing.WIDTH, 1.25 + INCH * len(rows), max(1, len(strata)), sharey=True)
    for axis, stratum in zip(axes[0], strata, strict=False):
        drawing.draw_margin(axis, horizontal=True)
        for each in found:
            if each.stratum == stratum:
                _draw(axis, rows.index((_heading(each.quantity), _name(each.quantity))), each)
        units, tasks = next((each.units, each.tasks) for each in found if each.stratum == stratum)
        axis.set_title(f"{stratum}\n{len(tasks)} tasks of {len(units)} units")
        axis.set_xlabel("difference, points of D²")
    if rows:
        axes[0, 0].set_yticks(range(len(rows)), [name or heading for heading, name in rows])
        for label, (_, name) in zip(axes[0, 0].get_yticklabels(), rows, strict=True):
            label.set_fontweight("normal" if name else "bold")
        axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        for axis in axes[0]:
            axis.tick_params(axis="y", length=0)
        drawing.add_legend(figure, 3)
    else:
        drawing.write_no_data(axes[0, 0])
    return figure


def _heading(quantity: Quantity) -> str:
    """Return the arms of a quantity, a line for each."""
    arms = [ARMS.get(arm, arm) for arm in quantity.arms]
    return "\nless ".join(arms) if len(arms) > 1 else f"{arms[0]}{' (untrained)' * (quantity.untrained is not None)}"


def _name(quantity: Quantity) -> str:
    """Return the name of a quantity; of two arms, that one is untrained stands there."""
    name = quantity.name.replace("cls", LABELS["cls"])
    if len(quantity.arms) > 1 and quantity.untrained:
        return f"{name} ({('first', 'second')[quantity.arms.index(quantity.untrained)]} untrained)"
    return name


def _draw(axis: Axes, line: int, contrast: SeedContrast) -> None:
    seeds = [drawing.percent(float(each)) for each in contrast.values.mean(axis=1)]
    axis.plot(
        seeds, [line] * len(seeds), linestyle="none", marker=".", markersize=4, color=drawing.GREY, label="a seed"
    )
    drawing.draw_interval(
        axis, line, vars(contrast.difference), horizontal=True, marker="D", color="black", label="mean, 95 % interval"
    )

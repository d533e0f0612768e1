"""Draws contrasts that are paired by seed: a panel per stratum, a line per quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.paper.arms import SeedContrast
from experiments.paper.figures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCH = 0.32  # of a line


def draw_contrasts(found: Sequence[SeedContrast]) -> Figure:
    """Return a figure of all contrasts, each with its interval and a dot for each seed."""
    strata = list(dict.fromkeys(each.stratum for each in found))
    lines = list(dict.fromkeys((each.quantity.arms, each.quantity.name) for each in found))
    figure, axes = drawing.new_figure(drawing.WIDTH, 1.25 + INCH * len(lines), max(1, len(strata)), sharey=True)
    for axis, stratum in zip(axes[0], strata, strict=False):
        drawing.draw_margin(axis, horizontal=True)
        for each in found:
            if each.stratum == stratum:
                _draw(axis, lines.index((each.quantity.arms, each.quantity.name)), each)
        units, tasks = next((each.units, each.tasks) for each in found if each.stratum == stratum)
        axis.set_title(f"{stratum}\n{len(tasks)} tasks of {len(units)} units")
        axis.set_xlabel("difference, points of D²")
    if lines:
        axes[0, 0].set_yticks(range(len(lines)), [f"{name}\n{arms}" for arms, name in lines])
        axes[0, 0].set_ylim(len(lines) - 0.5, -0.5)
        drawing.add_legend(figure, 3)
    else:
        drawing.write_no_data(axes[0, 0])
    return figure


def _draw(axis: Axes, line: int, contrast: SeedContrast) -> None:
    seeds = [drawing.percent(float(each)) for each in contrast.values.mean(axis=1)]
    axis.plot(
        seeds, [line] * len(seeds), linestyle="none", marker=".", markersize=4, color=drawing.GREY, label="a seed"
    )
    drawing.draw_interval(
        axis, line, vars(contrast.difference), horizontal=True, marker="D", color="black", label="mean, 95 % interval"
    )

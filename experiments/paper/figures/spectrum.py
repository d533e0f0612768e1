"""Draw the pooler's singular values, and the similarity of representations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import style
from experiments.paper.figures import drawing
from src.models.pooler import quarter_circle
from src.storage.files import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 13
NEEDS = ("diagnostics/*.json",)
CAPTION = """Left: singular values of the pooler's W, the largest first, and the Marchenko-Pastur
law of a random matrix whose entries have the same standard deviation. Right: linear CKA, in
percent, between representations of the same texts, the mean over tasks. Both are exact for these
weights and texts, so nothing has an interval."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of two panels per model."""
    paths = {path.relative_to(files).with_suffix("").as_posix(): path for path in files.glob(NEEDS[0])}
    names = drawing.find_bundles(paths, "*")
    figure, axes = drawing.new_figure(drawing.WIDTH, 0.2 + 2.8 * len(names), 2, len(names), width_ratios=(2, 3))
    for (left, right), name in zip(axes, names, strict=True):
        found = read_json(paths[name])
        status = str(found["pooler"]["status"])
        if found["pooler"].get("weight"):
            _draw_spectrum(left, found["pooler"]["weight"], status)
        left.set_title(f"{found['model']}\nsingular values of W")
        left.set_ylabel("singular value")
        left.set_xlabel("rank of the singular value")
        _draw_similarity(right, list(found["tasks"].values()), status)
        right.set_title(f"{found['model']}\nlinear CKA, %, mean of {len(found['tasks'])} tasks")
    drawing.add_legend(figure, 4)
    return figure


def _draw_spectrum(axis: Axes, weight: Mapping[str, Any], status: str) -> None:
    singular = sorted((drawing.round_digits(value) for value in weight["singular_values"]), reverse=True)
    width = len(singular)
    points = np.linspace(0, 2, 4001)
    places = (np.arange(width, 0, -1) - 0.5) / width
    noise = np.interp(places, quarter_circle(points), points) * weight["singular_edge"] / 2
    marks = drawing.marker_style("pooler", status)
    axis.plot(
        range(1, width + 1),
        singular,
        linestyle="none",
        **{**marks, "markersize": 2.5},
        label=style.pooling_label("pooler", status) + ": W",
    )
    axis.plot(
        range(1, width + 1),
        [drawing.round_digits(value) for value in noise],
        color="black",
        label="noise (Marchenko-Pastur)",
    )
    axis.set_ylim(bottom=0)


def _draw_similarity(axis: Axes, tasks: list[Mapping[str, Any]], status: str) -> None:
    names = style.sort_poolings(name for task in tasks for name in task["representations"])
    similarity = np.full((len(names), len(names)), np.nan)
    for row, a in enumerate(names):
        for column, b in enumerate(names):
            found = [1.0 if a == b else task["cka"].get(f"{a} {b}", task["cka"].get(f"{b} {a}")) for task in tasks]
            if None not in found:
                similarity[row, column] = drawing.percent(float(np.mean(found)))
    # vmax keeps the colours light under black text. A mesh, because images in a PDF depend on the
    # version of zlib.
    axis.pcolormesh(np.ma.masked_invalid(similarity), cmap="Blues", vmin=0, vmax=160, edgecolor="white", linewidth=0.5)
    for (row, column), value in np.ndenumerate(similarity):
        if np.isfinite(value):
            axis.text(column + 0.5, row + 0.5, f"{value:.0f}", ha="center", va="center", fontsize=7)
    labels = [style.pooling_label(name, status) for name in names]
    axis.set_xticks(np.arange(len(names)) + 0.5, labels, rotation=35, ha="right", rotation_mode="anchor")
    axis.set_yticks(np.arange(len(names)) + 0.5, labels)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)

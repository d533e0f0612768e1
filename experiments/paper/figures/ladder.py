"""Draw the steps from [CLS] to the pooler under no, weak and tuned regularisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.evidence import LADDER, STRENGTHS, Evidence
from experiments.paper.figures import drawing
from experiments.strata import SINGLE, TOGETHER
from src.evaluation.contrasts import MARGIN
from src.evaluation.units import MeanContrast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 4
NEEDS = ("ladder/*",)
CAPTION = f"""What each step from [CLS] to the pooler costs: the difference to [CLS] in points of D², as
the mean over a stratum's tasks that count with its 95 % interval; faint dots are the tasks.
Columns differ in the probe's penalty: none, a weak one (0.0001 per row), and the one tuned on
held-out training rows. The band is the margin of {100 * MARGIN:g} point. Each row has its own scale."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of panels per model and stratum, a column per strength of the penalty."""
    evidence = Evidence.of(data, files)
    models = [name.partition("/")[2] for name in drawing.find_bundles(data, *NEEDS)]
    found = {(model, strength): evidence.ladder(model, strength) for model in models for strength in STRENGTHS}
    rows = [(model, stratum) for model in models for stratum in (SINGLE, TOGETHER)]
    figure, axes = drawing.new_figure(
        drawing.WIDTH, 1.75 * len(rows) + 0.4, len(STRENGTHS), len(rows), sharey="row", sharex="col"
    )
    for line, (model, stratum) in zip(axes, rows, strict=True):
        status = drawing.pooler_status(data[f"ladder/{model}"])
        for axis, strength in zip(line, STRENGTHS, strict=True):
            claims = [claim for own, claim in found[model, strength] if own == stratum]
            steps(axis, claims, [claim.a for claim in claims], status)
            axis.set_title(f"{style.model_label(model, status)}\n{stratum}, {_penalty(strength)}")
        line[0].set_ylabel("difference to [CLS],\npoints of D²")
    for axis in axes[-1]:
        label_poolings(axis, list(LADDER))
    return figure


def _penalty(strength: str) -> str:
    return f"{'no' if strength == 'none' else strength} penalty"


def label_poolings(axis: Axes, poolings: Sequence[str]) -> None:
    """Label the places of poolings on the horizontal axis, on two lines each."""
    labels = [style.pooling_label(name, "").replace(" pooler", "\npooler").replace("(", "\n(") for name in poolings]
    axis.set_xticks(range(len(poolings)), labels)


def steps(axis: Axes, claims: Sequence[MeanContrast], poolings: Sequence[str], status: str) -> None:
    """Draw the mean over tasks of each pooling with its interval, and the tasks as faint dots."""
    drawing.draw_margin(axis)
    if not claims:
        drawing.write_no_data(axis)
    for place, (claim, pooling) in enumerate(zip(claims, poolings, strict=True)):
        marks = drawing.marker_style(pooling, status)
        drawing.draw_dots(axis, place + 0.22, claim.differences, marks["color"])
        label = style.pooling_label(pooling, status)
        drawing.draw_interval(axis, place, vars(claim.difference), label=label, **marks)
    axis.margins(x=0.15)

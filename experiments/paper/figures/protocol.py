"""Draw differences between poolings under three protocols."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing, layout
from experiments.tasks import paired_tasks
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 8
NEEDS = ("protocol/*",)
CAPTION = f"""Paired differences to [CLS] under this suite's probe and under the published rules of
SentEval and of MTEB, on features of the same encoder, in points with 95 % intervals (under MTEB
over its draws of few training rows too). SentEval encodes pairs separately. The band is the margin
of {100 * MARGIN:g} point."""
PAIRS = (("mean", "cls"), ("pooler", "cls"))
PROTOCOLS = {"logistic": ("black", "o"), "senteval": ("#6A6A6A", "^"), "mteb": ("#A0A0A0", "s")}


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of panels per model, a column per pair of poolings, a mark per protocol."""
    evidence = Evidence.of(data, files)
    bundles = drawing.find_bundles(data, *NEEDS)
    names = {bundle: sorted({record.result.dataset for record in data[bundle]}) for bundle in bundles}
    height = 0.5 + sum(0.5 + 0.36 * len(each) for each in names.values())
    figure, axes = drawing.new_figure(drawing.WIDTH, height, len(PAIRS), len(bundles), sharey="row", sharex="col")
    for line, (bundle, each) in zip(axes, names.items(), strict=True):
        status = drawing.pooler_status(data[bundle])
        for axis, (a, b) in zip(line, PAIRS, strict=True):
            drawing.draw_margin(axis, horizontal=True)
            for number, (protocol, (colour, marker)) in enumerate(PROTOCOLS.items()):
                under = paired_tasks(record for record in data[bundle] if record.result.probe == protocol)
                for contrast in evidence.paired_contrasts(under, [(a, b)]):
                    place = each.index(contrast.task) + 0.24 * (number - 1)
                    look: dict[str, Any] = {"color": colour, "marker": marker, "label": protocol}
                    drawing.draw_interval(axis, place, vars(contrast.difference), horizontal=True, **look)
            axis.set_title(
                f"{bundle.partition('/')[2]}\n{style.pooling_label(a, status)} − {style.pooling_label(b, status)}"
            )
        line[0].set_yticks(range(len(each)), each)
        line[0].set_ylim(len(each) - 0.4, -0.6)
    layout.label_columns(axes, "difference to [CLS], points of the metric")
    drawing.add_legend(figure)
    return figure

"""Draw a random pooler and one that next-sentence prediction trained, on one encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments import style
from experiments.paper.evidence import FEWER, Evidence
from experiments.paper.figures import drawing, layout
from experiments.paper.labels import by_model
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 14
MODELS = ("bert-books", "all-MiniLM-L6-v2")
KINDS = ("random", "nsp")
NEEDS = tuple(f"nsp_pooler/{model}-{kind}" for model in MODELS for kind in KINDS)
STEPS = ("pooler_preactivation", "pooler")
CAPTION = f"""The difference to [CLS], in points of each task's metric with 95 % intervals, of two poolers on one frozen
encoder, whose [CLS] is therefore the same: hollow, the random start; filled, the same pooler after
next-sentence prediction on books has trained it and nothing else. Left W h + b, right with its
tanh. The band is the margin of {100 * MARGIN:g} point."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of panels per model, a column per step of the pooler, two marks per task."""
    evidence = Evidence.of(data, files)
    figure, axes = drawing.new_figure(drawing.WIDTH, 5.2, len(STEPS), len(MODELS), sharey="row", sharex="col")
    for line, model in zip(axes, MODELS, strict=True):
        tasks = evidence.labelled_tasks([f"nsp_pooler/{model}-{kind}" for kind in KINDS], by_model)
        names = [task.name for task in tasks]
        for axis, step in zip(line, STEPS, strict=True):
            drawing.draw_margin(axis, horizontal=True)
            for kind, shift, status in zip(KINDS, (-0.17, 0.17), ("untrained", "trained"), strict=True):
                pair = (f"{step}, {kind}", f"cls, {kind}")
                marks = {**drawing.marker_style(step, status), "label": style.pooling_label(step, status)}
                for contrast in evidence.resampling.contrasts(tasks, [pair], resamples=FEWER):
                    drawing.draw_interval(
                        axis, names.index(contrast.task) + shift, vars(contrast.difference), horizontal=True, **marks
                    )
            axis.set_title(f"{model}\n{style.pooling_label(step, '')} − [CLS]")
        line[0].set_yticks(range(len(names)), names)
        line[0].set_ylim(len(names) - 0.5, -0.5)
    layout.label_columns(axes, "difference to [CLS], points of the metric")
    drawing.add_legend(figure, 4)
    return figure

"""Draw the differences between systems that run the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.paper.figures import drawing
from src.storage.files import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = 18
NEEDS = ("parity.json",)
CAPTION = """The same sentences through every system on the same weights. Left: largest absolute
difference from TensorFlow 1 in sequence_output and in pooled_output (an exact zero stands at the
left edge); the dotted line is 1e-5. With the tanh GELU of Google's code the systems agree to
rounding, with the erf GELU that Hugging Face reads from the same configuration they do not. Right:
pooled_output against sequence_output[:,0], value by value, in TensorFlow: as many values, other
ones, and none beyond 1 in size."""
FIRST = ("random", "bert-books")  # panels, where they are among the records
LOOKS = {"sequence_output": ("cls", "sequence_output"), "pooled_output": ("pooler", "pooled_output")}
LEAST, LIMIT = 1e-8, 1e-5
NAMES = {
    "checkpoint": "TF1 checkpoint", "modeling": "modeling.py", "hub": "TF-Hub module", "savedmodel": "TF2 SavedModel",
    "savedmodel-2019": "TF2, 2019", "suite": "this suite", "hugging_face": "Hugging Face",
}  # fmt: skip
GELU = {"gelu": ", erf", "gelu_pytorch_tanh": ", tanh"}


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel of differences per model, and one of the two vectors of a sentence."""
    records = read_json(files / NEEDS[0])
    models = [*(name for name in FIRST if name in records), *(name for name in sorted(records) if name not in FIRST)]
    rows = max(len(record["systems"]) for record in records.values())
    figure, axes = drawing.new_figure(
        drawing.WIDTH, 0.9 + 0.2 * rows, len(models) + 1, width_ratios=[*[1.0] * len(models), 1.1]
    )
    for number, model in enumerate(models):
        _differences(axes[0, number], records[model], named=number == 0)
    _values(axes[0, -1], records[models[-1]])
    drawing.add_legend(figure)
    return figure


def _differences(axis: Axes, record: Mapping[str, Any], *, named: bool) -> None:
    systems = record["systems"]
    for quantity, (pooling, label) in LOOKS.items():
        values = [drawing.log10(max(row[quantity], LEAST)) for row in systems]
        look = drawing.marker_style(pooling, "trained")
        axis.plot(values, range(len(systems)), linestyle="none", label=label, **look)
    axis.axvline(drawing.log10(LIMIT), color=drawing.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    names = [
        NAMES[row["system"]] + (GELU[row["hidden_act"]] if row["system"] in ("suite", "hugging_face") else "")
        for row in systems
    ]
    axis.set_yticks(range(len(systems)), names if named else [""] * len(systems))
    axis.grid(axis="y")
    axis.invert_yaxis()
    axis.set_xlim(drawing.log10(LEAST) - 0.4, -1.5)
    drawing.log_ticks(
        axis.xaxis,
        (LEAST, 1e-6, 1e-4, 1e-2),
        lambda value: "0" if value == LEAST else f"{value:.0e}".replace("e-0", "e-"),
    )
    axis.set_xlabel("largest difference")
    shape = record["shape"]
    axis.set_title(f"{record['model']}\n{shape['num_hidden_layers']} layers of {shape['hidden_size']}")


def _values(axis: Axes, record: Mapping[str, Any]) -> None:
    first, pooled = ([drawing.round_digits(value) for value in record["values"][name]] for name in ("cls", "pooled"))
    axis.axline((0, 0), slope=1, color=drawing.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    axis.plot(first, pooled, linestyle="none", marker=".", markersize=3.5, color=style.COLOURS["pooler"], alpha=0.6)
    axis.set_ylim(-1.15, 1.15)
    axis.set_xlabel("sequence_output[:,0]")
    axis.set_ylabel("pooled_output")
    axis.set_title(f"{record['model']}\nvalue by value")

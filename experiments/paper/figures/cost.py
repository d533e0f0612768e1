"""Draw the cost of each representation against its score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments import style
from experiments.paper.evidence import Evidence, is_real
from experiments.paper.figures import drawing, layout
from experiments.paper.labels import by_pooling, layer_and_pooling
from experiments.strata import APART, SINGLE, TOGETHER, explained
from experiments.units import task_units
from src.config.schema import PAIRINGS
from src.evaluation.units import mean_over_units
from src.storage.files import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.bundles import Record

PLACE = 10
NEEDS = ("cost/*.json", "poolings/*")
CAPTION = """What a representation costs against what a probe explains: the mean D² of the tasks that
count, with 95 % intervals over these tasks' test rows. Left: single texts, leaving the encoder
early; seconds on one core for 1,000 rows (tokenising, the pass up to the layer, pooling), below them
the quickest and the slowest repeat. Right: the pair tasks that count both together and apart,
with seconds for 1,000 pairs and the bytes that a stored row takes in float32."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a row of panels per model: scores by layer, and pairs joint and separate."""
    evidence = Evidence.of(data, files)
    models = evidence.models_of("cost")
    figure, axes = drawing.new_figure(drawing.WIDTH, 0.2 + 2.8 * len(models), 2, len(models), width_ratios=(3, 2))
    for (left, right), model in zip(axes, models, strict=True):
        costs = read_json(files / f"cost/{model}.json")
        measured = list(costs["tasks"].values())
        of_pairs = [each for each in measured if set(PAIRINGS) <= set(each["seconds"]["forward"])]
        layers, pairs = single_texts(evidence, model), counted_pairs(evidence, model)
        of_texts = [each for each in measured if each not in of_pairs]
        if layers and of_texts:
            _layers(left, of_texts, layers)
        if pairs and of_pairs:
            _pairs(right, of_pairs, pairs)
        left.set_title(f"{model}\nby layer, {len(layout.by_dataset(layers))} tasks of single texts")
        right.set_title(f"{model}\n{len(layout.by_dataset(pairs))} pair tasks")
        left.set_xlabel("seconds for 1,000 rows")
        right.set_xlabel("encoding of 1,000 pairs")
        for axis in (left, right):
            axis.set_ylabel("mean D² × 100")
            if not axis.has_data():  # not scored
                axis.set_axis_off()
                axis.set_title("")
    drawing.add_legend(figure, 6)
    return figure


def _layers(axis: Axes, costs: Sequence[Mapping[str, Any]], records: Sequence[Record]) -> None:
    """Draw scores over the seconds of each layer; the seconds of poolings are too few to show."""
    status = drawing.pooler_status(records)
    exits = {int(layer): seconds(costs, "joint", "mean", layer) for layer in costs[0]["seconds"]["forward"]["joint"]}
    names = style.sort_poolings(record.result.pooling_label for record in records)
    step = 0.006 * max(cost["value"] for cost in exits.values())
    for number, pooling in enumerate(names):
        marks, shift = drawing.marker_style(pooling, status), step * (2 * number - len(names) + 1)
        scores = {
            layer: mean_score(
                each for each in records if (each.result.pooling_label, each.result.layer) == (pooling, layer)
            )
            for layer in exits
        }
        known = [layer for layer in exits if scores[layer]["value"] is not None]
        places = [exits[layer]["value"] + shift for layer in known]
        axis.plot(places, [drawing.percent(scores[layer]["value"]) for layer in known], color=marks["color"])
        for place, layer in zip(places, known, strict=True):
            drawing.draw_interval(axis, place, scores[layer], label=style.pooling_label(pooling, status), **marks)
    for layer, cost in exits.items():
        height = 0.03 * (len(exits) - list(exits).index(layer))
        axis.plot(
            (cost["low"], cost["high"]),
            (height, height),
            color=drawing.GREY,
            linewidth=0.8,
            transform=axis.get_xaxis_transform(),
        )
        named = f"layer {layer}" if layer == min(exits) else f"{layer}"
        axis.text(cost["value"], 1, named, transform=axis.get_xaxis_transform(), fontsize=7, ha="center", va="top")
    axis.set_xlim(left=0)
    axis.set_ymargin(0.05 + 0.04 * len(exits))


def _pairs(axis: Axes, costs: Sequence[Mapping[str, Any]], records: Sequence[Record]) -> None:
    last = max(costs[0]["seconds"]["forward"]["joint"], key=int)
    for pooling, shift, options in layout.spread_poolings(records, 0.05):
        scores = [
            mean_score(each for each in records if (each.result.pooling_label, each.result.pairing) == (pooling, name))
            for name in PAIRINGS
        ]
        known = [(place + shift, score["value"]) for place, score in enumerate(scores) if score["value"] is not None]
        axis.plot([place for place, _ in known], [drawing.percent(value) for _, value in known], color=options["color"])
        for place, score in enumerate(scores):
            drawing.draw_interval(axis, place + shift, score, **options)
    sizes = [costs[0]["bytes"][pairing]["cls"]["float32"] for pairing in PAIRINGS]
    taken = [seconds(costs, pairing, "cls", last) for pairing in PAIRINGS]
    ticks = [
        f"{pairing}\n{size:,} bytes\n{cost['value']:.1f} s ({cost['low']:.1f} to {cost['high']:.1f})"
        for pairing, size, cost in zip(PAIRINGS, sizes, taken, strict=True)
    ]
    axis.set_xticks((0, 1), ticks)
    axis.set_xlim(-0.45, 1.45)


def seconds(costs: Iterable[Mapping[str, Any]], pairing: str, pooling: str, layer: str) -> dict[str, float]:
    """Return the mean seconds of 1,000 rows: the parts' medians and extremes, each summed."""
    found = {}
    for name, of in (("value", "median"), ("low", "low"), ("high", "high")):
        each = []
        for cost in costs:
            taken = cost["seconds"]
            parts = (taken["tokenise"][pairing], taken["forward"][pairing][layer], taken["pool"][pairing][pooling])
            each.append(1000 * math.fsum(part[of] for part in parts) / cost["rows"])
        found[name] = drawing.round_digits(fmean(each))
    return found


def mean_score(records: Iterable[Record]) -> dict[str, Any]:
    """Return the mean D² of some tasks with its 95 % interval for new rows of these tasks; undefined for none."""
    runs = list(records)
    if not runs:
        return {"value": None, "low": None, "high": None}
    units = task_units([record.result for record in runs])
    mean = mean_over_units([replace(explained(record), unit=unit) for record, unit in zip(runs, units, strict=True)])
    half = 1.96 * mean.rows_error
    return {"value": mean.value, "low": mean.value - half, "high": mean.value + half}


def single_texts(evidence: Evidence, model: str) -> list[Record]:
    """Return the runs of each layer on the single texts that count."""
    strata = evidence.group(model, evidence.optional(f"layers/{model}"), layer_and_pooling)
    return [
        record
        for stratum in strata
        if stratum.stratum == SINGLE
        for runs in stratum.tasks.values()
        for record in runs.values()
    ]


def counted_pairs(evidence: Evidence, model: str) -> list[Record]:
    """Return the runs on the real pairs that count both when read together and when read apart."""
    kept = [record for record in evidence.optional(f"pairs/{model}") if is_real(record.result)]
    strata = evidence.group(model, kept, by_pooling)
    tasks = [stratum.tasks for stratum in strata if stratum.stratum in (TOGETHER, APART)]
    both = set.intersection(*map(set, tasks)) if len(tasks) == len(PAIRINGS) else set()
    return [record for each in tasks for name in each if name in both for record in each[name].values()]

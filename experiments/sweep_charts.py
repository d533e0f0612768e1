"""What the W&B run of a sweep shows: tables, scores by layer, and figures."""

from __future__ import annotations

import importlib.util
import logging
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.style import MAIN_PAIRS
from src.errors import UserError
from src.sweeps.comparison import Comparison, Group
from src.sweeps.export import to_rows
from src.sweeps.remarks import label_text
from src.trackers.tracker import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.bundles import Record

log = logging.getLogger("src.sweep_run")
NUMBERS = (
    "layer", "value", "low", "high", "difference", "p", "p_holm", "p_equivalence_holm", "width", "seconds",
)  # fmt: skip
IDENTITY = ("model", "layer", "pairing", "probe", "seed", "draws")
MOST_PANELS = 24  # of a figure
TITLE_WIDTH = 24  # characters of a line in a panel's title


def tables(comparison: Comparison) -> dict[str, Table]:
    """Return the closing table and the differences between poolings of all groups.

    The first column, ``group``, names the settings of a run but for its pooling, and the last,
    ``panel``, those but for its pooling and its layer.
    """
    columns, *rows = to_rows(comparison)
    numeric = [name in NUMBERS or name.startswith("baseline_") for name in columns]
    groups = [group for group in comparison.groups for _ in group.runs]
    typed = [
        [
            title(group),
            *(
                None if cell is None else float(cell) if is_number else str(cell)
                for cell, is_number in zip(row, numeric, strict=True)
            ),
            title(group, layer=False),
        ]
        for group, row in zip(groups, rows, strict=True)
    ]
    found: dict[str, Table] = {"comparison": (["group", *columns, "panel"], typed)}
    if contrasts := differences(comparison):
        found["differences"] = (list(contrasts[0]), [list(row.values()) for row in contrasts])
    return found


def title(group: Group, *, layer: bool = True) -> str:
    """Return a group's dataset, metric and the settings in which it differs from others; `layer`: with its layer."""
    return label_text({name: value for name, value in group.label.items() if layer or name != "layer"})


def differences(comparison: Comparison) -> list[Mapping[str, Any]]:
    """Return a row per group and pair of poolings: a - b with its 95 % interval; Holm within a group."""
    rows: list[Mapping[str, Any]] = []
    for group in comparison.groups:
        try:
            rows += _contrasts(group)
        except UserError as error:
            log.warning("no table of differences: %s", error)
            return []
    return rows


def _contrasts(group: Group) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of one group."""
    from experiments.tasks import paired_tasks
    from src.evaluation.contrasts import contrasts
    from src.pooling import parts_of

    names = dict.fromkeys(run.result.pooling_label for run in group.runs)
    beside = [(name, part) for name in names for part in parts_of(name) if part != name]
    pairs = [pair for pair in (*MAIN_PAIRS, *beside) if {*pair} <= {*names}]
    if not pairs:
        return
    result, name = group.runs[0].result, title(group)
    for each in contrasts(paired_tasks(_records(group, predictions=True)), pairs):
        yield {
            "contrast": f"{name}: {each.a} - {each.b}",
            "group": name,
            "task": each.task,
            **{field: getattr(result, field) for field in IDENTITY},
            "pair": f"{each.a} - {each.b}",
            **{field: getattr(each, field) for field in ("metric", "a", "b", "rows")},
            "difference": each.difference.value,
            **{field: asdict(each.difference).get(field) for field in ("low", "high")},
            **{field: getattr(each, field) for field in ("p_holm", "p_equivalence_holm", "verdict", "flag")},
        }


def _records(group: Group, *, predictions: bool = False) -> list[Record]:
    """Return the records of a group, with their predictions if those are read."""
    from experiments.bundles import Record
    from src.results.result import read_predictions

    return [Record("", run.result, read_predictions(run.folder) if predictions else {}) for run in group.runs]


def layer_sets(comparison: Comparison) -> dict[str, list[Group]]:
    """Return the groups that differ in their layer alone, by title, where there are two layers or more."""
    return {name: groups for name, groups in _by_panel(comparison).items() if len(groups) > 1}


def layer_history(comparison: Comparison) -> dict[int, dict[str, float]]:
    """Return the scores by layer, in ascending order: ``layers/GROUP/POOLING`` and the bounds of its interval."""
    rows: dict[int, dict[str, float]] = {}
    for name, groups in layer_sets(comparison).items():
        for run in (run for group in groups for run in group.runs):
            curve = f"layers/{_as_metric(name)}/{_as_metric(run.result.pooling_label)}"
            score = run.result.score
            values = {curve: score["value"], f"{curve}_low": score.get("low"), f"{curve}_high": score.get("high")}
            known = {name: value for name, value in values.items() if value is not None}
            rows.setdefault(run.result.layer, {"layer": run.result.layer}).update(known)
    return dict(sorted(rows.items()))


def _as_metric(text: str) -> str:
    """Return a text as part of a W&B metric's name, in which a dot or a slash would start another part."""
    return re.sub(r"[^\w+-]+", "_", text).strip("_")


def figures(comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Draw the figures of a sweep into `folder`; return none if matplotlib is not installed.

    Each has a panel per group, with the interval of every score as an error bar: ``scores`` for the
    groups, ``layers`` for those that differ in their layer alone.
    """
    if not importlib.util.find_spec("matplotlib"):
        log.debug("no figures in W&B: matplotlib is not installed. Run pip install -e '.[paper]'.")
        return {}
    from experiments.paper.figures import drawing, layers, scores
    from experiments.paper.figures.registry import save

    drawn: dict[str, Path] = {}
    kinds = {"scores": (scores.panels, _shown_groups(comparison)), "layers": (layers.panels, layer_sets(comparison))}
    for name, (draw, sets) in kinds.items():
        shown = {
            textwrap.fill(each, TITLE_WIDTH): [record for group in groups for record in _records(group)]
            for each, groups in list(sets.items())[:MOST_PANELS]
        }
        if shown:
            with drawing.project_style():
                figure = draw(shown)
                if name == "scores":
                    _give_room(figure, len(comparison.poolings))
            drawn[name] = save(figure, folder / name)[-1]
    return drawn


def _give_room(figure: Figure, rows: int) -> None:
    """Make a figure of few rows higher, and keep the markers of its first and last row whole."""
    first = figure.axes[0]
    grid = first.get_gridspec()
    figure.set_figheight(figure.get_figheight() + 0.3 * (grid.nrows if grid else 1))
    first.set_ylim(rows - 0.5, -0.5)  # shared by all panels


def _shown_groups(comparison: Comparison) -> dict[str, list[Group]]:
    """Return the groups by title; of too many, the last layer of those that differ in their layer alone."""
    groups = {title(group): [group] for group in comparison.groups}
    if len(groups) <= MOST_PANELS:
        return groups
    deepest = [max(each, key=lambda group: group.runs[0].result.layer) for each in _by_panel(comparison).values()]
    return {title(group): [group] for group in deepest}


def _by_panel(comparison: Comparison) -> dict[str, list[Group]]:
    """Return the groups by the settings other than their layer."""
    found: dict[str, list[Group]] = {}
    for group in comparison.groups:
        found.setdefault(title(group, layer=False), []).append(group)
    return found

"""Scores with their intervals, a panel per task: ``python -m experiments.figures.scores table=comparison.csv output=scores.png``.

The table is the `comparison.csv` that a sweep leaves in its folder. Broken lines are the trivial baselines.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from experiments import options
from experiments.figures import style
from src.door import stop
from src.errors import UserError

DEFAULTS = {"table": "experiments/records/bert-books.csv", "output": "docs/scores.png"}
PANELS = 5  # side by side


def read(path: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of a comparison by dataset, in the order of the file."""
    if not path.is_file():
        raise UserError(f"table={path}: there is no such file. A sweep leaves comparison.csv in its folder.")
    tasks: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            tasks.setdefault(row["dataset"], []).append(row)
    return tasks


def draw(tasks: dict[str, list[dict[str, str]]], output: Path) -> None:
    """One panel per task: a dot per pooling with its 95 % interval."""
    columns = min(PANELS, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, axes = style.figure(2.0 * columns, 2.0 * lines + 0.6, columns, lines)
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis, (task, rows) in zip(axes.flat, tasks.items(), strict=False):
        for place, row in enumerate(rows):
            value, low, high = (100 * float(row[name]) for name in ("value", "low", "high"))
            colour = style.COLOURS.get(row["pooling"], style.OTHER)
            axis.errorbar(
                place,
                value,
                [[value - low], [high - value]],
                fmt="o",
                color=colour,
                capsize=3,
                label=style.label(row["pooling"], row["pooler"]),
            )
        for name, line in (("baseline_bag_of_word_pieces", (0, (4, 2))), ("baseline_constant", (0, (1, 2)))):
            if rows[0].get(name):
                axis.axhline(
                    100 * float(rows[0][name]),
                    color="#666666",
                    linewidth=1,
                    linestyle=line,
                    label=name.removeprefix("baseline_").replace("_", " "),
                )
        axis.set_title(f"{task}\n{style.METRICS.get(rows[0]['metric'], rows[0]['metric'])}", fontsize=9)
        axis.set_xticks([])
        axis.margins(x=0.2)
    for axis in axes[:, 0]:
        axis.set_ylabel("score, %")
    handles = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(6, len(handles)), frameon=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=160, metadata={"Software": None})


def main(arguments: list[str]) -> None:
    """Draw; bad input ends with a line and status 1."""
    try:
        asked = options.read(DEFAULTS, arguments)
        draw(read(Path(asked.table)), Path(asked.output))
    except UserError as error:
        stop(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])

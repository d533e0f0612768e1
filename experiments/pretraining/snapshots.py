"""Probe the snapshots of a pre-training.

``python -m experiments.pretraining.snapshots snapshots=FOLDER [data_root=FOLDER] [output=FILE]``

Shows when the pooler becomes useful. Each snapshot of ``experiments.pretrain`` gets one sweep; one
table has a row per snapshot, dataset and pooling. Finished sweeps are not run again. The held-out
figures of the same steps are in the training's own training.csv.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cli import command, required
from experiments.files import write_csv
from src.errors import UserError

COLUMNS = (
    "dataset", "pooling", "metric", "value", "low", "high", "pooler", "baseline_constant",
    "baseline_bag_of_word_pieces",
    "key",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    snapshots: str = required("a folder of snapshots, named by their steps as pre-training writes them")
    datasets: tuple[str, ...] = ("cr", "mr", "rte", "sick_e", "stsb")
    poolings: tuple[str, ...] = ("cls", "pooler", "mean")
    data_root: str | None = None
    work: str = "multirun/along"  # folder of the sweeps
    output: str = "outputs/along.csv"


@command(Options)
def main(options: Options) -> None:
    """Run the sweeps and write the table."""
    folders = Path(options.snapshots).glob("*")
    snapshots = sorted(path for path in folders if path.name.isdecimal() and (path / "config.json").is_file())
    if not snapshots:
        raise UserError(
            f"snapshots={options.snapshots}: no snapshot there. A training with pace.snapshots=[STEP,...] "
            "leaves them in snapshots/ of its output."
        )
    overrides = [f"dataset={','.join(options.datasets)}", f"pooling={','.join(options.poolings)}"]
    if options.data_root:
        overrides.append(f'data_root="{options.data_root}"')
    rows = [row for each in snapshots for row in sweep(each, Path(options.work) / each.name, overrides)]
    write_csv(Path(options.output), ("step", *COLUMNS), rows)


def sweep(snapshot: Path, folder: Path, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Run the sweep over one snapshot in `folder` and return the rows of its comparison.

    Raises
    ------
    UserError
        A job of the sweep failed.
    """
    step = int(snapshot.name)
    print(f"== step {step:,}", flush=True)
    model = ["tracker=none", "model=checkpoint", f'model.path="{snapshot}"', f'hydra.sweep.dir="{folder}"']
    ended = subprocess.run([sys.executable, "-m", "src.run", "-m", *overrides, *model], check=False)
    if ended.returncode:
        raise UserError(f"the sweep over step {step} failed: see above. Run the same command again to continue it.")
    with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
        return [{"step": step, **{name: row.get(name) for name in COLUMNS}} for row in csv.DictReader(file)]


if __name__ == "__main__":
    main()

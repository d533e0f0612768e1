"""When does the pooler become useful? ``python -m experiments.pretraining.snapshots snapshots=FOLDER [data_root=FOLDER] [output=FILE]``.

Probes the snapshots that ``experiments.pretrain`` kept, one sweep each, and writes one table with a row per snapshot, task and pooling.
What is done is not done again; the held-out figures of the same steps stand in the training's own training.csv.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from experiments.cli import command, required
from src.errors import UserError

KEPT = (
    "dataset",
    "pooling",
    "metric",
    "value",
    "low",
    "high",
    "pooler",
    "baseline_constant",
    "baseline_bag_of_word_pieces",
    "key",
)


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    snapshots: str = required("a folder of snapshots, named by their steps as pre-training writes them")
    datasets: tuple[str, ...] = ("mr", "sst2", "cola", "mrpc", "stsb", "rte", "demo_coherence")
    poolings: tuple[str, ...] = ("cls", "pooler", "mean")
    data_root: str | None = None
    work: str = "multirun/along"
    output: str = "experiments/records/along.csv"


@command(Options)
def main(options: Options) -> None:
    """Run the sweeps and write the table."""
    folders = Path(options.snapshots).glob("*")
    snapshots = sorted(path for path in folders if path.name.isdecimal() and (path / "config.json").is_file())
    if not snapshots:
        raise UserError(
            f"snapshots={options.snapshots}: a folder of snapshots is needed, named by their steps as pre-training leaves them."
        )
    words = [
        f"dataset={','.join(options.datasets)}",
        f"pooling={','.join(options.poolings)}",
        "tracker=none",
        "model=checkpoint",
    ]
    if options.data_root:
        words.append(f'data_root="{options.data_root}"')
    rows = []
    for snapshot in snapshots:
        folder = Path(options.work) / snapshot.name
        asked = [*words, f'model.path="{snapshot}"', f'hydra.sweep.dir="{folder}"']
        print(f"== step {int(snapshot.name):,}", flush=True)
        ended = subprocess.run([sys.executable, "-m", "src.run", "-m", *asked], check=False)
        if ended.returncode:
            raise UserError(f"the sweep over step {int(snapshot.name)} failed: see above. The same command goes on.")
        with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
            rows += [
                {"step": int(snapshot.name), **{name: row.get(name) for name in KEPT}} for row in csv.DictReader(file)
            ]
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["step", *KEPT], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()

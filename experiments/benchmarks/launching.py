"""What launching costs: ``python -m experiments.overhead [part=all|jobs|workers] [jobs=200] [fits=160] [workers=2] [output=FILE]``.

Both parts sweep over features that are stored beforehand, each sweep a process of its own on a store of its own.

``part=jobs``: a sweep of tiny jobs through the basic launcher, tracked by W&B offline; wall seconds a job beyond those that its probe, its
scores and its baselines took by its own clock, imports and the start of W&B included.
``part=workers``: a sweep of ``fits`` jobs that are all probe fits, through the basic launcher and through ``workers`` workers of joblib
(the extra "joblib"); the ratio of their wall seconds, and whether the records are the same.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.cli import command
from experiments.files import write_json
from src.cli.messages import print_text
from src.errors import UserError
from src.results.result import PREDICTIONS, PROBE, RECORD
from src.runtime.provenance import collect

ROOT = Path(__file__).resolve().parents[1]
WORDS = [
    "good",
    "bad",
    "film",
    "plot",
    "actor",
    "scene",
    "boring",
    "bright",
    "dull",
    "fine",
    "story",
    "cast",
    "music",
    "slow",
    "quick",
]
POOLINGS = ("cls", "pooler", "mean", "max")
OWN = ("fit", "score", "baseline")  # phases that are the probe's own


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    part: Literal["all", "jobs", "workers"] = "all"
    jobs: int = 200
    fits: int = 160
    workers: int = 2
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the figures."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        if options.part != "workers":
            figures["jobs"] = jobs(Path(folder), options.jobs)
            print_text(
                "{jobs} jobs in {wall:.1f} s, of which the probes' own {own:.1f} s: {overhead:.3f} s a job beside".format(
                    **figures["jobs"]
                )
            )
        if options.part != "jobs":
            figures["workers"] = workers(Path(folder), options.fits, options.workers)
            print_text(
                "{fits} fits: basic {basic:.1f} s, joblib with {workers} workers {joblib:.1f} s, {ratio:.2f} times as fast; "
                "records {same}".format(
                    **figures["workers"], same="the same" if figures["workers"]["same_records"] else "DIFFER"
                )
            )
    if options.output:
        write_json(Path(options.output), {**figures, "provenance": collect()})


def jobs(folder: Path, number: int) -> dict[str, Any]:
    """Seconds of a sweep of tiny jobs, and what of them is not the probes' own."""
    for name, rows in (("train", 200), ("test", 100)):
        write_rows(folder / f"{name}.csv", rows)
    files = ["dataset=files", f"dataset.train={folder / 'train.csv'}", f"dataset.test={folder / 'test.csv'}"]
    sweep(folder / "filled", folder / "store", *files)
    words = [f"pooling={','.join(POOLINGS)}", f"seed=range(1,{1 + -(-number // len(POOLINGS))})"]
    wall = sweep(folder / "jobs", folder / "store", *files, *words)
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / "jobs").glob(f"*/{RECORD}")]
    own = sum(record["timing"][phase] for record in records for phase in OWN)
    return {"jobs": len(records), "wall": wall, "own": own, "overhead": (wall - own) / len(records)}


def workers(folder: Path, number: int, count: int) -> dict[str, Any]:
    """Seconds of the same fits through the basic launcher and through joblib."""
    data = ["dataset=demo_sentiment", "draws=10", "tracker=none"]
    sweep(folder / "filled", folder / "features", *data)
    shutil.rmtree(folder / "features" / "records")
    words = [*data, f"pooling={','.join(POOLINGS)}", f"seed=range(1,{1 + -(-number // len(POOLINGS))})"]
    seconds = {}
    for launcher, more in (("basic", []), ("joblib", [f"hydra.launcher.n_jobs={count}"])):
        shutil.copytree(folder / "features", folder / f"features-{launcher}")
        seconds[launcher] = sweep(
            folder / launcher, folder / f"features-{launcher}", *words, f"hydra/launcher={launcher}", *more
        )
    done = sorted(path.parent.name for path in (folder / "basic").glob(f"*/{RECORD}"))
    same = all(settled(folder / "basic" / job) == settled(folder / "joblib" / job) for job in done)
    return {
        "fits": len(done),
        "workers": count,
        **seconds,
        "ratio": seconds["basic"] / seconds["joblib"],
        "same_records": same,
    }


def settled(folder: Path) -> tuple[dict[str, Any], bytes, bytes]:
    """What a job leaves, without what it measured of the machine."""
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    del content["timing"], content["provenance"]
    return content, (folder / PREDICTIONS).read_bytes(), (folder / PROBE).read_bytes()


def sweep(folder: Path, store: Path, *words: str) -> float:
    """Wall seconds of a sweep in a process of its own; UserError where one of its jobs failed."""
    command = [
        sys.executable,
        "-m",
        "src.run",
        "-m",
        *words,
        f"hydra.sweep.dir={folder}",
        f"runtime.cache_dir={store}",
        "runtime.progress=false",
    ]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "WANDB_MODE": "offline"}, check=False
    )
    if done.returncode:
        raise UserError(
            f"the sweep ended with status {done.returncode}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}"
        )
    return time.perf_counter() - began


def write_rows(path: Path, rows: int) -> None:
    """Sentences of a few words, labelled by three of them."""
    dice = random.Random(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        sentences = [[dice.choice(WORDS) for _ in range(dice.randint(3, 9))] for _ in range(rows)]
        labels = ["pos" if {"good", "fine", "bright"} & set(sentence) else "neg" for sentence in sentences]
        csv.writer(file).writerows(
            [
                ("text", "label"),
                *((" ".join(sentence), label) for sentence, label in zip(sentences, labels, strict=True)),
            ]
        )


if __name__ == "__main__":
    main()

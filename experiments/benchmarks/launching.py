"""Seconds that launching costs: a sweep of tiny jobs, and the same fits with joblib.

Every sweep is a process of its own on a store of its own, whose features are stored beforehand.
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
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.results.result import PREDICTIONS, PROBE, RECORD

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "good", "bad", "film", "plot", "actor", "scene", "boring", "bright",
    "dull", "fine", "story", "cast", "music", "slow", "quick",
]  # fmt: skip
POOLINGS = ("cls", "pooler", "mean", "max")
PROBE_PHASES = ("fit", "score", "baseline")  # phases of a run that are the probe's own


def measure(jobs: int, fits: int, workers: int) -> dict[str, dict[str, Any]]:
    """Return the figures of `measure_jobs` and, if there are fits, of `measure_workers`."""
    with tempfile.TemporaryDirectory(prefix="launching-") as folder:
        figures = {"jobs": measure_jobs(Path(folder), jobs)} if jobs else {}
        return figures | ({"workers": measure_workers(Path(folder), fits, workers)} if fits else {})


def lines(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Return the figures as lines for the terminal."""
    text = []
    if found := figures.get("jobs"):
        text.append(
            f"{found['jobs']} jobs in {found['wall']:.1f} s, of which the probes' own {found['own']:.1f} s: "
            f"{found['overhead']:.3f} s a job beside"
        )
    if found := figures.get("workers"):
        text.append(
            f"{found['fits']} fits: basic {found['basic']:.1f} s, joblib with {found['workers']} workers "
            f"{found['joblib']:.1f} s, {found['ratio']:.2f} times as fast; "
            f"records {'the same' if found['same_records'] else 'DIFFER'}"
        )
    return text


def measure_jobs(folder: Path, number: int) -> dict[str, Any]:
    """Return the wall seconds of a sweep of tiny jobs with the basic launcher, and how many are the probes' own.

    The runs are tracked by W&B offline. Imports and the start of W&B are included.
    """
    for name, rows in (("train", 200), ("test", 100)):
        write_rows(folder / f"{name}.csv", rows)
    files = ["dataset=files", f"dataset.train={folder / 'train.csv'}", f"dataset.test={folder / 'test.csv'}"]
    sweep(folder / "filled", folder / "store", *files)
    wall = sweep(folder / "jobs", folder / "store", *files, *_overrides(number))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / "jobs").glob(f"*/{RECORD}")]
    own = sum(record["timing"][phase] for record in records for phase in PROBE_PHASES)
    return {"jobs": len(records), "wall": wall, "own": own, "overhead": (wall - own) / len(records)}


def measure_workers(folder: Path, number: int, workers: int) -> dict[str, Any]:
    """Return the wall seconds of the same fits with the basic launcher and with joblib; say whether records agree."""
    data = ["dataset=demo_sentiment", "draws=10", "tracker=none"]
    sweep(folder / "filled", folder / "features", *data)
    shutil.rmtree(folder / "features" / "records")
    seconds = {}
    for launcher, more in (("basic", []), ("joblib", [f"hydra.launcher.n_jobs={workers}"])):
        store = folder / f"features-{launcher}"
        shutil.copytree(folder / "features", store)
        seconds[launcher] = sweep(
            folder / launcher, store, *data, *_overrides(number), f"hydra/launcher={launcher}", *more
        )
    done = sorted(path.parent.name for path in (folder / "basic").glob(f"*/{RECORD}"))
    same = all(stable_files(folder / "basic" / job) == stable_files(folder / "joblib" / job) for job in done)
    ratio = seconds["basic"] / seconds["joblib"]
    return {"fits": len(done), "workers": workers, **seconds, "ratio": ratio, "same_records": same}


def _overrides(number: int) -> list[str]:
    """Return overrides that give at least this number of jobs."""
    return [f"pooling={','.join(POOLINGS)}", f"seed=range(1,{1 + -(-number // len(POOLINGS))})"]


def stable_files(folder: Path) -> tuple[dict[str, Any], bytes, bytes]:
    """Return a job's record without timing and provenance, and the files of its predictions and its probe."""
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    del content["timing"], content["provenance"]
    return content, (folder / PREDICTIONS).read_bytes(), (folder / PROBE).read_bytes()


def sweep(folder: Path, store: Path, *overrides: str) -> float:
    """Run a sweep in a process of its own and return its wall seconds.

    Raises
    ------
    UserError
        A job failed.
    """
    settings = [f"hydra.sweep.dir={folder}", f"runtime.cache_dir={store}", "runtime.progress=false"]
    environment = {**os.environ, "WANDB_MODE": "offline"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "src.run", "-m", *overrides, *settings],
        cwd=ROOT, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise UserError(f"the sweep ended with status {done.returncode}: {reason}")
    return time.perf_counter() - began


def write_rows(path: Path, rows: int) -> None:
    """Write sentences of a few words, labelled by three of them."""
    generator = random.Random(rows)
    sentences = [[generator.choice(WORDS) for _ in range(generator.randint(3, 9))] for _ in range(rows)]
    labels = ["pos" if {"good", "fine", "bright"} & set(sentence) else "neg" for sentence in sentences]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows((" ".join(sentence), label) for sentence, label in zip(sentences, labels, strict=True))

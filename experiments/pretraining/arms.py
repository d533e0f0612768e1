"""Pre-training arms that differ in their objective alone: ``python -m experiments.pretraining.arms text=FOLDER output=FOLDER [study=nsp]``.

``study=nsp`` trains the embedded model's shape from fresh weights; ``study=continued model.path=FOLDER`` goes on from a BERT checkpoint.
Seeds share initial weights, masks and the order of rows between the arms of a study. Trainings of one thread each run side by side
(``jobs``); the same command goes on after a kill and leaves alone what is complete. docs/protocol.md says what the arms are to decide.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.cli import ModelPath, at_least, command, required
from src.cli.messages import print_text
from src.errors import UserError
from src.runtime.provenance import cores

ARMS = {
    "mlm": ("schedule.objective=mlm",),
    "nsp_other_document": ("schedule.objective=mlm_nsp", "schedule.negatives=other_document"),
    "nsp_same_document": ("schedule.objective=mlm_nsp", "schedule.negatives=same_document"),
}
PACE = ("pace.workers=1", "pace.threads=1", "pace.device=cpu", "pace.save=100", "pace.progress=false", "tracker=none")


@dataclass(frozen=True)
class Study:
    """Trainings that are compared: their arms and seeds, and what they share."""

    arms: tuple[str, ...]
    seeds: int
    steps: int
    shared: tuple[str, ...]
    continued: bool  # from a checkpoint, not from fresh weights


STUDIES = {
    "nsp": Study(
        ("mlm", "nsp_other_document", "nsp_same_document"), 5, 3000,
        ("schedule.warmup=300", "schedule.decay=2700", "schedule.dtype=float32"), False,
    ),
    "continued": Study(
        ("mlm", "nsp_other_document"), 2, 2000,
        (
            "schedule.warmup=100", "schedule.decay=2000", "schedule.rate=3e-4", "schedule.lengths={64:0,128:1,256:0}",
            "schedule.dtype=bfloat16",
        ), True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("a folder of .txt files, a document each")
    output: str = required("the folder that gets a folder for each arm and seed")
    study: Literal["nsp", "continued"] = "nsp"
    model: ModelPath = ModelPath()
    seeds: int | None = at_least(1, None)
    jobs: int | None = at_least(1, None)


@command(Options)
def main(options: Options) -> None:
    """Train the missing arms and seeds of a study."""
    study = STUDIES[options.study]
    if study.continued != (options.model.path is not None):
        way = (
            "needs the checkpoint to go on from: model.path=FOLDER"
            if study.continued
            else "begins with fresh weights: leave it out"
        )
        raise UserError(f"model.path={options.model.path}: study={options.study} {way}.")
    jobs = options.jobs or cores()
    failed = train(
        study, Path(options.text), Path(options.output), options.model.path, options.seeds or study.seeds, int(jobs)
    )
    if failed:
        raise UserError(
            f"{len(failed)} trainings failed: {', '.join(failed)}. Their log.txt says why; the same command goes on."
        )


def train(study: Study, text: Path, output: Path, start: str | None, seeds: int, jobs: int) -> list[str]:
    """Run the trainings of a study that are not complete, `jobs` at a time, seed by seed.

    Returns
    -------
    list of str
        Names of the trainings that failed.
    """
    waiting = [(arm, seed) for seed in range(seeds) for arm in study.arms]
    waiting = [(arm, seed) for arm, seed in waiting if completed(output / f"{arm}-{seed}") < study.steps]
    running: dict[str, subprocess.Popen[bytes]] = {}
    failed = []
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
    )  # so that no training outlives this process
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                arm, seed = waiting.pop(0)
                name = f"{arm}-{seed}"
                running[name] = begin(study, arm, seed, text, output, start)
                print_text(f"{time.strftime('%H:%M')} begins: {name}, {len(waiting)} waiting")
            time.sleep(0.2)
            for name, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                if process.returncode:
                    failed.append(name)
                print_text(f"{time.strftime('%H:%M')} {'failed' if process.returncode else 'complete'}: {name}")
    finally:
        for process in running.values():
            process.terminate()
    return failed


def begin(study: Study, arm: str, seed: int, text: Path, output: Path, start: str | None) -> subprocess.Popen[bytes]:
    """Start one training, or go on with it; what it prints is added to its log.txt."""
    folder = output / f"{arm}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    words = [
        f'text="{text}"', f'output="{folder}"', f'pace.prepared="{output / "prepared"}"', f"schedule.seed={seed}",
        f"schedule.steps={study.steps}", *study.shared, *ARMS[arm], *PACE,
    ]  # fmt: skip
    if start is not None:
        words.append(f'model.path="{start}"')
    # Steps mask different numbers of pieces: kept for each number that came, oneDNN's compiled products fill gigabytes.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.pretrain", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def completed(folder: Path) -> int:
    """Steps of a training that is complete, 0 where it is not."""
    if not (folder / "model.safetensors").is_file() or not (folder / "training.csv").is_file():
        return 0
    with (folder / "training.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return int(rows[-1]["step"]) if rows else 0


if __name__ == "__main__":
    main()

"""Pre-train arms that differ in their objective alone.

``python -m experiments.pretraining.arms text=FOLDER output=FOLDER [study=nsp]``

``study=nsp`` trains the embedded model's shape from fresh weights; ``study=continued
model.path=FOLDER`` continues from a BERT checkpoint. In a study, arms of one seed share initial
weights, masks and the order of rows. Trainings of one thread each run side by side, `jobs` at a
time. After an interruption, the same command continues and skips complete trainings.
docs/protocol.md states which question the arms answer.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from experiments.cli import ModelPath, at_least, command, required
from experiments.files import make_folder
from src.cli.messages import print_text
from src.config.schema import ModelConfig
from src.errors import UserError, flatten
from src.models.finding import find_checkpoint
from src.runtime.provenance import cores

ARMS = {
    "mlm": ("schedule.objective=mlm",),
    "nsp_other_document": ("schedule.objective=mlm_nsp", "schedule.negatives=other_document"),
    "nsp_same_document": ("schedule.objective=mlm_nsp", "schedule.negatives=same_document"),
}
PACE = ("pace.workers=1", "pace.threads=1", "pace.device=cpu", "pace.save=100", "pace.progress=false", "tracker=none")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # In bfloat16, each number of masked pieces compiles its own oneDNN product; all of them would
    # fill gigabytes.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
    # Large tensors keep their memory from step to step, in large pages, rather than get new pages.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=67108864"
    ":glibc.malloc.trim_threshold=4294967296",
}
PREPARED = "prepared"  # folder of the tokenised text
LOGGED = ("step", "tokens", "seconds", "nsp_accuracy", "mlm_accuracy")  # of training.csv; empty if not measured
POLL_INTERVAL = 0.2  # seconds


@dataclass(frozen=True)
class Study:
    """Describes trainings that are compared.

    Attributes
    ----------
    arms : names of `ARMS`
    seeds, steps : int
        Of every arm.
    shared : overrides of every arm
    continued : bool
        Whether the trainings begin with a checkpoint.
    """

    arms: tuple[str, ...]
    seeds: int
    steps: int
    shared: tuple[str, ...]
    continued: bool


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
    first: int = at_least(0, 0)  # seed that is trained first: those before it were trained elsewhere
    seeds: int | None = at_least(1, None)  # how many; unset: the study's
    jobs: int | None = at_least(1, None)  # trainings at a time; unset: the cores


@dataclass(frozen=True)
class Arm:
    """One training of a study."""

    study: Study
    name: str
    seed: int
    output: Path  # of the study

    @property
    def label(self) -> str:
        """Name of the training's folder."""
        return f"{self.name}-{self.seed}"

    @property
    def folder(self) -> Path:
        """The training's output."""
        return self.output / self.label

    def is_complete(self) -> bool:
        """Return whether the checkpoint of the last step is there."""
        log = self.folder / "training.csv"
        if not (self.folder / "model.safetensors").is_file() or not log.is_file():
            return False
        try:
            with log.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            numbers = [float(row[name] or 0) for row in rows for name in LOGGED]
            return bool(numbers) and int(rows[-1]["step"]) >= self.study.steps
        except (KeyError, TypeError, ValueError, csv.Error):  # a damaged log: the state says where to continue
            return False

    def check_study(self, weights: Mapping[str, str] | None = None) -> None:
        """Refuse a folder whose training is one of another study, or began with another checkpoint.

        Parameters
        ----------
        weights : mapping of str to str, optional
            Digests of the checkpoint's files, to compare.

        Raises
        ------
        UserError
            The training began with a checkpoint and the study's do not, or the reverse; it began with
            another checkpoint; or its state is damaged.
        """
        if not (self.folder / "state.safetensors").is_file():
            return
        identity, way = read_identity(self), "Name another folder for this one."
        if ("shape" if self.study.continued else "weights") in identity:
            raise UserError(f"{self.folder} holds a training of another study. {way}")
        if weights is not None and identity.get("weights") != weights:
            raise UserError(f"{self.folder} holds a training that began with another checkpoint. {way}")


def read_identity(arm: Arm) -> dict[str, Any]:
    """Return the identity that the state of a training holds.

    Raises
    ------
    UserError
        The state is missing or damaged.
    """
    path = arm.folder / "state.safetensors"
    try:
        with safe_open(path, "np") as file:
            identity = check_identity(json.loads(file.metadata()["facts"])["identity"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {flatten(error, 120)}. Train {arm.label} again.") from error
    return identity


def check_text(text: Path, output: Path) -> None:
    """Refuse a text that is not the one on which the trainings of a folder began.

    Raises
    ------
    UserError
        The folder holds another prepared text.
    """
    from experiments.pretraining.corpus import prepared_texts, read_texts, text_digests

    found = prepared_texts(output / PREPARED)
    if found and text_digests(read_texts(text)) not in found:
        raise UserError(
            f"output={output} holds trainings on another text than text={text}. Name another folder for these."
        )


def check_identity(identity: Any) -> dict[str, Any]:
    """Return a training's identity; ValueError if it is none."""
    if not isinstance(identity, dict) or not isinstance(identity.get("schedule"), dict):
        raise ValueError("the identity is no object with a schedule")
    return identity


@command(Options)
def main(options: Options) -> None:
    """Train the missing arms and seeds of a study."""
    study = STUDIES[options.study]
    if study.continued != (options.model.path is not None):
        way = "needs a checkpoint: model.path=FOLDER" if study.continued else "begins with fresh weights: leave it out"
        raise UserError(f"model.path={options.model.path}: study={options.study} {way}.")
    seeds = range(options.first, options.first + options.seeds if options.seeds else study.seeds)
    if not seeds:
        raise UserError(f"first={options.first}: study={options.study} has the seeds 0 to {study.seeds - 1}.")
    arms = [Arm(study, name, seed, Path(options.output)) for seed in seeds for name in study.arms]
    for arm in arms:
        arm.check_study()
    missing = [arm for arm in arms if not arm.is_complete()]
    has_text = any(Path(options.text).rglob("*.txt"))
    if missing and not has_text:
        raise UserError(f"text={options.text}: there is no folder of .txt files. Name one, a document each.")
    if has_text:
        check_text(Path(options.text), Path(options.output))
    if options.model.path is not None:
        weights = find_checkpoint(ModelConfig(path=options.model.path)).weights
        for arm in arms:
            arm.check_study(weights)
    failed = train(missing, Path(options.text), options.model.path, options.jobs or cores())
    if failed:
        raise UserError(
            f"{len(failed)} trainings failed: {', '.join(failed)}. Their log.txt says why. "
            "Run the same command again to continue them."
        )


def train(arms: list[Arm], text: Path, start: str | None, jobs: int) -> list[str]:
    """Run the trainings, `jobs` at a time, and return the labels of those that failed."""
    waiting = list(arms)
    running: dict[str, subprocess.Popen[bytes]] = {}
    failed = []
    # An exception ends the trainings below, so that none runs on without this process.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                arm = waiting.pop(0)
                running[arm.label] = start_training(arm, text, start)
                print_text(f"{time.strftime('%H:%M')} begins: {arm.label}, {len(waiting)} waiting")
            time.sleep(POLL_INTERVAL)
            for label, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[label]
                if process.returncode:
                    failed.append(label)
                print_text(f"{time.strftime('%H:%M')} {'failed' if process.returncode else 'complete'}: {label}")
    finally:
        for process in running.values():
            process.terminate()
    return failed


def start_training(arm: Arm, text: Path, start: str | None) -> subprocess.Popen[bytes]:
    """Start a training, or continue it; its output is appended to its log.txt."""
    make_folder(arm.folder)
    overrides = [
        f'text="{text}"', f'output="{arm.folder}"', f'pace.prepared="{arm.output / PREPARED}"',
        f"schedule.seed={arm.seed}", f"schedule.steps={arm.study.steps}", *arm.study.shared, *ARMS[arm.name], *PACE,
    ]  # fmt: skip
    if start is not None:
        overrides.append(f'model.path="{start}"')
    environment = {**os.environ, **ENVIRONMENT}
    arguments = [sys.executable, "-m", "experiments.pretrain", *overrides]
    with (arm.folder / "log.txt").open("ab") as log:
        return subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


if __name__ == "__main__":
    main()

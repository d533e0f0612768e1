"""Seconds of whole commands: ``--help``, a first run, and a second pooling from the store.

Each is a process of its own. The runs are on a store of their own, with imports and the probe.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.configurations import dataset_config
from src.data.dataset import Split
from src.data.loading import load_dataset
from src.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5  # of --help
FIRST, SECOND = "mean", "cls"


@dataclass(frozen=True)
class Figures:
    """Holds wall seconds of commands.

    Attributes
    ----------
    help : list of float
        Of ``python -m src.run --help``, by round.
    rows : int
        Training rows of the runs; None: they were left out.
    first, second : float or None
        Of a run that encodes SST-2, and of another pooling from the store.
    """

    help: list[float]
    rows: int | None = None
    first: float | None = None
    second: float | None = None

    @property
    def ratio(self) -> float | None:
        """Seconds of the second run by those of the first."""
        return None if self.first is None or self.second is None else self.second / self.first

    def record(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {**asdict(self), "ratio": self.ratio}

    def lines(self) -> str:
        """Return the figures as they are printed."""
        line = f"python -m src.run --help: {statistics.median(self.help):.2f} s"
        if self.ratio is None:
            return line
        runs = f"a run on {self.rows:,} rows of SST-2 {self.first:.1f} s, pooling={SECOND} from the store"
        return f"{line}\n{runs} {self.second:.1f} s, ratio {self.ratio:.2f}"


def run(data_root: str | None, model: str | None, rows: int | None) -> Figures:
    """Time the commands, and print the figures.

    Parameters
    ----------
    data_root, model : str or None
        Folders of the data and of the checkpoint; None: time ``--help`` alone.
    rows : int or None
        First training rows of SST-2; None: all, 0: time ``--help`` alone.
    """
    helped = [timed("--help") for _ in range(ROUNDS)]
    if data_root is None or model is None or rows == 0:
        figures = Figures(helped)
    else:
        data = load_dataset(dataset_config("sst2"), data_root)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_split(folder / "train.csv", data.train, data.classes, rows)
            write_split(folder / "test.csv", data.test, data.classes, rows)
            settings = [
                "dataset=files", f"dataset.train={folder / 'train.csv'}", f"dataset.test={folder / 'test.csv'}",
                "model=checkpoint", f"model.path={Path(model).resolve()}", "tracker=none", "runtime.progress=false",
                f"runtime.cache_dir={folder / 'store'}", f"hydra.run.dir={folder / 'run'}",
            ]  # fmt: skip
            first, second = (timed(*settings, f"pooling={pooling}") for pooling in (FIRST, SECOND))
        figures = Figures(helped, min(len(data.train), rows or len(data.train)), first, second)
    print(figures.lines(), flush=True)
    return figures


def timed(*arguments: str) -> float:
    """Return the wall seconds of ``python -m src.run`` with arguments.

    Raises
    ------
    UserError
        The command failed.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "src.run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise UserError(f"the run ended with status {done.returncode}: {reason}")
    return time.perf_counter() - began


def write_split(path: Path, split: Split, classes: tuple[str, ...], rows: int | None) -> None:
    """Write the first rows of a split as a CSV file with the columns text and label."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for text, label in zip(split.text.slice(0, rows).to_pylist(), split.label[:rows].tolist(), strict=True):
            writer.writerow((text, classes[label]))

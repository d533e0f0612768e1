"""The harness of the checks: a model, sentences and the commands that read them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.stress.model import WORDS, make_model, vocabulary
from tests.stress.processes import RunningCommand, succeeded

ROOT = Path(__file__).resolve().parents[2]


class Harness:
    """Runs commands on a model and sentences in a folder, and reports checks.

    Parameters
    ----------
    folder : Path
        Empty folder for everything.
    seed : int
        Of `rng`, which draws moments and bytes.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.model = make_model(folder / "model")
        self.failures = 0
        self._started = 0

    def sentences(self, rows: int) -> Path:
        """Return a CSV file of sentences of about ten words with labels of two classes.

        Equal counts give equal rows.
        """
        path = self.folder / f"{rows}.csv"
        if not path.exists():
            rng = np.random.default_rng(rows)
            words = np.array(vocabulary()[5:])
            with path.open("w", encoding="utf-8") as file:
                file.write("text,label\n")
                for length, label in zip(rng.integers(4, 17, rows), rng.integers(0, 2, rows), strict=True):
                    file.write(f"{' '.join(words[rng.integers(0, WORDS, length)])},{label}\n")
        return path

    def new_folder(self, name: str) -> Path:
        """Remove a folder and return its path."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def start(self, module: str, store: Path, *overrides: str) -> RunningCommand:
        """Start ``python -m src.MODULE`` on a store."""
        self._started += 1
        log = self.folder / f"command-{self._started}"
        command = [
            sys.executable, "-m", f"src.{module}", "dataset=files", f"model.path={self.model}", "tracker=none",
            f"runtime.cache_dir={store}", f"hydra.run.dir={log}", *overrides,
        ]  # fmt: skip
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as error:
            return RunningCommand(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=error), log
            )

    def extract(self, rows: int, store: Path, output: Path, *overrides: str) -> RunningCommand:
        """Start an extraction of the sentences into `output`."""
        return self.start("extract", store, f"dataset.train={self.sentences(rows)}", f"output={output}", *overrides)

    def run(self, rows: int, store: Path, *overrides: str) -> RunningCommand:
        """Start a probe of the sentences; the test set has a tenth of the rows, or 1,000."""
        files = (f"dataset.train={self.sentences(rows)}", f"dataset.test={self.sentences(max(rows // 10, 1000))}")
        return self.start("run", store, *files, *overrides)

    def expected_digest(self, rows: int) -> str:
        """Return the digest of the features that an undisturbed extraction writes."""
        store, output = self.new_folder("store"), self.new_folder("whole")
        succeeded(self.extract(rows, store, output).wait())
        return features_digest(output)

    def report(self, name: str, good: bool, figures: str) -> None:
        """Print a check's line and count a failure."""
        self.failures += not good
        print(f"{name}: {figures}  {'ok' if good else 'FAILED'}", flush=True)


def features_digest(output: Path) -> str:
    """Return the SHA-256 of an extraction's features, or "no features"."""
    path = output / "train.safetensors"
    if not path.is_file():
        return "no features"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Predict new rows with the probe of a finished run.

usage: python -m src.predict record=RUN input=new.csv output=out.csv

The encoder, pooling, layer and pairing are the run's own. Rows are read, encoded and written in
blocks, in their order; their features are not stored. A run of probe=cosine gives the similarity of
the two texts of each row.
"""

from __future__ import annotations

import sys

if not __package__:  # python src/predict.py would put this folder's modules in the place of the standard library's
    sys.exit("error: call it as a module, from the folder that holds src/: python -m src.predict ...")

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.cli.arguments import command, described, required
from src.cli.messages import print_text
from src.cli.streams import configure_process
from src.results.result import RECORD


@dataclass(frozen=True)
class DatasetOptions:
    """Options that replace those of the run's dataset."""

    quoting: bool | None = described(None, "do double quotes quote; null: as the run, else in .csv")


@dataclass(frozen=True)
class ModelOptions:
    """Options that replace those of the run's model."""

    path: str | None = described(None, "the run's checkpoint at another place")
    config: str | None = described(None, "bert_config.json of model=google at another place")
    vocab: str | None = described(None, "vocab.txt of model=google at another place")


@dataclass(frozen=True)
class RuntimeOptions:
    """Options that replace those of the run's runtime."""

    device: str | None = described(None, "auto, cpu, cuda or mps; null: as the run")
    threads: int | None = described(None, "CPU threads; null: as the run")
    token_budget: int | None = described(None, "tokens of a batch; null: as the run")
    cache_dir: str | None = described(None, "folder of the store; null: as the run")
    progress: bool | None = described(None, "show a progress bar; null: as the run")


@dataclass(frozen=True)
class Options:
    """Options of a prediction."""

    record: str = required("the folder of the run whose probe predicts")
    input: str = required("the file of new rows: .csv, .tsv, .jsonl or .parquet; no labels are needed")
    output: str = required("the file of the predictions: .csv, .tsv, .jsonl or .parquet")
    text: str | None = described(None, "column of the text; null: the run's own")
    text_pair: str | None = described(None, "column of the second text; null: the run's own")
    dataset: DatasetOptions = DatasetOptions()
    model: ModelOptions = ModelOptions()
    runtime: RuntimeOptions = RuntimeOptions()

    def changes(self) -> dict[str, Any]:
        """Return the values that replace those of the run's configuration, by dotted key."""
        groups = {"dataset": self.dataset, "model": self.model, "runtime": self.runtime}
        given = {f"{name}.{key}": value for name, group in groups.items() for key, value in vars(group).items()}
        return {key: value for key, value in given.items() if value is not None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict what the command line asks for; exit with status 1 if that fails."""
    configure_process()
    predict_rows(arguments)


@command(Options, stopped="stopped. No output was written.")
def predict_rows(options: Options) -> None:
    """Predict the rows of a file."""
    from src.cli.stored_config import read_stored_config
    from src.pipeline.prediction import PredictionFiles, predict
    from src.pipeline.threads import resolved_threads

    folder = Path(options.record).expanduser()
    folder = folder.parent if folder.name == RECORD else folder
    config = read_stored_config(folder, options.changes())
    files = PredictionFiles(folder, options.input, options.output, options.text, options.text_pair)
    with resolved_threads(config) as resolved:
        predict(resolved, files, print_text)


if __name__ == "__main__":
    main()

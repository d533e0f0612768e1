"""Command ``python -m src.predict record=RUN input=FILE output=FILE``: a run's probe on new rows."""

from __future__ import annotations

import sys

if not __package__:  # python src/predict.py would put this folder's modules in the place of the standard library's
    sys.exit("error: call it as a module, from the folder that holds src/: python -m src.predict ...")

from pathlib import Path

from src.cli.arguments import run_command
from src.cli.messages import print_text
from src.cli.stored_config import read_stored_config
from src.results.result import RECORD

REQUIRED = ("record", "input", "output")
KEYS = {
    "record": "folder of the run whose probe predicts",
    "input": "file of new rows: .csv, .tsv, .jsonl or .parquet; no labels are needed",
    "output": "file of the predictions: .csv, .tsv, .jsonl or .parquet",
    "text": "column of the text; unset: the run's own",
    "text_pair": "column of the second text; unset: the run's own",
    "dataset.quoting": "true or false: do double quotes quote; unset: as the run, else in .csv",
    "model.path": "the run's checkpoint at another place",
    "model.config": "bert_config.json of model=google at another place",
    "model.vocab": "vocab.txt of model=google at another place",
    "runtime.device": "auto, cpu, cuda or mps; unset: as the run",
    "runtime.threads": "CPU threads; unset: as the run",
    "runtime.token_budget": "tokens of a batch; unset: as the run",
    "runtime.cache_dir": "folder of the store; unset: as the run",
    "runtime.progress": "true or false: show a progress bar",
}
ABOUT = """Predict new rows with the probe of a finished run.

usage: python -m src.predict record=RUN input=new.csv output=out.csv

The encoder, pooling, layer and pairing are the run's own. Rows are read, encoded and written in
blocks, in their order; their features are not stored."""


def main() -> None:
    """Predict what the command line asks for; exit with status 1 if that fails."""
    run_command(task, KEYS, ABOUT, REQUIRED)


def task(arguments: dict[str, str]) -> None:
    """Predict the rows of a file."""
    from src.pipeline.prediction import PredictionFiles, predict
    from src.pipeline.threads import resolved_threads

    folder = Path(arguments["record"]).expanduser()
    folder = folder.parent if folder.name == RECORD else folder
    config = read_stored_config(folder, {key: value for key, value in arguments.items() if "." in key})
    files = PredictionFiles(
        folder,
        arguments["input"],
        arguments["output"],
        arguments.get("text") or None,
        arguments.get("text_pair") or None,
    )
    with resolved_threads(config) as resolved:
        predict(resolved, files, print_text)


if __name__ == "__main__":
    main()

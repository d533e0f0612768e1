"""Compare implementations of BERT on the same weights: ``python -m experiments.parity``.

All systems encode the same word pieces with the same weights. This suite reads the original
checkpoint, Hugging Face's BertModel its conversion. TensorFlow reads the checkpoint, the TF-Hub
module and the SavedModels.

`folder` has the layout of ``tests.helpers.tensorflow_fixtures``; the default is the small random
BERT of the tests. ``checkpoint=``, ``hub=`` and ``savedmodel=`` name other places, the latter two
also by URL. If TensorFlow is not installed, its recorded outputs (``outputs.safetensors``) are used
and are labelled as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.cli import command
from experiments.files import make_folder
from experiments.parity.comparison import compare
from experiments.parity.options import Options
from experiments.parity.systems import ACTIVATIONS
from src.cli.messages import print_text
from src.errors import UserError
from src.storage.files import read_json


@command(Options)
def main(options: Options) -> None:
    """Print the table, and add the record to `output` if it is set."""
    record = compare(options)
    if options.output:
        add_record(Path(options.output), record)
    print_text(format_table(record))


def format_table(record: Mapping[str, Any]) -> str:
    """Return the record as a table for a terminal."""
    shape = record["shape"]
    width = max(len(row["title"]) for row in record["systems"])
    lines = [
        f"{record['model']}: {shape['num_hidden_layers']} layers of {shape['hidden_size']}, "
        f"{record['sentences']} sentences, {record['tokens']} word pieces. Largest absolute differences",
        f"from {record['reference']} in sequence_output and pooled_output; from tanh(W sequence_output[:,0] + b); "
        "and of pooled_output from sequence_output[:,0].",
        "",
        f"{'system':<{width}}  {'activation':<10} {'sequence':>9} {'pooled':>9} {'tanh(Wh+b)':>10} "
        f"{'pooled-cls':>10} {'corr.':>6}  shapes",
    ]
    for row in record["systems"]:
        shapes = " ".join(str(tuple(each)) for each in row["shapes"].values())
        lines.append(
            f"{row['title']:<{width}}  {ACTIVATIONS[row['hidden_act']]:<10} {row['sequence_output']:9.1e} "
            f"{row['pooled_output']:9.1e} {row['pooler_formula']:10.1e} {row['pooled_against_cls']:10.2f} "
            f"{row['correlation_with_cls']:6.2f}  {shapes}"
        )
    if record["absent"]:
        lines += ["", "Not run here:", *(f"  {each['system']}: {each['bring']}" for each in record["absent"])]
    return "\n".join(lines)


def add_record(path: Path, record: dict[str, Any]) -> None:
    """Add the record to those of the file, one for each model."""
    try:
        records = read_json(path) if path.is_file() else {}
        records[record["model"]] = record
        make_folder(path.parent)
        path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"output={path} cannot be written: {error}. Name another file.") from error


if __name__ == "__main__":
    main()

"""The control with random weights: ``python -m experiments.fresh output=FOLDER [model.path=FOLDER] [seed=0]``.

Writes a checkpoint of the shape and tokenizer of another one (unless named, the embedded one), freshly initialised as before any training.
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.options import read
from src.cli.messages import exit_with_error, print_text
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.checkpoint import find
from src.models.encoder import load_tokenizer

DEFAULTS = {"output": None, "model": {"path": "embedded:bert-books"}, "seed": 0}


def main(arguments: list[str]) -> None:
    """Write the folder; bad input ends with a line and status 1."""
    try:
        options = read(DEFAULTS, arguments, __doc__)
        if not options.output:
            raise UserError("output is not set. Name the folder that the checkpoint goes into: output=FOLDER.")
        write(Path(options.output), str(options.model.path), int(options.seed))
    except UserError as error:
        exit_with_error(str(error))
    print_text(f"random weights: model=checkpoint model.path={options.output}")


def write(output: Path, path: str, seed: int) -> None:
    """Draw weights from a seed and write them with the configuration and tokenizer of `path`."""
    import torch
    from transformers import AutoConfig, AutoModel

    given = find(ModelConfig(path=path))
    torch.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.from_pretrained(given.view()))
    try:
        torch.nn.Module.to(model, torch.float32)
        model.save_pretrained(output)
        load_tokenizer(given).save_pretrained(output)
    except OSError as error:
        raise UserError(
            f"output={output} cannot be written: {error.strerror or error}. Name another folder."
        ) from error


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write a checkpoint with random weights, as a control.

``python -m experiments.studies.random_weights output=FOLDER [model.path=FOLDER] [seed=0]``

Its shape and tokenizer are those of another checkpoint, by default the embedded one; its weights
are initialised as before any training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.cli import ModelPath, command, required
from experiments.files import writing
from src.cli.messages import print_text
from src.config.schema import ModelConfig
from src.models.finding import find_checkpoint
from src.models.restricted_folder import restricted_folder
from src.models.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = required("the folder that the checkpoint goes into")
    model: ModelPath = ModelPath("embedded:bert-books")
    seed: int = 0


@command(Options)
def main(options: Options) -> None:
    """Write the folder."""
    write(Path(options.output), str(options.model.path), options.seed)
    print_text(f"random weights: model=checkpoint model.path={options.output}")


def write(output: Path, path: str, seed: int) -> None:
    """Draw weights from a seed and write them with the configuration and tokenizer of `path`."""
    import torch
    from transformers import AutoConfig, AutoModel

    given = find_checkpoint(ModelConfig(path=path))
    torch.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.from_pretrained(restricted_folder(given)))
    torch.nn.Module.to(model, torch.float32)
    with writing(output):
        model.save_pretrained(output)
        load_tokenizer(given).save_pretrained(output)


if __name__ == "__main__":
    main()

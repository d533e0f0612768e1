"""An original TensorFlow BERT as a Hugging Face folder: ``python -m experiments.convert model=google model.path=FOLDER output=DIR``.

``model.config=``, ``model.vocab=``, ``model.hidden_act=`` and ``model.do_lower_case=`` are those of `model=google`. The folder holds
float32 safetensors, with the heads for masked words and the next sentence where the checkpoint has them, config.json and the tokenizer:
features come out bit by bit the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.cli import ModelPath, command, read_options, required
from src.cli.messages import print_text
from src.cli.validation import check_model
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models import finding
from src.models.loading import load_model
from src.models.tokenizer import load_tokenizer

WORD = "model=google"  # said as at the other doors; there is nothing else to convert


@dataclass(frozen=True)
class CheckpointFiles(ModelPath):
    """Options of the checkpoint, those of `model=google`."""

    config: str | None = None
    vocab: str | None = None
    hidden_act: str | None = None
    do_lower_case: bool | None = None


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = required("the folder that the checkpoint goes into")
    model: CheckpointFiles = CheckpointFiles()


def _read(arguments: list[str], about: str) -> Options:
    for word in arguments:
        if word.startswith("model=") and word != WORD:
            raise UserError(f"{word}: only original TensorFlow checkpoints are converted, {WORD} model.path=FOLDER.")
    return read_options(Options, [word for word in arguments if word != WORD], about)


@command(_read)
def main(options: Options) -> None:
    """Write the folder."""
    model = ModelConfig(format="tensorflow", **asdict(options.model))
    check_model(model)
    activation = write(Path(options.output), model)
    print_text(f"{activation}\nconverted: model=checkpoint model.path={options.output}")


def write(output: Path, model: ModelConfig) -> str:
    """Write the Hugging Face folder of an original checkpoint; returns what is to be said of its activation."""
    given = finding.find_checkpoint(model)
    original = given.original
    assert original is not None
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"output={output} is not empty. Name a new folder.")
    heads = original.parameters(heads=True)
    encoder, info = load_model(given)
    if info["missing_keys"]:
        encoder.pooler = None  # a random one in its place would pass for the checkpoint's
    whole = _with_heads(encoder, heads)
    try:
        whole.save_pretrained(output)
        load_tokenizer(given).save_pretrained(output)
    except OSError as error:
        raise UserError(
            f"output={output} cannot be written: {error.strerror or error}. Name another folder."
        ) from error
    return str(original.evidence(whole.config.hidden_act)["activation"])


def _with_heads(encoder: Any, heads: dict[str, Any]) -> Any:
    """The encoder inside of the model that has just the heads there are, or alone."""
    import torch
    import transformers

    kinds = {"cls.seq_relationship.": "BertForNextSentencePrediction", "cls.predictions.": "BertForMaskedLM"}
    there = [head for head in kinds if any(name.startswith(head) for name in heads)]
    if not there or (encoder.pooler is None and there != ["cls.predictions."]):
        return encoder
    kind = "BertForPreTraining" if len(there) == len(kinds) else kinds[there[0]]
    whole = getattr(transformers, kind)(encoder.config)
    whole.bert = encoder
    own = dict(whole.named_parameters())
    with torch.no_grad():
        for name, values in heads.items():
            own[name].copy_(values)
    whole.tie_weights()
    return whole.eval()


if __name__ == "__main__":
    main()

"""Convert an original TensorFlow BERT to a Hugging Face folder.

``python -m experiments.convert model=google model.path=FOLDER output=DIR``

``model.config=``, ``model.vocab=``, ``model.hidden_act=`` and ``model.do_lower_case=`` are those of
`model=google`. The folder holds float32 safetensors, config.json and the tokenizer; heads for
masked words and the next sentence are included if the checkpoint has them. Features are the same to
the bit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.cli import ModelPath, command, read_options, required
from experiments.files import writing
from src.cli.messages import print_text
from src.cli.validation import check_model
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.finding import find_checkpoint
from src.models.loading import load_model
from src.models.tokenizer import load_tokenizer

OVERRIDE = "model=google"  # accepted as in src.run; no other model can be converted


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


def read(arguments: list[str], about: str) -> Options:
    """Return the options; raise UserError for a model that cannot be converted."""
    for word in arguments:
        if word.startswith("model=") and word != OVERRIDE:
            raise UserError(
                f"{word}: only original TensorFlow checkpoints are converted, {OVERRIDE} model.path=FOLDER."
            )
    return read_options(Options, [word for word in arguments if word != OVERRIDE], about)


@command(read)
def main(options: Options) -> None:
    """Write the folder and print how its activation was determined."""
    model = ModelConfig(format="tensorflow", **asdict(options.model))
    check_model(model)
    activation = write(Path(options.output), model)
    print_text(f"{activation}\nconverted: model=checkpoint model.path={options.output}")


def write(output: Path, model: ModelConfig) -> str:
    """Write the Hugging Face folder of a checkpoint and return the evidence of its activation.

    Raises
    ------
    UserError
        The folder is not empty or cannot be written.
    """
    given = find_checkpoint(model)
    original = given.original
    assert original is not None
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"output={output} is not empty. Name a new folder.")
    heads = original.parameters(heads=True)
    encoder, info = load_model(given)
    if info["missing_keys"]:
        encoder.pooler = None  # the random one would look like the checkpoint's
    whole = _with_heads(encoder, heads)
    with writing(output):
        whole.save_pretrained(output)
        load_tokenizer(given).save_pretrained(output)
    return str(original.evidence(whole.config.hidden_act)["activation"])


def _with_heads(encoder: Any, heads: dict[str, Any]) -> Any:
    """Return a model with the encoder and the checkpoint's heads, or the encoder alone."""
    import torch
    import transformers

    kinds = {"cls.seq_relationship.": "BertForNextSentencePrediction", "cls.predictions.": "BertForMaskedLM"}
    present = [head for head in kinds if any(name.startswith(head) for name in heads)]
    if not present or (encoder.pooler is None and present != ["cls.predictions."]):
        return encoder
    kind = "BertForPreTraining" if len(present) == len(kinds) else kinds[present[0]]
    model = getattr(transformers, kind)(encoder.config)
    model.bert = encoder
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, values in heads.items():
            parameters[name].copy_(values)
    model.tie_weights()
    return model.eval()


if __name__ == "__main__":
    main()

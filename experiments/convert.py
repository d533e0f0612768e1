"""An original TensorFlow BERT as a Hugging Face folder: ``python -m experiments.convert model=google model.path=FOLDER output=DIR``.

``model.config=``, ``model.vocab=``, ``model.hidden_act=`` and ``model.do_lower_case=`` are those of `model=google`. The folder holds
float32 safetensors, with the heads for masked words and the next sentence where the checkpoint has them, config.json and the tokenizer:
features come out bit by bit the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from experiments.options import read
from src.cli.messages import exit_with_error, print_text
from src.cli.validation import check_model
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models import checkpoint
from src.models.encoder import load_model, load_tokenizer

DEFAULTS = {
    "model": {"path": None, "config": None, "vocab": None, "hidden_act": None, "do_lower_case": None}, "output": None,
}  # fmt: skip
WORD = "model=google"  # said as at the other doors; there is nothing else to convert


def main(arguments: list[str]) -> None:
    """Write the folder; bad input ends with a line and status 1."""
    try:
        for word in arguments:
            if word.startswith("model=") and word != WORD:
                raise UserError(
                    f"{word}: only original TensorFlow checkpoints are converted, {WORD} model.path=FOLDER."
                )
        options = read(DEFAULTS, [word for word in arguments if word != WORD], __doc__)
        if not options.output:
            raise UserError("output is not set. Name the folder that the checkpoint goes into: output=DIR.")
        model = ModelConfig(format="tensorflow", **options.model)
        check_model(model)
        activation = write(Path(options.output), model)
    except UserError as error:
        exit_with_error(str(error))
    print_text(f"{activation}\nconverted: model=checkpoint model.path={options.output}")


def write(output: Path, model: ModelConfig) -> str:
    """Write the Hugging Face folder of an original checkpoint; returns what is to be said of its activation."""
    given = checkpoint.find(model)
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
    main(sys.argv[1:])

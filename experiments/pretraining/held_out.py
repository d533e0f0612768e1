"""Measure a checkpoint on held-out text.

``python -m experiments.pretraining.held_out text=FOLDER [model.path=FOLDER] [rows=4096]``

Measures masked language modelling and next-sentence prediction on the last part of every document,
which pre-training holds out, and the pooler's spectrum. Without ``model.path`` it measures the
embedded model. ``held_out=1`` takes whole documents, for text that was never trained on.
``negatives=same_document`` takes second segments that do not follow from the same document.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.cli import ModelPath, at_least, command, required
from experiments.files import make_folder, write_json
from src.cli.messages import print_text
from src.errors import UserError


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("the folder of .txt files that the model was trained on")
    model: ModelPath = ModelPath("embedded:bert-books")
    held_out: float = 0.02  # last part of every document
    rows: int = at_least(16, 4096)
    lengths: tuple[int, ...] = (64, 128, 256)  # word pieces a row
    negatives: Literal["other_document", "same_document"] = "other_document"
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the figures, and write them to `output` as JSON if it is set."""
    if options.output:
        make_folder(Path(options.output).parent)
    figures = measure(options)
    for length, found in figures["held_out"].items():
        low, high = found["nsp_interval"]
        print_text(
            f"{length:>4} word pieces a row: next sentence {found['nsp_accuracy']:.3f} [{low:.3f}, {high:.3f}], "
            f"masked pieces {found['mlm_accuracy']:.3f}, perplexity {found['mlm_perplexity']:.1f}"
        )
    pooler = figures["pooler"]
    evidence = ", ".join(f"{key} {value}" for key, value in pooler.items() if key != "status")
    print_text(f"pooler: {pooler['status']}; {evidence}")
    if options.output:
        write_json(Path(options.output), figures)


def measure(options: Options) -> dict[str, Any]:
    """Return held-out figures by row length and the pooler's evidence.

    Next-sentence accuracy has a 95 % Wilson interval.

    Raises
    ------
    UserError
        The checkpoint lacks one of BERT's heads, the text cannot be read, or an option is out of its range.
    """
    from transformers import BertForPreTraining

    from experiments.pretraining.corpus import check_share, encode, read_texts, split_held_out
    from experiments.pretraining.evaluation import evaluate
    from experiments.pretraining.examples import Examples, Vocabulary
    from experiments.pretraining.validation import SHORTEST_ROW
    from src.config.schema import ModelConfig
    from src.evaluation.proportions import wilson
    from src.models.encoder import Encoder
    from src.models.finding import find_checkpoint
    from src.models.options import EncodingOptions
    from src.models.restricted_folder import restricted_folder
    from src.models.tokenizer import load_tokenizer
    from src.runtime.devices import device_kind

    check_share(options.held_out)
    given = find_checkpoint(ModelConfig(path=str(options.model.path)))
    positions = int(given.config["max_position_embeddings"])
    if not options.lengths or min(options.lengths) < SHORTEST_ROW or max(options.lengths) > positions:
        raise UserError(
            f"lengths={','.join(map(str, options.lengths))}: rows of {SHORTEST_ROW} to {positions} word pieces are "
            f"allowed, as many as '{given.label}' has positions."
        )
    encoder = Encoder(given, EncodingOptions(device_kind("auto")))
    loaded: Any = BertForPreTraining.from_pretrained(
        restricted_folder(given), output_loading_info=True, local_files_only=True, dtype="float32"
    )
    heads, info = loaded
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise UserError(f"'{given.label}' lacks {missing}: name a checkpoint with both of BERT's heads.")
    _, tail = split_held_out(read_texts(Path(options.text)), options.held_out)
    tokenizer = load_tokenizer(given)
    examples = Examples(encode(tail, tokenizer), Vocabulary.of(tokenizer), options.negatives)
    found = {}
    for length in options.lengths:
        figures: dict[str, Any] = dict(evaluate(heads, examples, rows=options.rows, length=length, device="cpu"))
        figures["nsp_interval"] = wilson(round(figures["nsp_accuracy"] * options.rows), options.rows)
        found[str(length)] = figures
    return {
        "model": given.label,
        "weights": given.weights,
        "rows": options.rows,
        "negatives": options.negatives,
        "held_out": found,
        "pooler": encoder.info.pooler,
    }


if __name__ == "__main__":
    main()

"""What a checkpoint knows of held-out text: ``python -m experiments.pretraining.held_out text=FOLDER [model.path=FOLDER] [rows=4096]``.

Measures masked language modelling and next-sentence prediction on the last part of every document, as pre-training held it out, and the
pooler's spectrum. Without ``model.path`` it measures the embedded model. ``held_out=1`` takes whole documents, for text that was never
trained on; ``negatives=same_document`` takes the second segments that do not follow from the same document.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.cli import ModelPath, command, required
from src.cli.messages import print_text
from src.errors import UserError


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("the folder of .txt files that the model was trained on")
    model: ModelPath = ModelPath("embedded:bert-books")
    held_out: float = 0.02
    rows: int = 4096
    lengths: tuple[int, ...] = (64, 128, 256)
    negatives: Literal["other_document", "same_document"] = "other_document"
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the figures, and write them to `output` as JSON where it is set."""
    figures = measure(
        Path(options.text),
        str(options.model.path),
        options.held_out,
        options.rows,
        list(options.lengths),
        options.negatives,
    )
    for length, found in figures["held_out"].items():
        low, high = found["nsp_interval"]
        print_text(
            f"{length:>4} word pieces a row: next sentence {found['nsp_accuracy']:.3f} [{low:.3f}, {high:.3f}], "
            f"masked pieces {found['mlm_accuracy']:.3f}, perplexity {found['mlm_perplexity']:.1f}"
        )
    pooler = figures["pooler"]
    print_text(
        f"pooler: {pooler['status']}; "
        + ", ".join(f"{key} {value}" for key, value in pooler.items() if key != "status")
    )
    if options.output:
        Path(options.output).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(
    text: Path, path: str, held_out: float, rows: int, lengths: list[int], negatives: str = "other_document"
) -> dict[str, Any]:
    """Held-out figures by row length, with a 95 % Wilson interval for next-sentence accuracy, and the pooler's evidence."""
    from transformers import BertForPreTraining

    from experiments.pretraining.corpus import read_texts, split_held_out
    from experiments.pretraining.evaluation import evaluate
    from experiments.pretraining.examples import Examples, Vocabulary
    from src.config.schema import ModelConfig, RuntimeConfig
    from src.evaluation.proportions import wilson
    from src.models import checkpoint
    from src.models.encoder import Encoder, load_tokenizer

    model = ModelConfig(path=path)
    opened = checkpoint.find(model)
    encoder = Encoder(opened, model, RuntimeConfig())
    loaded: Any = BertForPreTraining.from_pretrained(
        opened.view(), output_loading_info=True, local_files_only=True, dtype="float32"
    )
    heads, info = loaded
    if info["missing_keys"]:
        raise UserError(
            f"'{opened.label}' lacks {', '.join(sorted(info['missing_keys'])[:3])}: a checkpoint with both of BERT's heads is needed."
        )
    _, tail = split_held_out(read_texts(text), held_out)
    tokenizer = load_tokenizer(opened)
    examples = Examples(corpus.encode(tail, tokenizer), Vocabulary.of(tokenizer), negatives)
    found = {}
    for length in lengths:
        figures: dict[str, Any] = dict(evaluate(heads, examples, rows=rows, length=length, device="cpu"))
        figures["nsp_interval"] = wilson(round(figures["nsp_accuracy"] * rows), rows)
        found[str(length)] = figures
    return {
        "model": opened.label,
        "weights": opened.weights,
        "rows": rows,
        "negatives": negatives,
        "held_out": found,
        "pooler": encoder.facts.pooler,
    }


if __name__ == "__main__":
    main()

"""Write BERT in TensorFlow's formats.

``python -m tests.helpers.tensorflow_fixtures output=FOLDER``

Writes a TensorFlow 1 checkpoint (``checkpoint/``), a TF-Hub module (``hub/``), a TensorFlow 2
SavedModel with today's names and dictionaries (``savedmodel/``) and one of 2019 with lists and
tuples (``savedmodel-2019/``), all with the same weights. Their outputs (``outputs.safetensors``) on
a few sentences (``sentences.json``) stand beside them. The modules have no configuration, as
Google's have none; that of ``checkpoint/`` describes them too. The weights are random, with the
shape of ``shape.*``, or those of ``model.path=``, a BERT in the Hugging Face layout. Needs
TensorFlow: ``pip install -e '.[tensorflow]'``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from experiments.cli import ModelPath, command, required
from experiments.parity import backends
from experiments.parity.backends import Batch, Outputs
from experiments.parity.sentences import SENTENCES, tokenise
from src.cli.messages import print_text
from src.errors import UserError
from tests.helpers.tensorflow_formats import WRITERS

Form = Literal["checkpoint", "hub", "savedmodel", "savedmodel-2019"]
FORMS: tuple[Form, ...] = get_args(Form)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPREAD = 0.2  # of random weights: ten times BERT's, so that errors show


@dataclass(frozen=True)
class Shape:
    """Gives the shape of the random BERT, in the names of its configuration."""

    vocab_size: int = 128
    hidden_size: int = 24
    num_hidden_layers: int = 2
    num_attention_heads: int = 3
    intermediate_size: int = 40
    max_position_embeddings: int = 32
    type_vocab_size: int = 2


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = required("the folder that the forms go into")
    model: ModelPath = ModelPath()
    seed: int = 0
    forms: tuple[Form, ...] = FORMS
    shape: Shape = Shape()


@command(Options)
def main(options: Options) -> None:
    """Write the folder."""
    write(Path(options.output), options.model.path, asdict(options.shape), options.seed, list(options.forms))
    print_text(f"written by TensorFlow {backends.tensorflow().__version__}: {options.output}")


def write(output: Path, path: str | None, shape: dict[str, int], seed: int, forms: list[str]) -> None:
    """Write every form of one BERT, and TensorFlow's outputs of each."""
    backends.tensorflow()
    if path is None:
        config = {**shape, "hidden_act": "gelu", "do_lower_case": True}
        vocabulary = make_vocabulary(shape["vocab_size"])
        variables = draw(config, seed)
    else:
        config, vocabulary, variables = exported(path)
    output.mkdir(parents=True, exist_ok=True)
    beside = {"bert_config.json": json.dumps(config, indent=2) + "\n", "vocab.txt": "\n".join(vocabulary) + "\n"}
    batch = tokenised(vocabulary, config)
    found: dict[str, Outputs] = {}
    for form in forms:
        folder = output / form
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, text in beside.items():
            (folder / name).write_text(text, encoding="utf-8")
        WRITERS[form](folder, variables, config)
        if form == "checkpoint":
            found[form] = backends.checkpoint_outputs(folder / "bert_model.ckpt", config, batch)
        else:
            for name in beside:  # Google's modules have the vocabulary among their assets, and no configuration
                (folder / name).unlink()
            found[form] = backends.module_outputs(str(folder), batch)
    write_outputs(output, batch, found)


def make_vocabulary(size: int) -> list[str]:
    """Return special pieces, the sentences' words, letters and, up to `size`, unused pieces."""
    words = sorted(
        {word.strip(".,?!").lower() for pair in SENTENCES for text in pair if text for word in text.split()}
        - {"mat", "away"}
    )
    letters = [*"abcdefghijklmnopqrstuvwxyz.,?!", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    known = [*SPECIAL, *words, *letters]
    if len(known) > size:
        raise UserError(f"shape.vocab_size={size}: at least {len(known)} word pieces are needed.")
    return [*known, *(f"[unused{number}]" for number in range(size - len(known)))]


def draw(config: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Return random variables with google-research/bert's names, heads and optimiser included."""
    rng = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    made: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, about: float = 0.0) -> None:
        made[name] = (about + SPREAD * rng.standard_normal(shape)).astype(np.float32)

    def dense(name: str, given: int, out: int) -> None:
        add(f"{name}/kernel", given, out)
        add(f"{name}/bias", out)

    def norm(name: str) -> None:
        add(f"{name}/gamma", width, about=1.0)
        add(f"{name}/beta", width)

    for name, rows in (
        ("word", "vocab_size"),
        ("position", "max_position_embeddings"),
        ("token_type", "type_vocab_size"),
    ):
        add(f"bert/embeddings/{name}_embeddings", config[rows], width)
    norm("bert/embeddings/LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            dense(f"{layer}/attention/self/{part}", width, width)
        dense(f"{layer}/attention/output/dense", width, width)
        norm(f"{layer}/attention/output/LayerNorm")
        dense(f"{layer}/intermediate/dense", width, inner)
        dense(f"{layer}/output/dense", inner, width)
        norm(f"{layer}/output/LayerNorm")
    dense("bert/pooler/dense", width, width)
    dense("cls/predictions/transform/dense", width, width)
    norm("cls/predictions/transform/LayerNorm")
    add("cls/predictions/output_bias", config["vocab_size"])
    add("cls/seq_relationship/output_weights", 2, width)
    add("cls/seq_relationship/output_bias", 2)
    add("bert/pooler/dense/bias/adam_m", width)
    add("bert/pooler/dense/bias/adam_v", width)
    made["global_step"] = np.asarray(1000, np.int64)
    return made


def exported(path: str) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]]:
    """Return configuration, vocabulary and variables of a Hugging Face BERT in Google's names."""
    from safetensors.numpy import load_file

    from src.config.schema import ModelConfig
    from src.models import finding
    from src.models.tokenizer import load_tokenizer

    given = finding.find_checkpoint(ModelConfig(path=path))
    if given.config["model_type"] != "bert":
        raise UserError(f"model.path={path} is a {given.config['model_type']} model. Name a BERT.")
    config: dict[str, Any] = {name: given.config[name] for name in asdict(Shape())}
    tokenizer = load_tokenizer(given)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda each: each[1])
    variables: dict[str, np.ndarray] = {}
    for name in given.weights:
        for parameter, values in load_file(given.folder / name).items():
            variable = variable_name(parameter)
            turned = values.T if variable.endswith("/kernel") else values
            variables[variable] = np.ascontiguousarray(turned, np.float32)
    lower = bool(getattr(tokenizer, "do_lower_case", True))
    config |= {
        "hidden_act": "gelu",
        "initializer_range": given.config.get("initializer_range", 0.02),
        "do_lower_case": lower,
    }
    return config, [piece for piece, _ in pieces], variables


def variable_name(parameter: str) -> str:
    """Return google-research/bert's name for a parameter of transformers.

    >>> variable_name("bert.encoder.layer.0.output.LayerNorm.weight"), variable_name("cls.seq_relationship.bias")
    ('bert/encoder/layer_0/output/LayerNorm/gamma', 'cls/seq_relationship/output_bias')
    """
    if not parameter.startswith(("bert.", "cls.")):
        parameter = f"bert.{parameter}"
    path, leaf = parameter.replace(".layer.", ".layer_").replace(".", "/").rsplit("/", 1)
    if path.endswith("_embeddings"):
        return path
    if path.endswith("LayerNorm"):
        return f"{path}/{'gamma' if leaf == 'weight' else 'beta'}"
    if path in ("cls/seq_relationship", "cls/predictions"):
        return f"{path}/output_{'weights' if leaf == 'weight' else 'bias'}"
    return f"{path}/{'kernel' if leaf == 'weight' else 'bias'}"


def tokenised(vocabulary: list[str], config: Mapping[str, Any]) -> Batch:
    """Return the sentences' word pieces by transformers' WordPiece."""
    from transformers import BertTokenizer

    pieces = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = BertTokenizer(vocab=pieces, do_lower_case=config["do_lower_case"])
    first, second = [first for first, _ in SENTENCES], [second or "" for _, second in SENTENCES]
    return tokenise(tokenizer, first, config, second)


def write_outputs(output: Path, batch: Batch, found: Mapping[str, Outputs]) -> None:
    """Write the inputs, the outputs and the version of TensorFlow."""
    from safetensors.numpy import save_file

    arrays = {"input_ids": batch.ids, "input_mask": batch.mask, "segment_ids": batch.segments}
    for form, outputs in found.items():
        arrays |= {f"{form}.sequence_output": outputs.sequence, f"{form}.pooled_output": outputs.pooled}
    notes = {
        "tensorflow": backends.tensorflow().__version__,
        **{form: outputs.interface for form, outputs in found.items()},
    }
    save_file(
        {name: np.ascontiguousarray(values) for name, values in arrays.items()}, output / "outputs.safetensors", notes
    )
    (output / "sentences.json").write_text(json.dumps(SENTENCES, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

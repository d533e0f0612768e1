"""Read the folder of an original BERT: a checkpoint, a TF-Hub module or a SavedModel."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config.schema import HIDDEN_ACTS, ModelConfig
from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint, file_sha256
from src.models.config_json import MAX_LAYERS
from src.models.tensorflow.bundle import Bundle
from src.models.tensorflow.names import locate_parameters
from src.models.tensorflow.original import OriginalBert
from src.registry import unknown
from src.storage.files import Unreadable, open_regular, read_json

CHECKPOINT = "bert_model.ckpt"  # start of the file names of Google's checkpoints
MODULE = "variables/variables"  # the same in a TF-Hub module or SavedModel
CONFIG, VOCABULARY, ASSETS = "bert_config.json", "vocab.txt", "assets"
SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
MAX_SIZE = 10**7  # largest size in bert_config.json
INITIALIZER_RANGE = 0.02  # default of bert_config.json; random_pooler draws with it
LAYER_NORM_EPS = 1e-12  # constant in modeling.py and the TensorFlow 2 models; not in bert_config.json
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def read_checkpoint(config: ModelConfig) -> Checkpoint:
    """Return the checkpoint at `model.path`.

    The path is a folder, or the common start of the names of the checkpoint's files.

    Raises
    ------
    UserError
        No folder, no checkpoint in it or several, no configuration or vocabulary, or files that do
        not belong together.
    """
    if not config.path:
        raise UserError(
            "model=google needs model.path=FOLDER, which holds bert_model.ckpt.index, bert_config.json and vocab.txt."
        )
    prefix, folder = _prefix(Path(config.path).expanduser(), config.path)
    config_file = _find_file(folder, CONFIG, config.config, "config")
    vocabulary_file = _find_file(folder, VOCABULARY, config.vocab, "vocab")
    bert_config = read_bert_config(config_file, config.hidden_act)
    vocabulary = read_vocabulary(vocabulary_file)
    bundle = Bundle(prefix)
    try:
        sources = locate_parameters(bundle.shapes, bert_config)
    except UserError as error:
        raise UserError(f"model.path={config.path}: {error}") from error
    lines = 1 + max(vocabulary.values())
    if lines > bert_config["vocab_size"]:
        raise UserError(
            f"{vocabulary_file.name} has {lines:,} word pieces, and {config_file.name} says "
            f"{bert_config['vocab_size']:,}. "
            "Get vocabulary and weights of one model."
        )
    lower = next(
        (each for each in (config.do_lower_case, _stated_case(config_file)) if each is not None),
        is_lower_case(vocabulary),
    )
    return Checkpoint(
        folder=folder,
        label=folder.resolve().name,
        commit=None,
        weights={path.name: file_sha256(path) for path in bundle.files},
        tokenizer={VOCABULARY: file_sha256(vocabulary_file), "do_lower_case": str(lower).lower()},
        config=bert_config,
        original=OriginalBert(bundle, sources, vocabulary, lower, bert_config["max_position_embeddings"]),
    )


def read_bert_config(path: Path, hidden_act: str | None) -> dict[str, Any]:
    """Return a ``bert_config.json`` as the arguments of transformers' BertConfig.

    Parameters
    ----------
    hidden_act : str or None
        The activation in place of the file's own.

    Raises
    ------
    UserError
        The file is unreadable, of another architecture, or holds a value that no BERT has.
    """
    stated = _read_object(path)
    if stated.get("model_type", "bert") != "bert":
        raise UserError(
            f"{path.name} is of a {stated['model_type']} model, and model=google reads BERT. Get the configuration "
            "of the checkpoint."
        )
    for name in SIZES:
        size, largest = stated.get(name), MAX_LAYERS if "layers" in name else MAX_SIZE
        if type(size) is not int or not 1 <= size <= largest:
            raise UserError(
                f"{path.name} says {name}={size!s:.40}, and a whole number of 1 to {largest} is needed. Get the file "
                "again, or name "
                "another: model.config=FILE."
            )
    if stated["hidden_size"] % stated["num_attention_heads"]:
        raise UserError(
            f"{path.name}: {stated['num_attention_heads']} heads do not divide a hidden_size of "
            f"{stated['hidden_size']}. "
            "Get the file again, or name another: model.config=FILE."
        )
    activation = hidden_act or stated.get("hidden_act") or HIDDEN_ACTS[0]
    if activation not in HIDDEN_ACTS:
        raise unknown("hidden_act", activation, HIDDEN_ACTS, where=f"{path.name}: ")
    deviation = stated.get("initializer_range", INITIALIZER_RANGE)
    if type(deviation) is not float or not 0 < deviation < 1:
        raise UserError(
            f"{path.name} says initializer_range={deviation!s:.40}, and a number between 0 and 1 is needed, such as "
            f"{INITIALIZER_RANGE}."
        )
    fixed = {"initializer_range": deviation, "layer_norm_eps": LAYER_NORM_EPS, "model_type": "bert"}
    return {**{name: stated[name] for name in SIZES}, "hidden_act": activation, **fixed}


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return the number of every word piece: its line in the file, counted from 0."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="\n") as file:
            lines = [line.strip() for line in file]
    except (OSError, ValueError) as error:
        raise UserError(
            f"the vocabulary {path.name} cannot be read: {flatten(error, 120)}. Get the file again."
        ) from error
    numbers = {piece: number for number, piece in enumerate(lines)}
    if lacking := [piece for piece in SPECIAL if piece not in numbers]:
        raise UserError(
            f"{path.name} is no vocabulary of BERT's: it lacks {', '.join(lacking)}. It must hold one word piece a "
            "line."
        )
    return numbers


def is_lower_case(vocabulary: Mapping[str, int]) -> bool:
    """Return whether a vocabulary was made of lower-cased text.

    Then no word piece has a capital, but for special ones such as [CLS].

    >>> is_lower_case({"[CLS]": 0, "the": 1, "##s": 2}), is_lower_case({"The": 0})
    (True, False)
    """
    return all(piece == piece.lower() for piece in vocabulary if not (piece.startswith("[") and piece.endswith("]")))


def _stated_case(path: Path) -> bool | None:
    """Return ``do_lower_case`` of a configuration, or None if it does not state one."""
    stated = _read_object(path).get("do_lower_case")
    return stated if isinstance(stated, bool) else None


def _read_object(path: Path) -> dict[str, Any]:
    """Return the object in a configuration file; UserError for anything else."""
    try:
        stated = read_json(path)
    except (OSError, Unreadable) as error:
        raise UserError(
            f"the configuration {path.name} cannot be read: {flatten(error, 120)}. Get the file again."
        ) from error
    if not isinstance(stated, dict):
        raise UserError(f"{path.name} is no configuration: it holds no mapping of names to values. Get the file again.")
    return stated


def _prefix(path: Path, given: str) -> tuple[Path, Path]:
    """Return the common start of a checkpoint's files, and the folder of its configuration."""
    if path.suffix == ".index":
        path = path.with_suffix("")
    if path.name and path.with_name(f"{path.name}.index").is_file():
        return path, path.parent.parent if path.parent.name == "variables" else path.parent
    if not path.is_dir():
        raise UserError(
            f"model.path={given}: no such folder. model=google reads local folders only: one with "
            "bert_model.ckpt.index, or a TF-Hub "
            "module."
        )
    for name in (CHECKPOINT, MODULE):
        if (path / f"{name}.index").is_file():
            return path / name, path
    found = sorted(each for each in path.glob("*.index") if each.is_file())
    if len(found) == 1:
        return found[0].with_suffix(""), path
    if found:
        raise UserError(
            f"model.path={given} holds {len(found)} checkpoints ({', '.join(each.stem for each in found[:3])}"
            f"{', ...' if len(found) > 3 else ''}). Name one: model.path={given.rstrip('/')}/{found[-1].stem}"
        )
    hugging_face = (path / "config.json").is_file()
    way = (
        "It is a Hugging Face folder: model=checkpoint reads that" if hugging_face else "Give the folder that holds it"
    )
    raise UserError(
        f"model.path={given} holds no TensorFlow checkpoint: no bert_model.ckpt.index, no {MODULE}.index. {way}."
    )


def _find_file(folder: Path, name: str, given: str | None, key: str) -> Path:
    """Return the file of `model.KEY`, or the file of that name in the folder or in its assets."""
    candidates = [Path(given).expanduser()] if given else [folder / name, folder / ASSETS / name]
    for path in candidates:
        if path.is_file():
            return path
    if given:
        raise UserError(f"model.{key}={given}: there is no such file. Relative paths start at the current directory.")
    raise UserError(
        f"{folder.name} holds no {name}, as TF-Hub modules may not. Give that of the same model: model.{key}=FILE."
    )

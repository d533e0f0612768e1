"""An original BERT as TensorFlow wrote it: a checkpoint of google-research/bert, a TF-Hub module or a SavedModel."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.config.schema import HIDDEN_ACTS, ModelConfig
from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint, sha256
from src.models.tensorflow.bundle import Bundle
from src.models.tensorflow.names import HEADS, Place, places
from src.registry import unknown
from src.storage.files import Unreadable, open_regular, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torch import Tensor

NAME = "bert_model.ckpt"  # Google's
MODULE = "variables/variables"  # of a TF-Hub module or SavedModel
CONFIG, VOCABULARY, ASSETS = "bert_config.json", "vocab.txt", "assets"
SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings",
    "type_vocab_size",
)  # fmt: skip
LARGEST = 10**7  # of any size
MOST_LAYERS = 1000
INITIALIZER_RANGE = 0.02  # of a configuration that does not say; random_pooler draws from it
LAYER_NORM_EPS = 1e-12  # not in bert_config.json: modeling.py's and the TensorFlow 2 models' own
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
READERS = 4  # tensors read, checked and turned at once


@dataclass(frozen=True)
class Original:
    """The variables of such a checkpoint with their places in BERT, and its vocabulary."""

    bundle: Bundle
    places: Mapping[str, Place]
    vocabulary: Mapping[str, int]
    do_lower_case: bool
    max_length: int

    def parameters(self, *, heads: bool = False) -> dict[str, Tensor]:
        """The parameters of transformers' BertModel by its names, or those of its heads (``cls.``); UserError for damaged ones."""
        import torch

        def load(name: str) -> Tensor:
            place = self.places[name]
            return torch.from_numpy(place.take(self.bundle.read(place.variable)))

        names = [name for name in self.places if (name in HEADS) == heads]
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(names, pool.map(load, names), strict=True))

    def evidence(self, hidden_act: str) -> dict[str, Any]:
        """What a record says of such a checkpoint beside its pooler's status: the activation, on which its two readings differ."""
        theirs = "gelu_pytorch_tanh"
        note = f"{hidden_act}, as chosen or as the configuration says"
        if hidden_act == "gelu":
            note = (
                f"gelu, by the error function, as Hugging Face reads bert_config.json; Google's own code has computed {theirs} under this "
                "name since 2019-02-07 (google-research/bert, bee6030), so that TF-Hub's vectors differ slightly: "
                f"model.hidden_act={theirs} gives those"
            )
        elif hidden_act in (theirs, "gelu_new"):
            note = f"{hidden_act}, which Google's own code has computed since 2019-02-07; Hugging Face's reading of bert_config.json is gelu"
        return {"activation": note}

    def tokenizer(self) -> Any:
        """A fast WordPiece tokenizer with BERT's normaliser, of this vocabulary."""
        from transformers import BertTokenizer

        return BertTokenizer(
            vocab=dict(self.vocabulary), do_lower_case=self.do_lower_case, model_max_length=self.max_length
        )


def find(config: ModelConfig) -> Checkpoint:
    """The checkpoint at `model.path`: a folder, or as TensorFlow names one, a folder and the common start of its files' names.

    Raises
    ------
    UserError
        No folder, no checkpoint in it or several, no configuration or vocabulary, or files that do not belong together.
    """
    if not config.path:
        raise UserError(
            "model=google needs model.path=FOLDER, which holds bert_model.ckpt.index, bert_config.json and vocab.txt."
        )
    prefix, folder = _prefix(Path(config.path).expanduser(), config.path)
    settings_file = _beside(folder, CONFIG, config.config, "config")
    vocabulary_file = _beside(folder, VOCABULARY, config.vocab, "vocab")
    settings = read_config(settings_file, config.hidden_act)
    vocabulary = read_vocabulary(vocabulary_file)
    bundle = Bundle(prefix)
    try:
        found = places(bundle.shapes, settings)
    except UserError as error:
        raise UserError(f"model.path={config.path}: {error}") from error
    lines = 1 + max(vocabulary.values())
    if lines > settings["vocab_size"]:
        raise UserError(
            f"{vocabulary_file.name} has {lines:,} word pieces, and {settings_file.name} says {settings['vocab_size']:,}. "
            "Get vocabulary and weights of one model."
        )
    lower = config.do_lower_case
    if lower is None:
        lower = _stated_case(settings_file)
    if lower is None:
        lower = is_lower_case(vocabulary)
    return Checkpoint(
        folder=folder,
        label=folder.resolve().name,
        commit=None,
        weights={path.name: sha256(path) for path in bundle.files},
        tokenizer={VOCABULARY: sha256(vocabulary_file), "do_lower_case": str(lower).lower()},
        config=settings,
        original=Original(bundle, found, vocabulary, lower, settings["max_position_embeddings"]),
    )


def read_config(path: Path, hidden_act: str | None) -> dict[str, Any]:
    """A ``bert_config.json`` as transformers' BertConfig takes it; `hidden_act` in place of its own."""
    said = _json(path)
    if said.get("model_type", "bert") != "bert":
        raise UserError(
            f"{path.name} is of a {said['model_type']} model, and model=google reads BERT. Get the configuration of the checkpoint."
        )
    wrong = [
        name
        for name in SIZES
        if type(said.get(name)) is not int or not 1 <= said[name] <= (MOST_LAYERS if "layers" in name else LARGEST)
    ]
    if wrong:
        raise UserError(
            f"{path.name} says {wrong[0]}={said.get(wrong[0])!s:.40}, and a whole number from 1 on is needed. Get the file again, or name "
            "another: model.config=FILE."
        )
    if said["hidden_size"] % said["num_attention_heads"]:
        raise UserError(
            f"{path.name}: {said['num_attention_heads']} heads do not divide a hidden_size of {said['hidden_size']}."
        )
    activation = hidden_act or said.get("hidden_act") or HIDDEN_ACTS[0]
    if activation not in HIDDEN_ACTS:
        raise unknown("hidden_act", activation, HIDDEN_ACTS, where=f"{path.name}: ")
    spread = said.get("initializer_range", INITIALIZER_RANGE)
    if type(spread) is not float or not 0 < spread < 1:
        raise UserError(
            f"{path.name} says initializer_range={spread!s:.40}, and a number between 0 and 1 is needed, such as {INITIALIZER_RANGE}."
        )
    fixed = {"initializer_range": spread, "layer_norm_eps": LAYER_NORM_EPS, "model_type": "bert"}
    return {**{name: said[name] for name in SIZES}, "hidden_act": activation, **fixed}


def read_vocabulary(path: Path) -> dict[str, int]:
    """Number of every word piece: its line, from 0, as Google's tokenizer counts them."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="\n") as file:
            lines = [line.strip() for line in file]
    except (OSError, ValueError) as error:
        raise UserError(f"the vocabulary {path.name} cannot be read: {flatten(error, 120)}.") from error
    found = {piece: number for number, piece in enumerate(lines)}
    if lacking := [piece for piece in SPECIAL if piece not in found]:
        raise UserError(
            f"{path.name} is no vocabulary of BERT's: it lacks {', '.join(lacking)}. It holds one word piece a line."
        )
    return found


def is_lower_case(vocabulary: Mapping[str, int]) -> bool:
    """Whether a vocabulary was made of lower-cased text: no piece of it has a capital, but for special ones such as [CLS].

    >>> is_lower_case({"[CLS]": 0, "the": 1, "##s": 2}), is_lower_case({"The": 0})
    (True, False)
    """
    return all(piece == piece.lower() for piece in vocabulary if not (piece.startswith("[") and piece.endswith("]")))


def _stated_case(path: Path) -> bool | None:
    said = _json(path).get("do_lower_case")
    return said if isinstance(said, bool) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        said = read_json(path)
    except (OSError, Unreadable) as error:
        raise UserError(f"the configuration {path.name} cannot be read: {flatten(error, 120)}.") from error
    if not isinstance(said, dict):
        raise UserError(f"{path.name} is no configuration: it holds no mapping of names to values.")
    return said


def _prefix(given: Path, said: str) -> tuple[Path, Path]:
    """What the names of a checkpoint's files begin with, and the folder it stands for."""
    if given.suffix == ".index":
        given = given.with_suffix("")
    if given.name and given.with_name(f"{given.name}.index").is_file():
        return given, given.parent.parent if given.parent.name == "variables" else given.parent
    if not given.is_dir():
        raise UserError(
            f"model.path={said}: no such folder. model=google reads folders alone: one with bert_model.ckpt.index, or a TF-Hub module."
        )
    for name in (NAME, MODULE):
        if (given / f"{name}.index").is_file():
            return given / name, given
    found = sorted(path for path in given.glob("*.index") if path.is_file())
    if len(found) == 1:
        return found[0].with_suffix(""), given
    if found:
        raise UserError(
            f"model.path={said} holds {len(found)} checkpoints ({', '.join(path.stem for path in found[:3])}"
            f"{', ...' if len(found) > 3 else ''}). Name one: model.path={said.rstrip('/')}/{found[-1].stem}"
        )
    way = "model=checkpoint reads that" if (given / "config.json").is_file() else "Give the folder that holds it"
    what = ", as a Hugging Face folder does not" if (given / "config.json").is_file() else ""
    raise UserError(
        f"model.path={said} holds no TensorFlow checkpoint: no bert_model.ckpt.index, no {MODULE}.index{what}. {way}."
    )


def _beside(folder: Path, name: str, given: str | None, key: str) -> Path:
    """A file that was named, or that lies in the folder or among its assets."""
    candidates = [Path(given).expanduser()] if given else [folder / name, folder / ASSETS / name]
    for path in candidates:
        if path.is_file():
            return path
    if given:
        raise UserError(f"model.{key}={given}: there is no such file.")
    raise UserError(
        f"{folder.name} holds no {name}, as TF-Hub modules may not. Name that of the same model: model.{key}=FILE."
    )

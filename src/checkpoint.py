"""A checkpoint as files: its folder, its identity and what its configuration says. No torch,
so a run whose features are stored stays quick.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from src.config import ModelConfig
from src.errors import UserError, flatten
from src.registry import unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from src.google.original import Original

EMBEDDED = "embedded:"  # before the name of a checkpoint that comes with the suite
SHELF = Path(__file__).resolve().parent / "embedded"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
    "spiece.model", "sentencepiece.bpe.model", "spm.model",
)  # fmt: skip

PATTERNS = ["config.json", "*.safetensors", "model.safetensors.index.json", *TOKENIZER]  # what is fetched of a hub id
VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "spm.model")


@dataclass(frozen=True)
class Checkpoint:
    """A folder in the Hugging Face layout, and the digests that identify it wherever it lies."""

    folder: Path
    label: str  # hub id, or the folder's last name
    commit: str | None  # what a hub revision resolved to
    weights: dict[str, str]  # file name: SHA-256
    tokenizer: dict[str, str]
    config: dict[str, Any]  # config.json as it stands
    lower_case: bool | None = None  # what model.do_lower_case asks; None: what the tokenizer's files say
    original: Original | None = None  # TensorFlow's, which its own reader loads; None in the Hugging Face layout

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the hidden states of given token ids."""
        return {
            "weights": self.weights,
            "config": {key: value for key, value in self.config.items() if not key.startswith(("_", "transformers"))},
        }


def find(config: ModelConfig) -> Checkpoint:
    """Resolve a hub id or a folder to a `Checkpoint`; a hub id is downloaded (configuration, tokenizer,
    safetensors) or taken from the hub's cache.

    Raises
    ------
    UserError
        No model named, no such folder, a folder that is no model, weights that are not safetensors, a hub that cannot be reached.
    """
    if config.format == "tensorflow":
        from src.google import original

        return original.find(config)
    if not config.path:
        raise UserError("no model is named. Use model=checkpoint model.path=<hub id or folder>, or one by name: model=bert-base-uncased.")
    folder = shelved(config.path) if config.path.startswith(EMBEDDED) else Path(config.path).expanduser()
    commit = None
    label = folder.resolve().name
    if folder.is_dir() and config.revision is not None:
        raise UserError(
            f"model.revision={config.revision}: model.path={config.path} is a folder here, and a folder has no revision. "
            "Set model.revision=null, or give model.path a hub id."
        )
    if not folder.is_dir():
        if looks_like_path(config.path):
            raise UserError(
                f"model.path={config.path}: no such folder. Give a folder that holds config.json and model.safetensors, "
                "or a hub id such as google-bert/bert-base-uncased."
            )
        from src import hub

        label = config.path
        folder, commit = hub.snapshot(config.path, config.revision, PATTERNS)
        if config.revision is None and not any((folder / name).is_file() for name in WEIGHTS):
            if reference := hub.conversion(config.path):
                folder, commit = hub.snapshot(config.path, reference, PATTERNS)
            else:
                raise UserError(
                    f"model.path={config.path} has no safetensors weights on its main branch, and pickles are not loaded. "
                    "Name a revision that has them in model.revision (often refs/pr/1), or choose another checkpoint."
                )
    settings = _read_config(folder, config.path)
    weights = _weight_files(folder, config.path)
    if not any((folder / name).is_file() for name in VOCABULARY):  # the library would make an empty one up
        raise UserError(f"model.path={config.path} holds no tokenizer: one of {', '.join(VOCABULARY)} is needed beside the weights.")
    casing = {} if config.do_lower_case is None else {"model.do_lower_case": str(config.do_lower_case).lower()}
    return Checkpoint(
        folder=folder,
        label=label,
        commit=commit,
        weights={path.name: sha256(path) for path in weights},
        tokenizer={name: sha256(folder / name) for name in TOKENIZER if (folder / name).is_file()} | casing,
        config=settings,
        lower_case=config.do_lower_case,
    )


def shelved(path: str) -> Path:
    """Folder of a checkpoint that comes with the suite; UserError for a name that is not there."""
    known = sorted(place.name for place in SHELF.glob("*") if (place / "config.json").is_file())
    name = path.removeprefix(EMBEDDED)
    if name not in known:
        raise unknown("embedded checkpoint", name, known)
    return SHELF / name


def is_remote(config: ModelConfig) -> bool:
    """Whether a model is to be fetched from the hub, or from the hub's cache."""
    from src import hub

    path = config.path or ""
    return config.format == "huggingface" and bool(hub.REPOSITORY.fullmatch(path)) and not Path(path).is_dir() and not looks_like_path(path)


def looks_like_path(text: str) -> bool:
    """Whether a `model.path` can only be meant as a folder: the hub's ids are `name` or `owner/name`."""
    return text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text or Path(text).exists()


def _read_config(folder: Path, given: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        if any(folder.glob("*.index")) or (folder / "saved_model.pb").is_file():
            raise UserError(
                f"model.path={given} is in TensorFlow's format: model=google reads that (original BERT checkpoints and modules)."
            )
        raise UserError(f"model.path={given} is no model: it holds no config.json. Give a folder written by save_pretrained, or a hub id.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"model.path={given}: config.json cannot be read ({flatten(error, 120)}).") from error
    if not isinstance(settings, dict) or "model_type" not in settings:
        raise UserError(f"model.path={given}: config.json names no model_type. Give a folder written by save_pretrained, or a hub id.")
    return settings


def _weight_files(folder: Path, given: str) -> list[Path]:
    """The safetensors files of a checkpoint, checked against its index where there is one."""
    single, index = (folder / name for name in WEIGHTS)
    if single.is_file():
        return [single]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"model.path={given}: {index.name} cannot be read ({flatten(error, 120)}).") from error
        absent = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if absent:
            raise UserError(f"model.path={given}: {absent[0]}, named by {index.name}, is missing.")
        return [folder / name for name in names]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    reason = f"{pickles[0]} is a pickle, which is not loaded" if pickles else "there is no model.safetensors"
    raise UserError(
        f"model.path={given} holds no weights that can be used: {reason}. Convert it with save_pretrained (transformers "
        "writes safetensors), or choose another checkpoint or model.revision."
    )


def sha256(path: Path) -> str:
    """Digest of a file's content; UserError for one that cannot be read."""
    try:
        state = path.stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {flatten(error, 160)}.") from error


@lru_cache(maxsize=64)
def _digest(path: Path, modified: int, size: int) -> str:
    """SHA-256 of a file, once per process for each state of it: a sweep asks for every job."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Define the value that describes a checkpoint on disk, without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.errors import UserError, flatten
from src.storage.files import file_digest

if TYPE_CHECKING:
    from src.models.tensorflow.original import OriginalBert

# Keys of config.json that change no number. The library does not get them either.
HARMLESS_KEYS = frozenset(
    {
        "_name_or_path", "_commit_hash", "_num_labels", "_attn_implementation_autoset", "_attn_implementation_internal",
        "_experts_implementation_internal", "transformers_version", "transformers.js_config",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The files of a checkpoint, with the digests that identify it wherever its folder lies."""

    folder: Path
    label: str  # the hub id, or the folder's last name
    commit: str | None  # that a hub revision resolved to
    weights: dict[str, str]  # SHA-256 of each file of weights, by its name
    tokenizer: dict[str, str]  # SHA-256 of each of the tokenizer's files
    config: dict[str, Any]  # the content of config.json
    lower_case: bool | None = None  # `model.do_lower_case`; None: the tokenizer's files decide
    # reader of an original TensorFlow checkpoint; None in the Hugging Face layout
    original: OriginalBert | None = None
    # what it says of itself in the files of sentence-transformers (`read_statements`); no feature depends on it
    stated: dict[str, Any] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Digests and settings that determine the hidden states of given token ids."""
        return {
            "weights": self.weights,
            "config": {key: value for key, value in self.config.items() if key not in HARMLESS_KEYS},
        }

    @property
    def tokenisation(self) -> dict[str, Any]:
        """Digests and settings that determine the word pieces of a text.

        These are the tokenizer's files, and the class that config.json states if it is not BERT's.
        """
        named = ("model_type", "tokenizer_class", "model_name")
        stated = {name: self.config[name] for name in named if self.config.get(name) is not None}
        return self.tokenizer if stated == {"model_type": "bert"} else {**self.tokenizer, "class": stated}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        state = path.stat()
        return _cached_sha256(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {flatten(error, 160)}. Get the checkpoint again.") from error


@lru_cache(maxsize=64)
def _cached_sha256(path: Path, modified: int, size: int) -> str:
    """Return the SHA-256 of a file, computed once per process: each job of a sweep needs it."""
    return file_digest(path)

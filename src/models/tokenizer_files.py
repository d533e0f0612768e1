"""List the files that a tokenizer may read; refuse a tokenizer_config.json that names others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from src.errors import UserError
from src.models.config_json import leaves, read_object

TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model",
    # Used by fewer of transformers' tokenizer classes:
    "bpe.codes", "tokenizer.model", "sentencepiece.model", "spm_char.model", "source.spm", "target.spm", "tekken.json",
    "tiktoken.model", "prophetnet.tokenizer", "vocab-src.json", "vocab-tgt.json", "target_vocab.json",
    "entity_vocab.json", "normalizer.json", "emoji.json", "byte_maps.json", "word_shape.json",
    "word_pronunciation.json",
)  # fmt: skip
VOCABULARY_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "spm.model",
    "tokenizer.model", "sentencepiece.model", "tekken.json", "tiktoken.model",
)  # fmt: skip
# Keys that end in _file, are saved beside every tokenizer, and are not read by the library.
UNREAD_KEYS = ("special_tokens_map_file", "tokenizer_file")


def read_tokenizer_config(folder: Path, given: str, tokenizer: dict[str, str]) -> dict[str, Any]:
    """Return the content of tokenizer_config.json, {} if the folder has none.

    Parameters
    ----------
    given : str
        `model.path`, for messages.
    tokenizer : dict of str to str
        Digests of the folder's tokenizer files, by their names.

    Raises
    ------
    UserError
        The file is unreadable, or would have the library open files that are not in the folder.
    """
    if TOKENIZER_CONFIG not in tokenizer:
        return {}
    stated = read_object(folder / TOKENIZER_CONFIG, given)
    named = next((key for key, value in stated.items() if _leads_elsewhere(key, value, folder, tokenizer)), None)
    if named:
        raise UserError(
            f"model.path={given}: {TOKENIZER_CONFIG} names files that are not this folder's own "
            f"({named}={stated[named]!s:.60}). "
            "Copy them here under the names that their tokenizer has for them, and remove the key."
        )
    return stated


def names_a_file(key: str) -> bool:
    """Return whether a key of tokenizer_config.json holds the path of a file or of the model."""
    return key.endswith("_file") or key == "name_or_path"


def _leads_elsewhere(key: str, value: Any, folder: Path, tokenizer: dict[str, str]) -> bool:
    """Return whether the library would open another file than the folder's own because of a key."""
    if key in ("vocab", "merges"):
        return isinstance(value, str)
    if key in ("init_inputs", "fast_tokenizer_files"):
        return bool(value)
    if key.endswith("_file"):
        if key in UNREAD_KEYS or not isinstance(value, str):
            return False
        own = folder / Path(value).name
        return own.name not in tokenizer or (Path(value).is_file() and not Path(value).samefile(own))
    if key.endswith(("_kwargs", "_option", "_dic", "_dir", "_path")) and key != "name_or_path":
        return any(isinstance(inner, str) and ("/" in inner or "\\" in inner) for _, inner in leaves([value]))
    return False

"""Read a checkpoint's config.json and refuse keys that name other files, and impossible sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.errors import UserError, flatten
from src.storage.files import Unreadable, read_json

WEIGHTS_KEY = "transformers_weights"  # of config.json: a file of the folder in place of model.safetensors
# Keys of config.json, at any depth, that name other files or change how weights are read, with
# what they request and the way out.
REDIRECTIONS = {
    WEIGHTS_KEY: (
        "weights that are no safetensors file of the folder",
        "Rename them to model.safetensors and remove the key",
    ),
    "configuration_files": (
        "other configurations by version",
        "Keep the intended one as config.json and remove the key",
    ),
    "quantization_config": ("quantised weights", "Save the model in float16 or float32"),
    "compression_config": ("compressed weights", "Save the model in float16 or float32"),
    "fusion_config": ("fused layers", "Remove the key"),
    "distributed_config": ("distributed weights", "Save the model in one file and remove the key"),
}
# Other attention implementations are code from the hub.
ATTENTION = (None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
MAX_LAYERS = 1000
LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
HEAD_KEYS = ("num_attention_heads", "n_heads", "n_head", "num_heads")
MAX_SIZE = 1 << 20  # largest number that can be a size: more than any vocabulary has
MAX_POSITIONS = 1 << 31  # the size of the position table is checked against the weights
POSITION_WORDS = ("position", "length", "seq", "window", "context", "ctx")
UNSIZED_WORDS = ("theta", "base", "seed")  # parts of keys whose numbers are no sizes


def read_config(folder: Path, given: str) -> dict[str, Any]:
    """Return the content of a folder's config.json.

    Parameters
    ----------
    given : str
        `model.path`, for messages.

    Raises
    ------
    UserError
        The file is missing or unreadable, names no model_type, refers to other files or to code of
        the hub, or holds an impossible size.
    """
    path = folder / "config.json"
    if not path.is_file():
        if any(folder.glob("*.index")) or (folder / "saved_model.pb").is_file():
            raise UserError(
                f"model.path={given} is in TensorFlow's format: model=google reads that (original BERT checkpoints "
                "and modules)."
            )
        raise UserError(
            f"model.path={given} is no model: it holds no config.json. Give a folder written by save_pretrained, or "
            "a hub id."
        )
    config = read_object(path, given)
    if not isinstance(config.get("model_type"), str):
        raise UserError(
            f"model.path={given}: config.json names no model_type. Give a folder written by save_pretrained, or a "
            "hub id."
        )
    _check_redirections(config, folder, given)
    for key in ("attn_implementation", "_attn_implementation"):
        if config.get(key) not in ATTENTION:
            raise UserError(
                f"model.path={given}: config.json says {key}={config[key]!s:.40}. Remove the key, and set "
                "runtime.attention to one of "
                f"{', '.join(filter(None, ATTENTION))} if need be."
            )
    _check_sizes(config, given)
    return config


def read_object(path: Path, given: str) -> dict[str, Any]:
    """Return the object in a checkpoint's JSON file; UserError for anything else."""
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise Unreadable("it holds no mapping of names to values")
    except (OSError, Unreadable) as error:
        raise UserError(
            f"model.path={given}: {path.name} cannot be read ({flatten(error, 120)}). Get the file again."
        ) from error
    return found


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of an object at any depth; items of a list have the list's key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list)):
                yield from leaves(inner, key)
            else:
                yield key, inner


def _check_redirections(config: dict[str, Any], folder: Path, given: str) -> None:
    """Refuse keys that name other files, but for a safetensors file of the same folder."""
    named = config.get(WEIGHTS_KEY)
    in_folder = (
        isinstance(named, str)
        and Path(named).name == named
        and named.endswith(".safetensors")
        and (folder / named).is_file()
    )
    for key, value in leaves({key: value for key, value in config.items() if key != WEIGHTS_KEY or not in_folder}):
        if key in REDIRECTIONS and value not in (None, "", {}, []):
            what, way = REDIRECTIONS[key]
            raise UserError(
                f"model.path={given}: config.json asks for {what} ({key}), and that is not supported. {way}."
            )


def _check_sizes(config: dict[str, Any], given: str) -> None:
    """Refuse whole numbers that no model has.

    The library would build lists and layers of that size before it looks at the weights.
    """
    for key, value in leaves({name: value for name, value in config.items() if name not in ("id2label", "label2id")}):
        if type(value) is not int or (limits := _limits(key)) is None:
            continue
        low, high = limits
        if not low <= value <= high:
            raise UserError(
                f"model.path={given} cannot be loaded: its config.json says {key}={value!s:.40}, and {low} to {high} "
                "are possible. "
                "Get the file again."
            )


def _limits(key: str) -> tuple[int, int] | None:
    """Return the smallest and the largest number that a key may have, or None if it is no size."""
    if any(part in key for part in UNSIZED_WORDS) or key.endswith(("_id", "_ids")):
        return None
    if key in LAYER_KEYS:
        return 1, MAX_LAYERS
    if key in HEAD_KEYS:
        return 1, MAX_SIZE
    if key.startswith(("n_", "num_")) or key.endswith(("_size", "_dim", "_heads", "_layers", "_groups")):
        return 0, MAX_SIZE
    if any(part in key for part in POSITION_WORDS):
        return -1, MAX_POSITIONS
    return -MAX_POSITIONS, MAX_SIZE

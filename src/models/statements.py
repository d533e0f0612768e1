"""Read what a checkpoint states of itself in the files of sentence-transformers.

These files change no feature here: they say what the checkpoint was made for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from src.errors import flatten
from src.runtime.logs import log_once
from src.storage.files import Unreadable, read_json, require_fields

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
# Files with the length of a row, in the order in which the library looks for them.
LENGTHS = tuple(
    f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
# Patterns of the files that are downloaded for a hub id.
STATEMENT_FILES = (MODULES, SETTINGS, *LENGTHS, "*_Pooling/config.json", "*_Dense/config.json")
LIBRARY = "sentence_transformers."
# The library's names of poolings, and those of this suite; `lasttoken` has none here.
POOLINGS = {
    "cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean", "lasttoken": "lasttoken",
}  # fmt: skip
# Keys of before version 6, in the order in which their vectors are concatenated.
OLD_KEYS = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip
MAX_MODULES = 32
MAX_TEXT = 2000  # characters of a prompt or a name that a record keeps

log = logging.getLogger(__name__)


def read_statements(folder: Path, given: str) -> dict[str, Any] | None:
    """Return the statements of a folder that has a modules.json, as records hold them.

    A file that cannot be used is ignored with one warning, because no number depends on it.

    Parameters
    ----------
    given : str
        `model.path`, for the warning.

    Returns
    -------
    dict or None
        ``modules``: class names in their order. If stated: ``pooling``: names, concatenated if
        several; ``dense``: ``[{in, out, activation}]``; ``max_length`` in word pieces;
        ``lower_case``; ``prompts``: text by name; ``default_prompt``; ``include_prompt``;
        ``similarity``; ``model_type``. None without a modules.json that can be used.
    """
    if not (folder / MODULES).exists():
        return None
    try:
        return _read(folder)
    except (OSError, Unreadable) as error:
        log_once(
            log,
            f"model.path={given}: {MODULES} and the files that it names are ignored ({flatten(error, 160)}). The "
            "record will not say which pooling the checkpoint was made for.",
        )
        return None


def _read(folder: Path) -> dict[str, Any]:
    modules = read_json(folder / MODULES)
    if not isinstance(modules, list) or not 0 < len(modules) <= MAX_MODULES:
        raise Unreadable(f"{MODULES} is no list of 1 to {MAX_MODULES} modules")
    stated: dict[str, Any] = {"modules": []}
    for module in modules:
        fields = require_fields(module, {"type": str, "path": str})
        name = _short(fields["type"]).rpartition(".")[2]
        stated["modules"].append(name)
        place = _inside(folder, fields["path"])
        if fields["type"].startswith(LIBRARY) and name == "Pooling":
            stated |= _pooling(_object(place / "config.json"))
        elif fields["type"].startswith(LIBRARY) and name == "Dense":
            stated.setdefault("dense", []).append(_dense(_object(place / "config.json")))
    return stated | dict(_length(folder)) | dict(_settings(folder))


def _inside(folder: Path, path: str) -> Path:
    """Return the folder of a module; refuse one outside the checkpoint's."""
    pure = PurePosixPath(_short(path))
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise Unreadable(f"the module path '{path[:80]}' leads out of the folder")
    return folder / pure


def _object(path: Path) -> dict[str, Any]:
    return require_fields(read_json(path), {})


def _pooling(config: dict[str, Any]) -> dict[str, Any]:
    """Return the poolings under this suite's names, and whether prompts are pooled if they are not."""
    fields = require_fields(config, {}, {"pooling_mode": (str, list), "include_prompt": bool})
    require_fields(config, {}, dict.fromkeys(OLD_KEYS, bool))
    given = fields.get("pooling_mode") or [mode for key, mode in OLD_KEYS.items() if config.get(key)] or "mean"
    modes = [given] if isinstance(given, str) else given
    if unknown := [mode for mode in modes if not isinstance(mode, str) or mode not in POOLINGS]:
        raise Unreadable(f"'{unknown[0]!s:.40}' is no pooling of sentence-transformers")
    found: dict[str, Any] = {"pooling": [POOLINGS[mode] for mode in modes]}
    return found | ({"include_prompt": False} if fields.get("include_prompt") is False else {})


def _dense(config: dict[str, Any]) -> dict[str, Any]:
    fields = require_fields(config, {"in_features": int, "out_features": int}, {"activation_function": str})
    activation = fields.get("activation_function") or "Tanh"  # the library's default
    return {
        "in": fields["in_features"],
        "out": fields["out_features"],
        "activation": _short(activation).rpartition(".")[2],
    }


def _length(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the stated length of a row, and whether texts are lower-cased before they are tokenized."""
    path = next((folder / name for name in LENGTHS if (folder / name).exists()), None)
    if path is None:
        return
    fields = require_fields(_object(path), {}, {"max_seq_length": int, "do_lower_case": bool})
    if fields.get("max_seq_length") is not None:
        yield "max_length", fields["max_seq_length"]
    if fields.get("do_lower_case"):
        yield "lower_case", True


def _settings(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield prompts, similarity and kind of model."""
    if not (folder / SETTINGS).exists():
        return
    texts = dict.fromkeys(("default_prompt_name", "similarity_fn_name", "model_type"), str)
    fields = require_fields(_object(folder / SETTINGS), {}, {"prompts": dict, **texts})
    prompts = require_fields(fields.get("prompts") or {}, {}, dict.fromkeys(fields.get("prompts") or {}, str))
    if len(prompts) > MAX_MODULES:
        raise Unreadable(f"{SETTINGS} has more than {MAX_MODULES} prompts")
    if kept := {_short(name): _short(text) for name, text in prompts.items() if text}:
        yield "prompts", kept
    for name, key in zip(("default_prompt", "similarity", "model_type"), texts, strict=True):
        if fields.get(key):
            yield name, _short(fields[key])


def _short(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Unreadable(f"a text of {len(text):,} characters, and at most {MAX_TEXT:,} are kept")
    return text

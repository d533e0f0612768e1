"""Give the library a folder that holds the digested files of a checkpoint and nothing else."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from src.errors import UserError, flatten
from src.models.checkpoint import HARMLESS_KEYS, Checkpoint, file_sha256
from src.models.config_json import WEIGHTS_KEY
from src.models.huggingface import WEIGHTS
from src.models.tokenizer_files import TOKENIZER_CONFIG, TOKENIZER_FILES, names_a_file, read_tokenizer_config
from src.models.weights import Shapes, read_shapes
from src.storage.files import Unreadable

# The library computes use_return_dict itself, and fails if a configuration states it.
DROPPED_KEYS = {*HARMLESS_KEYS, WEIGHTS_KEY, "use_return_dict"}


def restricted_folder(checkpoint: Checkpoint) -> Path:
    """Return a folder of links to the digested files, which exists until the process ends.

    Its config.json and tokenizer_config.json are written from the checked ones, without keys that
    name other files.

    Raises
    ------
    UserError
        A file has changed since it was digested, or no temporary folder can be made.
    """
    names = {name: digest for name, digest in checkpoint.tokenizer.items() if name in TOKENIZER_FILES}
    digests = {**checkpoint.weights, **names}
    changed = [name for name, digest in digests.items() if file_sha256(checkpoint.folder / name) != digest]
    if changed:
        raise UserError(f"{changed[0]} of '{checkpoint.label}' has changed since this run began. Start the run again.")
    content = json.dumps([str(checkpoint.folder.resolve()), digests, checkpoint.config], sort_keys=True)
    try:
        folder = _temporary_folder(os.getpid()) / hashlib.sha256(content.encode()).hexdigest()[:16]
        if not folder.is_dir():
            _fill(folder, checkpoint, digests)
    except OSError as error:
        raise UserError(
            f"no temporary folder can be made: {flatten(error, 160)}. Set TMPDIR to one that has room."
        ) from error
    return folder


def stored_shapes(checkpoint: Checkpoint) -> dict[str, Shapes]:
    """Return the shapes of the weights by file; UserError for a damaged file."""
    found: dict[str, Shapes] = {}
    for name in checkpoint.weights:
        try:
            found[name] = read_shapes(checkpoint.folder / name)
        except (OSError, Unreadable) as error:
            raise UserError(
                f"'{checkpoint.label}' cannot be loaded: {name} cannot be read ({flatten(error, 120)}).\n"
                "The file may be damaged or cut short: get it again."
            ) from error
    return found


def _fill(folder: Path, checkpoint: Checkpoint, digests: dict[str, str]) -> None:
    """Make a folder of links to the digested files, with written configurations."""
    places = {}
    if list(checkpoint.weights) != [WEIGHTS[0]]:  # read first: a damaged file leaves no folder behind
        places = {tensor: name for name, shapes in stored_shapes(checkpoint).items() for tensor in shapes}
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    config = {key: value for key, value in checkpoint.config.items() if key not in DROPPED_KEYS}
    (part / "config.json").write_text(json.dumps(config))
    for name in digests:
        source = (checkpoint.folder / name).resolve()
        if name == TOKENIZER_CONFIG:
            stated = read_tokenizer_config(checkpoint.folder, checkpoint.label, checkpoint.tokenizer)
            (part / name).write_text(json.dumps({key: value for key, value in stated.items() if not names_a_file(key)}))
            continue
        try:
            (part / name).symlink_to(source)
        except OSError:  # a system without links
            shutil.copyfile(source, part / name)
    if places:
        (part / WEIGHTS[1]).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    part.rename(folder)


@lru_cache(maxsize=1)
def _temporary_folder(process: int) -> Path:
    """Return a temporary folder of this process, which is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="checkpoint-"))

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder

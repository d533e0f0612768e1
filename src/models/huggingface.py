"""Read the files of a checkpoint in the Hugging Face layout. Nothing of the library is imported."""

from __future__ import annotations

from pathlib import Path

from src.errors import UserError
from src.models.checkpoint import Checkpoint, file_sha256
from src.models.config_json import WEIGHTS_KEY, read_config, read_object
from src.models.statements import STATEMENT_FILES, read_statements
from src.models.tokenizer_files import TOKENIZER_FILES, VOCABULARY_FILES, read_tokenizer_config

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER = "adapter_config.json"
# Patterns of the files that are downloaded for a hub id.
DOWNLOADED = ["config.json", "*.safetensors", WEIGHTS[1], ADAPTER, *TOKENIZER_FILES, *STATEMENT_FILES]


def read_checkpoint(folder: Path, given: str, label: str, commit: str | None, lower_case: bool | None) -> Checkpoint:
    """Check the files of a folder and digest those that determine its features.

    Parameters
    ----------
    given : str
        `model.path`, for messages.
    label, commit, lower_case
        As in `Checkpoint`.

    Raises
    ------
    UserError
        The folder is no model, holds an adapter, or has no usable weights or tokenizer.
    """
    config = read_config(folder, given)
    if (folder / ADAPTER).exists():
        raise UserError(
            f"model.path={given} holds an adapter ({ADAPTER}), and adapters are not applied. Merge it into its model "
            "(merge_and_unload), and save that in a folder of its own."
        )
    weights = [folder / config[WEIGHTS_KEY]] if config.get(WEIGHTS_KEY) else _weight_files(folder, given)
    tokenizer = _tokenizer_digests(folder, given)
    casing = {} if lower_case is None else {"model.do_lower_case": str(lower_case).lower()}
    return Checkpoint(
        folder=folder,
        label=label,
        commit=commit,
        weights={path.name: file_sha256(path) for path in weights},
        tokenizer=tokenizer | casing,
        config=config,
        lower_case=lower_case,
        stated=read_statements(folder, given),
    )


def _tokenizer_digests(folder: Path, given: str) -> dict[str, str]:
    """Return the SHA-256 of each tokenizer file in a folder, by its name."""
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):  # the library would invent an empty vocabulary
        raise UserError(
            f"model.path={given} holds no tokenizer: one of {', '.join(VOCABULARY_FILES)} is needed beside the weights."
        )
    _check_regular(folder, TOKENIZER_FILES, given)
    digests = {name: file_sha256(folder / name) for name in TOKENIZER_FILES if (folder / name).is_file()}
    read_tokenizer_config(folder, given, digests)
    return digests


def _check_regular(folder: Path, names: tuple[str, ...], given: str) -> None:
    """Raise UserError if one of the names exists but is no regular file."""
    for name in names:
        if (folder / name).exists() and not (folder / name).is_file():
            raise UserError(f"model.path={given}: {name} is no regular file. Get the checkpoint again.")


def _weight_files(folder: Path, given: str) -> list[Path]:
    """Return the safetensors files of a checkpoint: those of its index, if it has one."""
    single, index = (folder / name for name in WEIGHTS)
    if single.is_file():
        return [single]
    _check_regular(folder, WEIGHTS, given)
    if index.is_file():
        return [folder / name for name in _indexed_files(index, given)]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    reason = f"{pickles[0]} is a pickle, and pickles are not loaded" if pickles else "there is no model.safetensors"
    raise UserError(
        f"model.path={given} holds no weights that can be used: {reason}. Convert it with save_pretrained "
        "(transformers "
        "writes safetensors), or choose another checkpoint or model.revision."
    )


def _indexed_files(index: Path, given: str) -> list[str]:
    """Return the names of the files that an index of weights lists, in order."""
    places = read_object(index, given).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise UserError(
            f"model.path={given}: {index.name} cannot be read (no weight_map of names to files). Get the file again."
        )
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name or not (index.parent / name).is_file():
            raise UserError(f"model.path={given}: {name}, named by {index.name}, is missing. Get the checkpoint again.")
        if not name.endswith(".safetensors"):
            raise UserError(
                f"model.path={given}: {name}, named by {index.name}, is not in the safetensors format. Convert the "
                "model."
            )
    return names

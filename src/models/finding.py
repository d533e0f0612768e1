"""Find the checkpoint of `model.path`: a folder, a hub id, or one that comes with the suite."""

from __future__ import annotations

from pathlib import Path

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models import huggingface
from src.models.checkpoint import Checkpoint
from src.models.tensorflow import folder as tensorflow
from src.registry import unknown
from src.runtime import hub

EMBEDDED = "embedded:"  # stands before the name of a checkpoint that comes with the suite
EMBEDDED_DIR = Path(__file__).resolve().parents[1] / "embedded"


def find_checkpoint(config: ModelConfig) -> Checkpoint:
    """Return the checkpoint of a configuration, from a local folder, the hub's cache or the hub.

    Raises
    ------
    UserError
        `model.path` is not set, no such folder, files that are no model, weights that are not
        safetensors, or the hub cannot be reached.
    """
    if config.format == "tensorflow":
        return tensorflow.read_checkpoint(config)
    folder, commit = _locate(config)
    path = str(config.path)
    label = path if commit else folder.resolve().name
    return huggingface.read_checkpoint(folder, path, label, commit, config.do_lower_case)


def check_model(config: ModelConfig) -> None:
    """Check that a checkpoint's folder is there or, where the hub cannot be reached, a copy in its cache.

    For errors see `find_checkpoint`; the files themselves are not read.
    """
    if config.format != "tensorflow" and not (is_remote(config) and hub.go_offline_unless_reachable()):
        _locate(config)


def _locate(config: ModelConfig) -> tuple[Path, str | None]:
    """Return the folder of a checkpoint in the Hugging Face layout, and its commit if it comes from the hub."""
    if not config.path:
        raise UserError(
            "no model is named. Use model=checkpoint model.path=<hub id or folder>, or one by name: "
            "model=bert-base-uncased."
        )
    folder = embedded_checkpoint(config.path) if config.path.startswith(EMBEDDED) else Path(config.path).expanduser()
    if folder.is_dir():
        if config.revision is not None:
            raise UserError(
                f"model.revision={config.revision}: model.path={config.path} is a local folder, and folders have no "
                "revision. "
                "Set model.revision=null, or give model.path a hub id."
            )
        return folder, None
    if hub.looks_like_path(config.path):
        raise UserError(
            f"model.path={config.path}: no such folder. Give a folder that holds config.json and model.safetensors, "
            "or a hub id such as google-bert/bert-base-uncased."
        )
    return _download(config.path, config.revision)


def _download(path: str, revision: str | None) -> tuple[Path, str]:
    """Return folder and commit of a hub id.

    Without a revision, the hub's conversion is used if main has no safetensors file.
    """
    folder, commit = hub.snapshot(path, revision, huggingface.DOWNLOADED)
    if revision is None and not any((folder / name).is_file() for name in huggingface.WEIGHTS):
        conversion = hub.conversion(path)
        if not conversion:
            raise UserError(
                f"model.path={path} has no safetensors weights on its main branch, and pickles are not loaded. "
                "Set model.revision to a revision that has them (often refs/pr/1), or choose another checkpoint."
            )
        folder, commit = hub.snapshot(path, conversion, huggingface.DOWNLOADED)
    return folder, commit


def embedded_checkpoint(path: str) -> Path:
    """Return the folder of a checkpoint of the suite; UserError for an unknown name."""
    known = sorted(place.name for place in EMBEDDED_DIR.glob("*") if (place / "config.json").is_file())
    name = path.removeprefix(EMBEDDED)
    if name not in known:
        raise unknown("embedded checkpoint", name, known)
    return EMBEDDED_DIR / name


def is_remote(config: ModelConfig) -> bool:
    """Return whether `find_checkpoint` would ask the hub, or the hub's cache, for the model."""
    path = config.path or ""
    return (
        config.format == "huggingface"
        and hub.is_hub_id(path)
        and not Path(path).is_dir()
        and not hub.looks_like_path(path)
    )

"""The configuration of a finished run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.messages import explain
from src.cli.validation import parse_config
from src.config.schema import Config
from src.errors import UserError, flatten
from src.storage.files import MAX_BYTES, open_regular

STORED = Path(".hydra", "config.yaml")


def read_stored_config(folder: Path, changes: Mapping[str, Any]) -> Config:
    """Return the configuration that a run was made with.

    Parameters
    ----------
    folder : Path
        The run's folder.
    changes : mapping
        Values by dotted key that replace the run's own.

    Raises
    ------
    UserError
        The folder holds no configuration, it cannot be read, or a value is refused.
    """
    try:
        with open_regular(folder / STORED) as file:
            loaded = OmegaConf.create(file.read(MAX_BYTES).decode())
    except FileNotFoundError:
        raise UserError(
            f"'{folder}' is not the folder of a run: it has no {STORED}. Give record=FOLDER, as a run leaves it."
        ) from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError, OmegaConfBaseException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else flatten(error, 160)
        raise UserError(f"cannot read {folder / STORED}: {reason}. Name another run.") from None
    if not isinstance(loaded, DictConfig):
        raise UserError(f"cannot read {folder / STORED}: it is no configuration. Name another run.")
    try:
        for key, value in changes.items():
            OmegaConf.update(loaded, key, value)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    return parse_config(loaded)

"""What the commands here that take the main door's words share: a checked configuration for each task, and JSON for records."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from src.cli.application import register
from src.cli.messages import format_error, print_text
from src.cli.overrides import check_overrides
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config
from src.errors import UserError

DIGITS = 8  # significant ones that a record keeps


def configs(words: Sequence[str], about: str | None = None) -> list[Config]:
    """One checked configuration for each task that `dataset=a,b` names, the other words as `python -m src.run` reads them.

    ``--help`` prints `about`, the command's description, and exits with status 0.

    Raises
    ------
    UserError
        Whatever the main door refuses.
    """
    if {"-h", "--help"} & set(words):
        print_text(f"{(about or '').strip()}\n\nThe words are those of python -m src.run, whose --help lists them.")
        sys.exit(0)
    register()
    named = [word for word in words if word.startswith("dataset=")]
    tasks = [f"dataset={name}" for name in named[-1].removeprefix("dataset=").split(",")] if named else []
    rest = [word for word in words if word not in named]
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            return [
                parse_config(compose("config", check_overrides([*rest, *task], sweeps=False)))
                for task in ([[each] for each in tasks] or [[]])
            ]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(format_error(error)) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record: sorted keys, numbers of `DIGITS` significant digits, what is no finite number as null."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(rounded(content), indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise UserError(f"output={path} cannot be written: {error.strerror}. Name another file.") from error


def rounded(value: Any) -> Any:
    """The same with every float cut to `DIGITS` significant digits.

    >>> rounded({"a": [0.123456789123, float("inf"), 3]})
    {'a': [0.12345679, None, 3]}
    """
    if isinstance(value, Mapping):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if value - value == 0 else None
    return value

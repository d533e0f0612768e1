"""Checked configurations for the commands: from override words, or from one option of conf/."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from src.cli.application import register
from src.cli.messages import format_error, print_text
from src.cli.overrides import check_overrides
from src.cli.structured import load_option
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config, DatasetConfig, ProbeConfig
from src.errors import UserError
from src.registry import unknown


def configs(words: Sequence[str], about: str | None = None) -> list[Config]:
    """Return a checked configuration for each dataset of `dataset=a,b`.

    The overrides are those of ``python -m src.run``. ``--help`` prints `about`, the command's
    description, and exits with status 0.

    Raises
    ------
    UserError
        An override is not allowed, as in `python -m src.run`.
    """
    if {"-h", "--help"} & set(words):
        print_text(f"{(about or '').strip()}\n\nThe options are those of python -m src.run, whose --help lists them.")
        sys.exit(0)
    register()
    named = [word for word in words if word.startswith("dataset=")]
    datasets = [f"dataset={name}" for name in named[-1].removeprefix("dataset=").split(",")] if named else []
    rest = [word for word in words if word not in named]
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            return [
                parse_config(compose("config", check_overrides([*rest, *dataset], sweeps=False)))
                for dataset in ([[each] for each in datasets] or [[]])
            ]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(format_error(error)) from error


def dataset_config(name: str) -> DatasetConfig:
    """Return a dataset of conf/dataset by its name.

    Raises
    ------
    UserError
        There is no such dataset.
    """
    known = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml") if path.stem not in ("files", "hub"))
    if name not in known:
        raise unknown("dataset", name, known)
    return load_option(DatasetConfig, "dataset", name)


def probe_config(name: str) -> ProbeConfig:
    """Return a probe of conf/probe by its name."""
    return load_option(ProbeConfig, "probe", name)

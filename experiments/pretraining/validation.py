"""Checks of the settings of a pre-training, made before anything is read or loaded."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.pretraining.recipe import DEVICES, DTYPES, EMBEDDINGS, NEGATIVES, OBJECTIVES, Pretraining, Shape
from src.cli.messages import explain
from src.cli.structured import merge_into
from src.errors import UserError

LEAST = {
    "shape": {"layers": 1, "width": 1, "heads": 1, "vocab_size": 100},
    "schedule": {"steps": 1, "seed": 0, "warmup": 0, "decay": 0},
    "pace": {"evaluate": 1, "save": 1, "workers": 1, "threads": 1, "held_out_rows": 1},
}
CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "pace": {"device": DEVICES},
    "schedule": {"embeddings": EMBEDDINGS, "objective": OBJECTIVES, "negatives": NEGATIVES, "dtype": DTYPES},
}
SHORTEST_ROW = 16  # word pieces


def parse(composed: DictConfig) -> Pretraining:
    """Return the checked settings of a composed configuration.

    Raises
    ------
    UserError
        A key is unknown, or a value has the wrong type or is out of its range.
    """
    try:
        plain: Any = OmegaConf.to_container(composed, throw_on_missing=True)
        plain.pop("hydra", None)
        config = merge_into(Pretraining, plain)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if config.text is None:
        raise UserError("text is not set. Name a folder of .txt files, a document each: text=FOLDER.")
    check_numbers(config)
    check_shape(config)
    check_lengths(config)
    check_choices(config)
    return config


def check_numbers(config: Pretraining) -> None:
    """Raise UserError if a number is out of its range."""
    for section, bounds in LEAST.items():
        for key, least in bounds.items():
            value = getattr(getattr(config, section), key)
            if value is not None and value < least:
                raise UserError(f"{section}.{key}={value}: at least {least} is needed.")
    if config.schedule.seed >= 2**63:
        raise UserError(f"schedule.seed={config.schedule.seed}: less than 2**63 is needed.")
    if not 0 < config.held_out < 1:
        raise UserError(f"held_out={config.held_out}: a fraction between 0 and 1 is needed, such as 0.02.")
    for key in ("clip", "deviation"):
        value = getattr(config.schedule, key)
        if not 0 < value < math.inf:
            raise UserError(f"schedule.{key}={value}: a number above 0 is needed.")
    for key in ("rate", "weight_decay"):
        value = getattr(config.schedule, key)
        if not 0 <= value < math.inf:
            raise UserError(f"schedule.{key}={value}: 0 or more is needed.")
    if not 0 <= config.schedule.dropout < 1:
        raise UserError(f"schedule.dropout={config.schedule.dropout}: 0 or a fraction below 1 is needed, such as 0.1.")


def check_shape(config: Pretraining) -> None:
    """Raise UserError if the shape contradicts the checkpoint or its heads."""
    shape = config.shape
    if config.model.path is not None and shape != Shape():
        raise UserError(
            "shape.* is for fresh weights, and the checkpoint of model.path has a shape already. Leave one of them out."
        )
    if shape.width % shape.heads:
        raise UserError(f"shape.width={shape.width} cannot be shared by shape.heads={shape.heads}: use a multiple.")


def check_lengths(config: Pretraining) -> None:
    """Raise UserError if no row length has a share of the steps, or one is out of range."""
    lengths = config.schedule.lengths
    if not lengths or min(lengths.values()) < 0 or sum(lengths.values()) <= 0:
        raise UserError(
            f"schedule.lengths={lengths}: word pieces a row with their shares of the steps are needed, such as "
            "schedule.lengths.128=1; a new length takes +schedule.lengths.32=1."
        )
    used = used_lengths(config)
    if min(used) < SHORTEST_ROW or (config.model.path is None and max(used) > config.shape.positions):
        raise UserError(
            f"schedule.lengths={lengths}: rows of {SHORTEST_ROW} to shape.positions={config.shape.positions} "
            "word pieces are allowed."
        )


def used_lengths(config: Pretraining) -> list[int]:
    """Return the row lengths of training and evaluation, in word pieces."""
    return [config.pace.held_out_length, *(length for length, share in config.schedule.lengths.items() if share)]


def check_choices(config: Pretraining) -> None:
    """Raise UserError if a named choice is unknown."""
    for section, keys in CHOICES.items():
        for key, allowed in keys.items():
            check_choice(f"{section}.{key}", getattr(getattr(config, section), key), allowed)


def check_choice(key: str, value: object, allowed: Collection[str]) -> None:
    """Raise UserError if the value of a key is not among the allowed ones."""
    if value not in allowed:
        raise UserError(f"{key}={value}: one of {', '.join(allowed)} is needed.")

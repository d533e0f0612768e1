"""Validation: a composed configuration is checked once and becomes a frozen `Config`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.defaults import complete_probe, headline_first, named_after_hub, named_after_path, one_of
from src.cli.messages import explain
from src.cli.structured import Schema, merge_into, to_dataclass
from src.config import limits, schema
from src.config.limits import at_least, at_most
from src.config.schema import (
    Config,
    DatasetConfig,
    ModelConfig,
    PoolingConfig,
    ProbeConfig,
    RuntimeConfig,
    TrackerConfig,
)
from src.errors import UserError, refuse_credentials
from src.pooling import CONCAT, poolings
from src.registry import unknown
from src.runtime.logs import log_once

FEWEST_PARTS, MOST_PARTS = 2, 3  # of a concatenation

log = logging.getLogger(__name__)


def parse_config(composed: DictConfig) -> Config:
    """Check a composed configuration and return it as frozen dataclasses.

    Raises
    ------
    UserError
        An unknown key, a value of the wrong type or out of its range, credentials, or a pooling,
        layer, probe and pairing that do not go together.
    """
    try:
        values = _resolved(composed)
        values["probe"] = merge_into(ProbeConfig, complete_probe(values["probe"], values["dataset"]["task"]), "probe")
    except OmegaConfBaseException as error:
        raise explain(error) from error
    probe, pairing = values.pop("probe"), values.pop("pairing")
    config = replace(to_dataclass(Config, values), probe=probe)
    refuse_credentials(dataclasses.asdict(config))  # again, as interpolations are resolved now
    dataset = headline_first(named_after_hub(config.dataset))
    return check(replace(config, model=named_after_path(config.model), dataset=dataset), pairing)


def parse_tracker(composed: DictConfig) -> TrackerConfig:
    """Return the tracker of a composed configuration, whose other groups may be invalid.

    Raises
    ------
    omegaconf.errors.OmegaConfBaseException
        An unknown key, or a value of the wrong type.
    """
    return merge_into(TrackerConfig, composed.tracker, "tracker")


def _resolved(composed: DictConfig) -> dict[str, Any]:
    """Return the typed values of a composed configuration, its interpolations resolved."""
    if OmegaConf.get_type(composed) is not Schema or "hydra" in composed:
        names = [str(key) for key in composed if key not in ("hydra", "experiment")]
        composed = OmegaConf.merge(OmegaConf.structured(Schema), OmegaConf.masked_copy(composed, names))  # type: ignore
    values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "experiment"}


def check(config: Config, pairing: str | None) -> Config:
    """Check values and their combinations before any file is read.

    `pairing` is the one that was asked for, None if it is unset.

    Returns
    -------
    Config
        With the pairing and the metrics that the probe's protocol asks for.

    Raises
    ------
    UserError
        A value is out of its range, or does not go with another one.
    """
    check_pooling(config.pooling, config.layer)
    if pairing is not None:
        one_of("pairing", pairing, schema.PAIRINGS)
    check_tracker_settings(config.tracker)
    at_least("seed", config.seed, 0)
    at_least("draws", config.draws, 1)
    at_most("draws", config.draws, limits.MAX_DRAWS)
    check_model(config.model)
    check_runtime(config.runtime)
    check_dataset(config.dataset)
    dataset, probe = config.dataset, config.probe
    if pairing == "separate" and dataset.text_pair is None:
        raise UserError(
            f"pairing=separate needs two texts a row, and {dataset.name} has one. Leave pairing out, or name "
            "dataset.text_pair."
        )
    if probe.task != dataset.task:
        # The task of a dataset that states no metrics is the user's to name.
        other_task = "" if dataset.metrics else f"Set dataset.task={probe.task} if its labels are of that kind, or "
        raise UserError(
            f"probe={probe.name} is for {probe.task}, and {dataset.name} is {dataset.task}. "
            f"{other_task or 'Leave probe out, or '}use probe={schema.DEFAULT_PROBE[dataset.task]}."
        )
    return check_probe(config, pairing)


def check_pooling(pooling: PoolingConfig, layer: int) -> None:
    """Check a pooling, the parts of a concatenation, and the layer; raise a UserError."""
    if pooling.name == CONCAT:
        check_parts(pooling.of)
    elif pooling.of:
        raise UserError(
            f"pooling.of=[{','.join(pooling.of)}] names the parts of pooling={CONCAT}, got pooling={pooling.name}. "
            f"Use pooling={CONCAT}, or leave pooling.of out."
        )
    for part in pooling.of or [pooling.name]:
        poolings[part].check_layer(layer)


def check_parts(parts: Sequence[str]) -> None:
    """Check the poolings of a concatenation.

    Raises
    ------
    UserError
        There are fewer than two or more than three, one is unknown, or one is named twice.
    """
    given = f"pooling.of=[{','.join(parts)}]"
    if not FEWEST_PARTS <= len(parts) <= MOST_PARTS:
        raise UserError(
            f"pooling={CONCAT} puts {FEWEST_PARTS} or {MOST_PARTS} poolings side by side, got {given}. "
            f"Name them, as in pooling={CONCAT} 'pooling.of=[cls,mean]'."
        )
    for part in parts:
        if part not in poolings:
            raise unknown("pooling", part, poolings, where=f"{given}: ")
    if repeated := [part for part in parts if parts.count(part) > 1]:
        raise UserError(f"{given}: {repeated[0]} is named twice. Name different poolings.")


def check_tracker_settings(tracker: TrackerConfig) -> None:
    """Check the tracker's mode, its names and what it logs; raise a UserError."""
    one_of("tracker.mode", tracker.mode, schema.MODES)
    limits.check_tracker(tracker)
    if tracker.text and not tracker.examples:
        raise UserError(
            "tracker.text=true adds the texts to the table of examples: set tracker.examples=true beside it."
        )


def check_model(model: ModelConfig) -> None:
    """Check a model's length and format, and refuse keys of the other format; raise a UserError."""
    at_least("model.max_length", model.max_length, 4)
    one_of("model.format", model.format, schema.FORMATS)
    if model.format == "tensorflow":
        if model.hidden_act is not None:
            one_of("model.hidden_act", model.hidden_act, schema.HIDDEN_ACTS)
        if model.revision is not None:
            raise UserError(
                f"model.revision={model.revision}: model=google reads folders, which have no revision. Leave it out."
            )
        return
    for key in ("config", "vocab", "hidden_act"):
        if (value := getattr(model, key)) is not None:
            raise UserError(
                f"model.{key}={value} is for original TensorFlow checkpoints (model=google). Add that, or leave this "
                "out."
            )


def check_runtime(runtime: RuntimeConfig) -> None:
    """Check where and how fast to compute; raise a UserError."""
    one_of("runtime.device", runtime.device, schema.DEVICES)
    one_of("runtime.dtype", runtime.dtype, schema.DTYPES)
    one_of("runtime.log", runtime.log, schema.LOG_LEVELS)
    at_least("runtime.token_budget", runtime.token_budget, 1)
    at_least("runtime.threads", runtime.threads, 1)
    at_least("runtime.shards", runtime.shards, 1)
    at_most("runtime.shards", runtime.shards, limits.MAX_SHARDS)
    at_least("runtime.shard", runtime.shard, 0)
    if runtime.shard is not None and runtime.shard >= runtime.shards:
        last = runtime.shards - 1
        raise UserError(f"runtime.shard={runtime.shard}: with runtime.shards={last + 1} the shards are 0 to {last}.")


def check_dataset(dataset: DatasetConfig) -> None:
    """Check a dataset's task, its selection, its folds and its metrics; raise a UserError."""
    from src.evaluation.metrics import metrics

    one_of("dataset.task", dataset.task, schema.TASKS)
    one_of("dataset.selection", dataset.selection, schema.SELECTIONS)
    at_least("dataset.folds", dataset.folds, 2)
    at_most("dataset.folds", dataset.folds, limits.MAX_FOLDS)
    for name in [*([dataset.metric] if dataset.metric else []), *dataset.metrics]:
        if name not in metrics:
            raise unknown("metric", name, metrics, where=f"{dataset.name}: ")
        if metrics[name].task != dataset.task:
            known = ", ".join(each for each in metrics if metrics[each].task == dataset.task)
            task = metrics[name].task
            raise UserError(
                f"{dataset.name}: metric '{name}' is for {task}, and dataset.task is {dataset.task}. Allowed: {known}."
            )


def check_probe(config: Config, asked: str | None) -> Config:
    """Check the probe and its protocol, and return the configuration as the protocol reads it.

    `asked` is the pairing, None if it is unset.

    Raises
    ------
    UserError
        A value of the probe is out of its range, or its protocol refuses it.
    """
    from src.probes.protocols.base import get_protocol

    probe, dataset = config.probe, config.dataset
    protocol = get_protocol(probe)
    one_of("probe.features", probe.features, protocol.SCALINGS)
    one_of("probe.similarity", probe.similarity, schema.SIMILARITIES)
    protocol.check_config(probe, dataset, config.draws)
    protocol.validate(probe.grid)
    pairing = protocol.pairing(asked, dataset.text_pair is not None) or config.pairing
    if pairing != (asked or config.pairing):
        log_once(log, f"probe={probe.name} reads the two texts of a row with pairing={pairing}", logging.INFO)
    if not 0 < probe.carve < 1:
        raise UserError(
            f"probe.carve={probe.carve}: a fraction of the training rows between 0 and 1 is needed, such as 0.2."
        )
    at_least("probe.resamples", probe.resamples, 100)
    at_most("probe.resamples", probe.resamples, limits.MAX_RESAMPLES)
    if protocol.FITTED:
        limits.check_grid("probe.grid", probe.grid)
    return replace(config, pairing=pairing, dataset=protocol.scored_by(dataset))

"""Preparation: all that can be read and checked before a forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from src.config.paths import cache_folder
from src.config.schema import Config, DatasetConfig, ProbeConfig
from src.data.dataset import Dataset
from src.data.loading import load_dataset
from src.data.presence import check_data
from src.features.extractor import FeatureExtractor
from src.features.inputs import PoolingTarget
from src.models.checkpoint import Checkpoint
from src.models.finding import check_model, find_checkpoint, is_remote
from src.models.options import TOKEN_BUDGETS, EncodingOptions
from src.pooling import parts_of, poolings
from src.probes.checks import check_training_split
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeSettings
from src.results.result import SCHEMA
from src.runtime import provenance
from src.runtime.clock import Clock
from src.runtime.devices import device_kind
from src.storage.arrays import ArrayStore
from src.storage.keys import content_key


@dataclass
class PreparedRun:
    """A run whose input is read and checked, and whose key is known; nothing is computed yet."""

    config: Config
    data: Dataset
    extractor: FeatureExtractor
    target: PoolingTarget
    clock: Clock

    @property
    def identity(self) -> dict[str, Any]:
        """Resolved values and digests that determine the numbers, without option names."""
        config = self.config
        pooling, layer = self.target
        codes = [poolings[part].code for part in parts_of(pooling)]
        return {
            "schema": SCHEMA,
            "encoder": self.extractor.identity(),
            "pooling": pooling,
            "code": codes[0] if len(codes) == 1 else codes,
            "layer": layer,
            "pairing": config.pairing if self.data.has_pairs else None,
            **self.data.identity(),
            "probe": {key: value for key, value in config.probe.as_record().items() if key != "name"},
            "seed": config.seed,
            "draws": config.draws,
        }

    @property
    def key(self) -> str:
        """The record's key: a digest of `identity`."""
        return content_key(self.identity)

    @property
    def probe(self) -> ProbeConfig:
        """The probe's section of the configuration."""
        return self.config.probe

    @property
    def settings(self) -> ProbeSettings:
        """The settings of the probe's fit."""
        return probe_settings(self.config, self.data)

    @property
    def names(self) -> dict[str, str]:
        """Names of the options; runs with equal keys may differ in them."""
        return {"dataset": self.data.name, "model": self.model_name, "probe": self.probe.name}

    @property
    def model_name(self) -> str:
        """Name of the option; for `model=checkpoint` the hub id or the folder's last name."""
        return self.extractor.checkpoint.label if self.config.model.name == "checkpoint" else self.config.model.name

    @property
    def resolved(self) -> dict[str, Any]:
        """The configuration as trackers show it: as resolved, without a path of this machine."""
        config = self.config
        values = {"layer": self.target[1], "pairing": config.pairing, "seed": config.seed, "draws": config.draws}
        names = {**self.names, "pooling": self.target[0]}
        stated = self.extractor.checkpoint.stated
        extra = {"stated": stated} if stated else {}
        return {**names, **values, "settings": self.resolved_settings, **extra, "key": self.key}

    @property
    def own_label(self) -> dict[str, str]:
        """The column of the labels of a user's own rows, if it is named: such rows may have several."""
        dataset = self.config.dataset
        is_own = dataset.local is None and dataset.generated is None
        named = is_own and dataset.label is not None and dataset.label != DatasetConfig.label
        return {"label": str(dataset.label)} if named else {}

    @property
    def resolved_settings(self) -> dict[str, Any]:
        """The sections of the configuration as records hold them."""
        config, extractor, data = self.config, self.extractor, self.data
        return {
            "model": {
                "path": extractor.checkpoint.label,
                "revision": config.model.revision,
                "max_length": extractor.info.max_length,
                "hidden_act": extractor.checkpoint.config.get("hidden_act"),
            },
            "dataset": {
                "task": data.task,
                "selection": data.selection,
                "folds": data.folds,
                "metrics": list(data.metrics),
                "classes": list(data.classes),
                **self.own_label,
            },
            "probe": config.probe.as_record(),
            **({"pooling": {"of": list(config.pooling.of)}} if config.pooling.of else {}),
            "runtime": {
                "dtype": config.runtime.dtype,
                "attention": extractor.info.attention,
                "kernel": extractor.info.kernel,
                "token_budget": extractor.options.token_budget,
            },
        }


def prepare(config: Config, data: Dataset | None = None) -> PreparedRun:
    """Read and check all input, before a forward pass.

    Parameters
    ----------
    config : Config
    data : Dataset, optional
        Rows that are in memory; None reads those of the configuration.

    Raises
    ------
    UserError
        The data or the checkpoint cannot be used, or the probe's protocol cannot be followed on the data.
    """
    check_training_split(config.probe, config.dataset)

    def check(data: Dataset) -> None:
        get_protocol(config.probe).check(probe_settings(config, data), data)

    return open_run(config, check, data)


def open_run(
    config: Config, check: Callable[[Dataset], None] | None = None, data: Dataset | None = None
) -> PreparedRun:
    """Open the store, the checkpoint and the data of a run.

    `check` is called with the data before a checkpoint is downloaded. None: nothing is scored, so the
    user's own rows need no labels. `data` is as in `prepare`.
    """
    clock = Clock()
    with clock.phase("load"):
        store = ArrayStore(cache_folder(config.runtime.cache_dir))
        checkpoint = None if is_remote(config.model) else find_checkpoint(config.model)
        data = read_data(config, labels=check is not None) if data is None else select_roles(config, data)
        if check is not None:
            check(data)
        checkpoint = checkpoint or find_checkpoint(config.model)
    extractor = open_extractor(config, checkpoint, store, clock)
    target = extractor.resolve_target(config.pooling.label, config.layer, config.runtime.also_layers)
    return PreparedRun(config, data, extractor, target, clock)


def check_inputs(config: Config) -> None:
    """Check that the data and the model of a run are there, without reading them whole.

    Raises
    ------
    UserError
        A file or folder is missing, a file of the user's has no row or lacks a column, or the hub cannot be reached
        and its cache lacks the data or the model.
    """
    select, labels = get_protocol(config.probe).select_splits, not config.output
    check_data(select(config.dataset) if labels else config.dataset, config.data_root, labels=labels)
    check_model(config.model)


def open_extractor(config: Config, checkpoint: Checkpoint, store: ArrayStore, clock: Clock) -> FeatureExtractor:
    """Return the extractor of a checkpoint's features, without its model."""
    workers = config.runtime.threads or provenance.cores()
    return FeatureExtractor(checkpoint, encoding_options(config), store, clock, workers, config.runtime.progress)


def read_data(config: Config, *, labels: bool = True) -> Dataset:
    """Read the task of a run, with the roles that the probe's protocol reads; `labels`: as `load_dataset`.

    Without labels nothing is scored, and all splits are read.
    """
    dataset = get_protocol(config.probe).select_splits(config.dataset) if labels else config.dataset
    return select_roles(config, load_dataset(dataset, config.data_root, labels=labels))


def select_roles(config: Config, data: Dataset) -> Dataset:
    """Return a task with the roles that the probe's protocol reads."""
    return get_protocol(config.probe).select_roles(data)


def encoding_options(config: Config) -> EncodingOptions:
    """Return the options of encoding that enter keys, with the device and the token budget resolved."""
    runtime = config.runtime
    device = device_kind(runtime.device)
    token_budget = runtime.token_budget or TOKEN_BUDGETS[device]
    return EncodingOptions(device, runtime.dtype, runtime.attention, token_budget, config.model.max_length)


def probe_settings(config: Config, data: Dataset) -> ProbeSettings:
    """Return the settings of the probe's fit on a dataset."""
    return ProbeSettings.from_config(
        config.probe, selection=data.selection, folds=data.folds, seed=config.seed, draws=config.draws,
        metric=data.metrics[0],
    )  # fmt: skip

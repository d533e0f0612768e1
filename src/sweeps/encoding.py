"""Forward passes before probes, so that no job of a sweep waits for another job's forward pass.

The basic launcher needs none of this: its first job of each task makes the forward pass.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.cli.application import configure_process, leave_job_folder
from src.config.schema import Config, cache_folder, parse
from src.errors import UserError, flatten
from src.runtime.threads import available_threads, limit_threads
from src.sweeps.checks import without_hydra
from src.sweeps.launching import launch_and_wait, launcher_kind
from src.sweeps.plan import SweepPlan

if TYPE_CHECKING:
    from src.features.extractor import FeatureExtractor, Text

NOT_ENCODING = ("pooling", "layer", "probe", "seed", "draws", "tracker")  # keys that change no forward pass
PASSES = ".passes"  # below a sweep's folder: folders of the jobs that encode

log = logging.getLogger("src.sweeps")


def encode_missing(plan: SweepPlan, context: HydraContext, config: DictConfig) -> None:
    """Make the forward passes that the jobs need and the store lacks.

    With joblib this process makes them one after the other on all cores. On a cluster, and where
    ``runtime.shards`` splits a pass, the launcher runs them as jobs of their own. If a pass fails, the
    jobs that need it fail with the reason.
    """
    needed: list[tuple[list[str], Config]] = []
    planned: set[str] = set()
    for overrides in passes([job.overrides for job in plan.jobs]):
        try:
            one = parse(without_hydra(context.config_loader.load_sweep_config(config, overrides)))
            missing = missing_passes(one)
        except (UserError, HydraException, OmegaConfBaseException):
            continue
        if missing - planned:
            planned |= missing
            needed.append((overrides, one))
    if not needed:
        return
    log.info("forward passes first: %d of them", len(planned))
    if launcher_kind(config) == "joblib" and all(one.runtime.shards == 1 for _, one in needed):
        for _, one in needed:
            _try_encode(one)
    else:
        shards = [
            [*overrides, f"runtime.shard={shard}"] for overrides, one in needed for shard in range(one.runtime.shards)
        ]
        _launch_passes(shards, context, config)


def _launch_passes(shards: Sequence[Sequence[str]], context: HydraContext, config: DictConfig) -> None:
    """Run a job for each shard of the passes."""
    jobs = [
        [*overrides, f"hydra.sweep.subdir={PASSES}/{number}", "hydra.output_subdir=null"]
        for number, overrides in enumerate(shards)
    ]
    launcher = Plugins.instance().instantiate_launcher(context, encode_task, config)
    try:
        launch_and_wait(launcher, jobs, 0, config)
    except Exception as error:  # the jobs that need these features fail with the reason
        log.warning("the forward passes could not be made first: %s", flatten(error, 200))


def passes(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the overrides of one job for each forward pass, with all layers that the jobs ask of it.

    >>> passes([["dataset=a", "layer=0", "seed=1"], ["dataset=a", "layer=3", "seed=1"], ["dataset=b", "pooling=max"]])
    [['dataset=a', 'pooling=cls', 'layer=0', 'runtime.also_layers=[3]'], ['dataset=b', 'pooling=cls']]
    """
    groups: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    for overrides in jobs:
        values = {key: value for key, _, value in (word.lstrip("+").partition("=") for word in overrides)}
        kept = (word for word in overrides if word.lstrip("+~").partition("=")[0].partition(".")[0] not in NOT_ENCODING)
        key = tuple(word for word in kept if not word.startswith("runtime.also_layers="))
        layers, also_layers = groups.setdefault(key, ([], []))
        if "layer" in values and values["layer"] not in layers:
            layers.append(values["layer"])
        for layer in values.get("runtime.also_layers", "").strip("[]").split(","):
            if layer and layer not in also_layers:
                also_layers.append(layer)
    found = []
    for key, (layers, also_layers) in groups.items():
        more = [*layers[1:], *also_layers]
        optional = [f"runtime.also_layers=[{','.join(more)}]"] if more else []
        found.append([*key, "pooling=cls", *(f"layer={layer}" for layer in layers[:1]), *optional])
    return found


def missing_passes(config: Config) -> set[str]:
    """Return the names of the passes whose features the store lacks.

    All are returned if the model has never been loaded, because this function loads no model.
    """
    extractor, found, _ = _opened(config)
    if not extractor.known:
        return {f"{extractor.checkpoint.identity} {text.digest}" for text in found}
    target, also = _layers(config, extractor)
    return {f"{extractor.checkpoint.identity} {text.digest}" for text in found if extractor.missing(text, target, also)}


def encode(config: Config) -> None:
    """Make the passes of one configuration, or this job's shard of them."""
    import src.pipeline.run  # noqa: F401  # loads the libraries whose threads are limited

    with limit_threads(config.runtime.threads) as threads:
        config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=threads))
        extractor, found, bags = _opened(config)
        target, also = _layers(config, extractor)
        for text in found:
            if config.runtime.shard is not None and config.runtime.shards > 1:
                extractor.share(text, target, also, config.runtime.shard, config.runtime.shards)
            elif missing := extractor.missing(text, target, also):
                extractor.features(text, missing[0], [*also, target[1]])
        if config.runtime.shard in (None, 0):
            for text in bags:
                extractor.tokens(text)


def encode_task(composed: DictConfig) -> None:
    """Make the passes of a composed configuration, in a process of a launcher."""
    configure_process()
    leave_job_folder()
    _try_encode(parse(composed))


def _try_encode(config: Config) -> None:
    try:
        encode(config)
    except Exception as error:  # the jobs that need these features fail with the reason
        log.warning("a forward pass could not be made first: %s", flatten(error, 200))


def _opened(config: Config) -> tuple[FeatureExtractor, list[Text], list[Text]]:
    """Return an extractor without its model, the texts to encode, and the texts whose word pieces the baseline counts."""
    from src.data import dataset as data
    from src.features.extractor import FeatureExtractor, texts
    from src.models import checkpoint
    from src.runtime.clock import Clock
    from src.storage.store import ArrayStore

    store = ArrayStore(cache_folder(config.runtime))
    read, found = data.load(config.dataset, config.data_root), checkpoint.find(config.model)
    extractor = FeatureExtractor(found, config, store, Clock(), config.runtime.threads or available_threads())
    names = list(read.splits) if config.output else list(dict.fromkeys(read.roles.values()))

    def unique(pairing: str) -> list[Text]:
        return list(
            {text.digest: text for name in names for text in texts(read.splits[name], pairing, read.name)}.values()
        )

    return extractor, unique(config.pairing), [] if config.output else unique("separate")


def _layers(config: Config, extractor: FeatureExtractor) -> tuple[tuple[str, int], list[int]]:
    """Return the target of a pass and its other layers; a layer that the model lacks fails the jobs that ask for it."""
    deepest = extractor.facts.layers
    layers = [
        extractor.layer(each) for each in (config.layer, *config.runtime.also_layers) if -deepest - 1 <= each <= deepest
    ]
    if not layers:
        extractor.layer(config.layer)
    return (config.pooling.name, layers[0]), layers[1:]

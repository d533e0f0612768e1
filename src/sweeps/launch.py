"""How the jobs of a sweep share the machines: what each may use, and forward passes before probes.

The basic launcher needs none of it: one process does one job after the other, and the first of each task pays for the forward pass.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from src.cli.application import leave_job_folder
from src.cli.messages import explain
from src.cli.streams import configure_process
from src.cli.validation import parse_config
from src.config.paths import cache_folder
from src.config.schema import Config, RuntimeConfig
from src.errors import UserError, flatten
from src.runtime.threads import available_threads, limit_threads
from src.sweeps.launchers import kind

if TYPE_CHECKING:
    from src.features.extractor import FeatureExtractor
    from src.features.inputs import EncoderInput

NO_FEATURE = (
    "pooling",
    "layer",
    "probe",
    "seed",
    "draws",
    "tracker",
)  # what decides no feature: a pass stores every pooling
PASSES = ".passes"  # where, in a sweep's folder, the jobs run that make the forward passes

log = logging.getLogger("src.sweeps.launch")


# The jobs of a sweep --------------------------------------------------------------------------------------------------------------------


def asked(config: DictConfig) -> list[str]:
    """The words of a sweep: those of an experiment's file, then those of the command line, which win over them."""
    params, words = (
        OmegaConf.to_container(each, resolve=False) for each in (config.hydra.sweeper, config.hydra.overrides.task)
    )
    assert isinstance(params, dict) and isinstance(words, list)
    return [*(f"{key}={value}" for key, value in (params.get("params") or {}).items()), *words]


def expand(config: DictConfig) -> list[list[str]]:
    """The words of each job, as Hydra's own sweeper deals them out; none where another sweeper decides."""
    if not config.hydra.sweeper.get("_target_", "").endswith(".BasicSweeper"):
        return []
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return BasicSweeper.split_arguments(parser.parse_overrides(asked(config)), None)[0]


def check_jobs(config: DictConfig, jobs: Sequence[Sequence[str]]) -> None:
    """Refuse a sweep without a job: a pattern that no option has, or a range that ends before it begins."""
    if jobs or not config.hydra.sweeper.get("_target_", "").endswith(".BasicSweeper"):
        return
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    empty = [
        word.input_line
        for word in parser.parse_overrides(asked(config))
        if word.is_sweep_override() and not [*word.sweep_iterator()]
    ]
    raise UserError(
        f"'{empty[0] if empty else 'the sweep'}' has no value, so that there is no job. Name one value or more."
    )


def check_shards(runtime: RuntimeConfig, *, sweep: bool, extracts: bool) -> None:
    """Refuse shares of a forward pass where nobody would take them up."""
    if runtime.shard is not None and not extracts:
        raise UserError(
            "runtime.shard is for python -m src.extract, which encodes a share and ends. A sweep of runs shares its passes out by itself: "
            "leave runtime.shard out."
        )
    if runtime.shards > 1 and runtime.shard is None and not sweep:
        raise UserError(
            f"runtime.shards={runtime.shards} shares a forward pass out among the jobs of a sweep, and this is one job. Add -m and a "
            f"launcher, or call python -m src.extract with each runtime.shard=0 to {runtime.shards - 1}."
        )


def check_interpolations(config: DictConfig, jobs: Sequence[Sequence[str]]) -> None:
    """Refuse a sweep whose first job names a value that there is none of, as ``${nope}``."""
    if not jobs or not any("$" in word for word in jobs[0]):
        return
    try:
        composed = GlobalHydra.instance().config_loader().load_sweep_config(config, list(jobs[0]))
        OmegaConf.to_container(
            OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]), resolve=True
        )
    except InterpolationResolutionError as error:
        raise explain(error) from error
    except (HydraException, OmegaConfBaseException):  # of which each job says what it is
        return


def check_outputs(jobs: Sequence[Sequence[str]]) -> None:
    """Refuse a sweep of src.extract whose jobs would write different features into one folder."""
    written: dict[str, set[tuple[str, ...]]] = {}
    for words in jobs:
        output = next((word for word in words if word.startswith("output=") and "$" not in word), None)
        if output:
            written.setdefault(output, set()).add(
                tuple(word for word in words if not word.startswith(("runtime.", "hydra.")))
            )
    for output, features in written.items():
        if len(features) > 1:
            raise UserError(
                f"{output}: {len(features)} jobs would write into this folder, each other features. Give each its own: "
                "'output=\"features/${dataset.name}/${pooling.name}\"'."
            )


# Forward passes -------------------------------------------------------------------------------------------------------------------------


def encode_missing(config: DictConfig, jobs: Sequence[Sequence[str]]) -> None:
    """Make the forward passes that the jobs need and the store does not have, so that no job waits for another's.

    On one machine this process makes them, one after the other on all cores; where `runtime.shards` asks for several jobs a pass, and
    on a cluster, the launcher runs them as jobs of their own before the others. What fails here is left to the jobs that need it, which
    say why.
    """
    loader = GlobalHydra.instance().config_loader()
    needed: list[tuple[list[str], Config]] = []
    planned: set[str] = set()
    for words in passes(jobs):
        try:
            composed = loader.load_sweep_config(config, words)
            one = parse_config(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]))
            wanted = wanting(one)
        except (UserError, HydraException, OmegaConfBaseException):
            continue
        if wanted - planned:
            planned |= wanted
            needed.append((words, one))
    if not needed:
        return
    log.info("forward passes first: %d of them", len(planned))
    if kind(config) == "joblib" and all(one.runtime.shards == 1 for _, one in needed):
        for _, one in needed:
            _try(one)
        return
    shares = [[*words, f"runtime.shard={shard}"] for words, one in needed for shard in range(one.runtime.shards)]
    folders = [
        [*words, f"hydra.sweep.subdir={PASSES}/{number}", "hydra.output_subdir=null"]
        for number, words in enumerate(shares)
    ]
    launcher = Plugins.instance().instantiate_launcher(HydraContext(loader, Callbacks()), encode_task, config)
    try:
        launcher.launch(folders, initial_job_idx=0)
    except Exception as error:  # whatever the cluster says: it will say so of the jobs too
        log.warning("the forward passes could not be made first: %s", flatten(error, 200))


def passes(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """The words of one job for each set of features: all layers that are asked of it, whatever the pooling, the probe and the seed.

    >>> passes([["dataset=a", "layer=0", "seed=1"], ["dataset=a", "layer=3", "seed=1"], ["dataset=b", "pooling=max"]])
    [['dataset=a', 'pooling=cls', 'layer=0', 'runtime.also_layers=[3]'], ['dataset=b', 'pooling=cls']]
    """
    groups: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    for words in jobs:
        values = {key: value for key, _, value in (word.lstrip("+").partition("=") for word in words)}
        kept = (word for word in words if word.lstrip("+~").partition("=")[0].partition(".")[0] not in NO_FEATURE)
        layers, also = groups.setdefault(
            tuple(word for word in kept if not word.startswith("runtime.also_layers=")), ([], [])
        )
        if "layer" in values and values["layer"] not in layers:
            layers.append(values["layer"])
        also += [
            each for each in values.get("runtime.also_layers", "").strip("[]").split(",") if each and each not in also
        ]
    found = []
    for words, (layers, also) in groups.items():
        beside = [f"runtime.also_layers=[{','.join([*layers[1:], *also])}]"] if layers[1:] or also else []
        found.append([*words, "pooling=cls", *(f"layer={each}" for each in layers[:1]), *beside])
    return found


def wanting(config: Config) -> set[str]:
    """Names of the passes whose features the store lacks; where the model was never loaded, all of them, for this loads none."""
    extractor, found, _ = _opened(config)
    if not extractor.has_info:
        return {f"{extractor.checkpoint.identity} {text.digest}" for text in found}
    target, also = _layers(config, extractor)
    return {f"{extractor.checkpoint.identity} {text.digest}" for text in found if extractor.missing_targets(text, target, also)}


def encode(config: Config) -> None:
    """Make the passes of one configuration, or this job's share of them."""
    import src.pipeline.run  # noqa: F401  # with all libraries whose threads are limited

    with limit_threads(config.runtime.threads) as threads:
        config = replace(config, runtime=replace(config.runtime, threads=threads))
        extractor, found, bags = _opened(config)
        target, also = _layers(config, extractor)
        for text in found:
            if config.runtime.shard is not None and config.runtime.shards > 1:
                extractor.encode_shard(text, target, also, config.runtime.shard, config.runtime.shards)
            elif missing := extractor.missing_targets(text, target, also):
                extractor.features(text, missing[0], [*also, target[1]])
        if config.runtime.shard in (None, 0):
            for text in bags:
                extractor.tokens(text)


def encode_task(composed: DictConfig) -> None:
    """`encode` as a launcher runs it."""
    configure_process()
    leave_job_folder()
    _try(parse_config(composed))


def _try(config: Config) -> None:
    try:
        encode(config)
    except Exception as error:  # the job that needs these features says it in full, and fails by it
        log.warning("a forward pass could not be made first: %s", flatten(error, 200))


def _opened(config: Config) -> tuple[FeatureExtractor, list[EncoderInput], list[EncoderInput]]:
    """An extractor, its model not loaded, the texts that the jobs encode, and those whose word pieces their baseline counts."""
    from src.data.loading import load_dataset
    from src.features.extractor import FeatureExtractor
    from src.features.inputs import encoder_inputs
    from src.models import finding
    from src.pipeline.run import encoding_options
    from src.runtime.clock import Clock
    from src.storage.arrays import ArrayStore

    store = ArrayStore(cache_folder(config.runtime.cache_dir))
    read, found = load_dataset(config.dataset, config.data_root), finding.find_checkpoint(config.model)
    workers = config.runtime.threads or available_threads()
    extractor = FeatureExtractor(found, encoding_options(config), store, Clock(), workers, config.runtime.progress)
    names = list(read.splits) if config.output else list(dict.fromkeys(read.roles.values()))

    def unique(pairing: str) -> list[EncoderInput]:
        return list(
            {text.digest: text for name in names for text in encoder_inputs(read.splits[name], pairing, read.name)}.values()
        )

    return extractor, unique(config.pairing), [] if config.output else unique("separate")


def _layers(config: Config, extractor: FeatureExtractor) -> tuple[tuple[str, int], list[int]]:
    """The target of a pass, and the layers beside it; those that the model lacks are refused by the jobs that ask for them."""
    deepest = extractor.info.layers
    layers = [
        extractor.resolve_layer(each) for each in (config.layer, *config.runtime.also_layers) if -deepest - 1 <= each <= deepest
    ]
    if not layers:
        extractor.resolve_layer(config.layer)
    return (config.pooling.name, layers[0]), layers[1:]

"""The vocabulary: one dataclass per config group, and `parse`, which checks a composed config once.

Nothing here imports torch, Hydra or anything heavy: every table and figure can read a configuration on any laptop.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.errors import UserError, mask
from src.registry import unknown

HERE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (HERE.parent / "conf", HERE / "_conf") if (folder / "config.yaml").is_file())

TASKS = ("classification", "regression")
PAIRINGS = ("joint", "separate")
SELECTIONS = ("carve", "development", "folds", "nested")
SCALINGS = ("none", "standardise", "l2")
DEVICES = ("auto", "cpu", "cuda", "mps")
MOST_DRAWS = 1000
MOST_FOLDS = 1000
MOST_SHARDS = 1000  # as many jobs as Slurm takes in one array
MOST_RESAMPLES = 1_000_000
MOST_VALUES = 100  # of a grid, all of which are fitted in the same passes over the rows
LEAST_C, MOST_C = 1e-12, 1e12  # scikit-learn's inverse penalty: beyond, its sums overflow, or its solvers find no end
DTYPES = ("float32", "bfloat16", "float16")
MODES = ("offline", "auto", "online")
FORMATS = ("huggingface", "tensorflow")
HIDDEN_ACTS = (
    "gelu",
    "gelu_pytorch_tanh",
    "gelu_new",
    "relu",
    "tanh",
)  # as transformers calls them; gelu is by the error function


@dataclass
class ModelConfig:
    """Which encoder. `path` is a hub id, a folder in the Hugging Face layout, or ``embedded:NAME`` for one that comes with the suite."""

    name: str = "checkpoint"
    path: str | None = None
    revision: str | None = None  # hub only: branch, tag or commit; a folder has none
    max_length: int | None = None  # word pieces, special tokens included; unset: what the checkpoint allows
    format: str = "huggingface"  # or tensorflow (model=google), which alone reads the next three
    config: str | None = None  # bert_config.json, where it is not in the folder
    vocab: str | None = None  # vocab.txt, likewise
    hidden_act: str | None = (
        None  # unset: what bert_config.json says, for which Google's code has computed gelu_pytorch_tanh since 2019
    )
    do_lower_case: bool | None = (
        None  # of any WordPiece model; unset: what its files say, of TensorFlow's else the vocabulary's capitals
    )
    license: str | None = None
    citation: str | None = None


@dataclass
class LocalFiles:
    """Where the official download of a dataset keeps its splits, and how its files are written."""

    folder: str = ""  # below data_root
    format: str = "tsv"  # tsv (no quoting), sentences (one a line, the file tells the class), labelled_lines (label, space, sentence)
    files: dict[str, Any] = field(
        default_factory=dict
    )  # split: file name (null: its labels are hidden); for `sentences`, {class: file name}
    columns: list[str] | None = None  # names for a file without a header; null reads the header
    text: str | None = None  # column names in the official files, where they differ from the hub's
    text_pair: str | None = None
    label: str | None = None
    label_end: str | None = (
        None  # labelled_lines: what ends the label inside the first word ("COARSE:fine"); unset: the whole word
    )
    encoding: str = "utf-8"


@dataclass
class HubFiles:
    """Where the dataset lies on the Hugging Face hub."""

    path: str | None = None
    name: str | None = None  # the hub's configuration name
    revision: str = "main"


@dataclass
class Generated:
    """A task that the project writes itself, by one of the grammars of src/demo."""

    grammar: str = ""
    seed: int = 0  # of the task; the run's own seed changes no text
    rows: dict[str, int] = field(default_factory=dict)  # split: number of rows


@dataclass
class DatasetConfig:
    """One task: its text and label columns, splits and metrics. Split names are the dataset's own."""

    name: str = "files"
    task: str = "classification"
    metrics: list[str] = field(default_factory=list)  # the first is the headline
    classes: list[str] | None = None  # names in id order; unset: the sorted labels of the training split
    labels: dict[str, str] | None = None  # spelling in the official files: class name; unset: they are the same
    text: str | None = "sentence"
    text_pair: str | None = None
    label: str | None = "label"
    hub: HubFiles = field(default_factory=HubFiles)
    local: LocalFiles | None = None
    generated: Generated | None = None  # in place of hub and local
    splits: dict[str, str] = field(
        default_factory=dict
    )  # role (train, test, development): split; other roles are scored beside test
    selection: str = (
        "carve"  # where the grid is chosen: carve (20 % of train), development, folds (10 on train), nested (10 x 10)
    )
    folds: int = 10
    citation: str | None = None
    # dataset=files alone:
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    test_fraction: float | None = None
    group: str | None = None  # column whose rows stay on one side of a split
    metric: str | None = None
    quoting: bool | None = None  # are double quotes quoting marks? unset: yes in .csv, no in .tsv


@dataclass
class PoolingConfig:
    name: str = "mean"


def _suite() -> dict[str, Any]:
    return {"name": "suite"}


@dataclass
class ProbeConfig:
    """The probe's estimator and its grid. `grid` holds one parameter of the estimator and the values to try."""

    name: str = "logistic"
    task: str = "classification"
    estimator: dict[str, Any] = field(default_factory=dict)  # _target_: class, and its fixed parameters
    grid: dict[str, list[float]] = field(default_factory=dict)
    features: str = "standardise"  # none, standardise, l2
    carve: float = 0.2  # fraction of train that the grid is chosen on
    resamples: int = 10000  # bootstrap resamples of the test rows
    protocol: dict[str, Any] = field(default_factory=_suite)  # name: whose rules (src/protocols), and their settings
    shuffled_labels: bool = False  # a control: the labels of the training rows are permuted before anything is fitted

    def plain(self) -> dict[str, Any]:
        """As records and keys hold it: what was added to it later is left out where it changes nothing, so that older keys stay."""
        later = {"protocol": _suite(), "shuffled_labels": False}
        return textual(
            {
                name: value
                for name, value in dataclasses.asdict(self).items()
                if name not in later or value != later[name]
            }
        )


def textual(value: Any) -> Any:
    """A setting with the keys of its mappings as text, as JSON has them: `class_weight={0: 1, 1: 2}` has whole numbers."""
    if isinstance(value, dict):
        return {str(key): textual(item) for key, item in value.items()}
    return [textual(item) for item in value] if isinstance(value, list) else value


@dataclass
class RuntimeConfig:
    """Where and how fast. Of these only dtype, token_budget and the attention move last bits; they enter keys as resolved."""

    device: str = "auto"
    dtype: str = "float32"
    attention: str | None = None  # implementation; unset: the library's default for the model
    token_budget: int | None = None  # tokens a batch; unset: 512 on a CPU, 16384 on an accelerator
    threads: int | None = (
        None  # CPU workers that encode, one thread each, and that fit; unset: the cores this process has to itself
    )
    cache_dir: str | None = None  # unset: $XDG_CACHE_HOME or ~/.cache, then bert-pooling-probes
    also_layers: list[int] = field(default_factory=list)  # layers that a cache miss stores beside the asked one
    shards: int = 1  # jobs that a forward pass is shared out among
    shard: int | None = (
        None  # which of them this one is, 0 to shards - 1 (src.extract); unset: a sweep shares its passes out by itself
    )
    progress: bool = True


@dataclass
class TrackerConfig:
    name: str = "wandb"
    mode: str = "offline"
    project: str | None = None  # unset: what W&B's environment and settings say, else bert-pooling-probes
    entity: str | None = None
    group: str | None = None  # unset: WANDB_RUN_GROUP, else the sweep
    examples: bool = False  # a table with a row per test row: label, prediction, correct
    text: bool = False  # with the texts in it


@dataclass
class Config:
    """One run, checked. Identity: model, dataset, pooling, layer, pairing, probe, seed, draws. The rest decides where and how fast."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pooling: PoolingConfig = field(default_factory=PoolingConfig)
    probe: ProbeConfig | None = None
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    data_root: str | None = None
    layer: int = -1
    pairing: str = "joint"
    seed: int = 0
    draws: int = 1
    output: str | None = None  # src.extract: folder of the feature files


DEFAULT_PROBE = {"classification": "logistic", "regression": "ridge"}


@dataclass
class Schema(Config):
    """What Hydra composes upon, so that a key is known also where no file in conf/ names it. What is null of the probe is the task's."""

    probe: Any = field(
        default_factory=lambda: {
            **dict.fromkeys(each.name for each in dataclasses.fields(ProbeConfig)),
            "estimator": {"_target_": None},
            "grid": {"alpha": None},
            "protocol": {"name": None},
        }
    )


def parse(composed: DictConfig) -> Config:
    """Check a composed config and turn it into plain dataclasses, once.

    Raises
    ------
    UserError
        An unknown key, a value of the wrong type or out of its range, a pooling, layer, probe or pairing that cannot go together.
    """
    try:
        plain = OmegaConf.to_container(composed, throw_on_missing=True)
        assert isinstance(plain, dict)
        plain = {str(key): value for key, value in plain.items() if key not in ("hydra", "experiment")}
        plain["probe"] = _probe(plain.get("probe") or {}, composed)
        config = OmegaConf.to_object(OmegaConf.merge(_schema(), plain))
    except OmegaConfBaseException as error:
        raise explain(error) from error
    assert isinstance(config, Config)
    refuse_credentials(dataclasses.asdict(config))  # as resolved, which the command line's words are not
    _rename(config.model)
    check(config)
    return config


def refuse_credentials(value: Any, key: str = "") -> None:
    """Refuse an address with a password, a token or a signature in it: it would be written into records, notes and trackers.

    Raises
    ------
    UserError
    """
    if isinstance(value, dict):
        for name, item in value.items():
            refuse_credentials(str(name))
            refuse_credentials(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            refuse_credentials(item, key)
    elif isinstance(value, str) and mask(value) != value:
        raise UserError(
            f"{key}={mask(value)[:200]} holds credentials, which would be written into the run's files. Leave them out: files are read "
            "from this machine, and a token of the hub belongs in HF_TOKEN."
        )


@functools.cache
def _schema() -> DictConfig:
    return OmegaConf.structured(Config)


@functools.cache
def _option(group: str, name: str) -> DictConfig | None:
    """An option's file in conf/, read once: a sweep parses hundreds of jobs."""
    path = CONF / group / f"{Path(name).name}.yaml"
    if not path.is_file():
        return None
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    return loaded


def _rename(model: ModelConfig) -> None:
    """A model whose path is not its option's own is a checkpoint like any other, and is not called by the option's name."""
    option = _option("model", model.name)
    if option is not None and OmegaConf.select(option, "path") != model.path:
        model.name, model.license, model.citation = ModelConfig.name, None, None


KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list such as [a,b]",
    dict: "a mapping",
}


def explain(error: OmegaConfBaseException) -> UserError:
    """One line for an unknown key or a value that does not fit its key, without the library's dump of types."""
    first = str(error).strip().splitlines()[0].rstrip(".")
    key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "")
    if isinstance(error, (ConfigKeyError, ConfigAttributeError)) and isinstance(error.parent_node, DictConfig):
        parent, _, name = key.rpartition(".")
        return unknown(
            "key", name, sorted(set(map(str, error.parent_node)) - {"hydra"}), where=f"{parent}: " if parent else ""
        )
    wanted = _kind(key.split("."))
    return UserError(
        f"{key}: {wanted} is needed. {first}." if wanted else f"{key}: {first}" if key not in first else first
    )


def _kind(path: list[str]) -> str | None:
    """What a key holds, in words; None where it cannot be told."""
    kind: Any = Config
    for name in path:
        kind = typing.get_type_hints(kind).get(name) if dataclasses.is_dataclass(kind) else None
        kind = next(
            (each for each in typing.get_args(kind) if isinstance(kind, types.UnionType) and each is not type(None)),
            kind,
        )
    return "a mapping" if dataclasses.is_dataclass(kind) else KINDS.get(typing.get_origin(kind) or kind)


def check(config: Config) -> None:
    """Refuse what cannot be meant, before any file is read."""
    from src.evaluation.metrics import metrics
    from src.pooling import poolings
    from src.probes.protocols import rules

    poolings[config.pooling.name].check_layer(config.layer)
    _one_of("pairing", config.pairing, PAIRINGS)
    _one_of("runtime.device", config.runtime.device, DEVICES)
    _one_of("runtime.dtype", config.runtime.dtype, DTYPES)
    _one_of("tracker.mode", config.tracker.mode, MODES)
    check_tracker(config.tracker)
    if config.tracker.text and not config.tracker.examples:
        raise UserError(
            "tracker.text=true adds the texts to the table of examples: set tracker.examples=true beside it."
        )
    _at_least("seed", config.seed, 0)
    _at_least("draws", config.draws, 1)
    _at_most("draws", config.draws, MOST_DRAWS)
    _at_least("model.max_length", config.model.max_length, 4)
    check_model(config.model)
    _at_least("runtime.token_budget", config.runtime.token_budget, 1)
    _at_least("runtime.threads", config.runtime.threads, 1)
    _at_least("runtime.shards", config.runtime.shards, 1)
    _at_most("runtime.shards", config.runtime.shards, MOST_SHARDS)
    _at_least("runtime.shard", config.runtime.shard, 0)
    if config.runtime.shard is not None and config.runtime.shard >= config.runtime.shards:
        last = config.runtime.shards - 1
        raise UserError(
            f"runtime.shard={config.runtime.shard}: with runtime.shards={last + 1} the shares are 0 to {last}."
        )
    dataset = config.dataset
    _one_of("dataset.task", dataset.task, TASKS)
    _one_of("dataset.selection", dataset.selection, SELECTIONS)
    _at_least("dataset.folds", dataset.folds, 2)
    _at_most("dataset.folds", dataset.folds, MOST_FOLDS)
    if config.pairing == "separate" and dataset.text_pair is None:
        raise UserError(
            f"pairing=separate needs two texts a row, and {dataset.name} has one. Leave pairing out, or name dataset.text_pair."
        )
    for name in [*([dataset.metric] if dataset.metric else []), *dataset.metrics]:
        if name not in metrics:
            raise unknown("metric", name, metrics, where=f"{dataset.name}: ")
        if metrics[name].task != dataset.task:
            fitting = ", ".join(each for each in metrics if metrics[each].task == dataset.task)
            raise UserError(
                f"{dataset.name}: metric '{name}' is for {metrics[name].task}, and dataset.task is {dataset.task}. Allowed: {fitting}."
            )
    if dataset.metric and dataset.metrics:
        dataset.metrics = [dataset.metric, *(name for name in dataset.metrics if name != dataset.metric)]
    probe = config.probe
    assert probe is not None
    if probe.task != dataset.task:
        raise UserError(
            f"probe={probe.name} is for {probe.task}, and {dataset.name} is {dataset.task}. "
            f"Leave probe out, or use probe={DEFAULT_PROBE[dataset.task]}."
        )
    rules(probe).settle(config)
    _one_of("probe.features", probe.features, SCALINGS)
    if not 0 < probe.carve < 1:
        raise UserError(
            f"probe.carve={probe.carve}: a fraction of the training rows between 0 and 1 is needed, such as 0.2."
        )
    _at_least("probe.resamples", probe.resamples, 100)
    _at_most("probe.resamples", probe.resamples, MOST_RESAMPLES)
    check_grid("probe.grid", probe.grid)


def check_grid(key: str, grid: Any) -> None:
    """Refuse a grid that is not one parameter with a bounded number of values that can be fitted; UserError.

    A grid comes from the config, or from the settings of a protocol, which have no types.
    """
    numbers = isinstance(grid, dict) and all(
        isinstance(values, list) and values and all(type(value) in (int, float) for value in values)
        for values in grid.values()
    )
    if not numbers or len(grid) != 1 or not all(0 <= value < math.inf for values in grid.values() for value in values):
        raise UserError(
            f"{key}={shortened(grid)}: one parameter with finite values of zero or more is needed, such as {key}.alpha=[0.001,0.1]. "
            f"To try another parameter, take this one away: {key}.alpha=null."
        )
    for name, values in grid.items():
        _at_most(f"the number of values of {key}.{name}", len(values), MOST_VALUES)
        wrong = [value for value in values if not (value == 0 or LEAST_C <= value <= MOST_C)]
        if name == "C" and wrong:
            raise UserError(f"{key}.C={wrong[0]:g}: {LEAST_C:g} to {MOST_C:g} is allowed.")


def shortened(value: object, limit: int = 100) -> str:
    """A value for a message, cut where it is long."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def tracker_of(composed: DictConfig) -> TrackerConfig:
    """The tracker that a composed config asks for, where the rest of it is not looked at; an OmegaConf error where it cannot be meant."""
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrackerConfig), composed.tracker))
    assert isinstance(config, TrackerConfig)
    return config


def check_tracker(tracker: TrackerConfig) -> None:
    """Refuse names that W&B refuses, which it says only when a run is sent."""
    check_wandb_name("tracker.project", tracker.project)
    check_wandb_name("tracker.entity", tracker.entity)


def check_wandb_name(key: str, name: str | None) -> None:
    """Refuse a project's or an entity's name that W&B refuses; `key` is what the user calls it.

    References
    ----------
    `wandb.Settings.validate_project` of wandb 0.31 for the project; for the entity, which becomes a part of addresses, the same.
    """
    if name is not None and not re.fullmatch(r"[^/\\#?%:\x00-\x1f\x7f]{1,128}", name):
        raise UserError(
            f"{key}={mask(name)[:40]!r}: 1 to 128 characters are needed, none of them / \\ # ? % : or a control character."
        )


def check_model(model: ModelConfig) -> None:
    """Refuse a format that is not known, and what only the other format has."""
    _one_of("model.format", model.format, FORMATS)
    if model.format == "tensorflow":
        if model.hidden_act is not None:
            _one_of("model.hidden_act", model.hidden_act, HIDDEN_ACTS)
        if model.revision is not None:
            raise UserError(
                f"model.revision={model.revision}: model=google reads folders, which have no revision. Leave it out."
            )
        return
    for key in ("config", "vocab", "hidden_act"):
        if (value := getattr(model, key)) is not None:
            raise UserError(
                f"model.{key}={value} is for original TensorFlow checkpoints (model=google). Add that, or leave this out."
            )


def _probe(asked: dict[str, Any], composed: DictConfig) -> dict[str, Any]:
    """The probe as asked; what is left null is that of the probe which the task picks."""
    asked = {key: value for key, value in asked.items() if value is not None}
    for key, name in (("estimator", "_target_"), ("protocol", "name")):
        if isinstance(asked.get(key), dict) and asked[key].get(name) is None:
            asked[key].pop(name, None)
    if not asked.get("protocol"):
        asked.pop("protocol", None)
    if isinstance(asked.get("grid"), dict):
        # One value is a grid too, as in a sweep over the strengths themselves; whole numbers are numbers.
        grid = {
            name: values if isinstance(values, list) else [values]
            for name, values in asked["grid"].items()
            if values is not None
        }
        asked["grid"] = {
            name: [float(value) if type(value) is int else value for value in values] for name, values in grid.items()
        }
    if "name" in asked:
        return asked
    task = OmegaConf.select(composed, "dataset.task", default="classification")
    _one_of("dataset.task", task, TASKS)
    default = OmegaConf.to_container(_option("probe", DEFAULT_PROBE[task]))
    assert isinstance(default, dict)
    if asked.get("grid"):
        del default["grid"]  # a grid of another parameter takes its place, it does not stand beside it
    merged = OmegaConf.to_container(OmegaConf.merge(default, asked))
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise unknown(key, value, allowed)


def _at_least(key: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UserError(f"{key}={value}: at least {least} is needed.")


def _at_most(key: str, value: int, most: int) -> None:
    if value > most:
        raise UserError(f"{key}={value}: at most {most:,} is allowed.")


def cache_folder(config: RuntimeConfig) -> Path:
    """Folder of the store: as asked, else in the user's cache."""
    if config.cache_dir:
        return Path(config.cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-pooling-probes"

"""The configuration as frozen dataclasses, one per group of conf/.

Nothing here imports torch or Hydra. `src.cli.validation` checks values before it builds a `Config`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

TASKS = ("classification", "regression")
PAIRINGS = ("joint", "separate")
SELECTIONS = ("carve", "development", "folds", "nested")
SCALINGS = ("none", "standardise", "l2")
DISTANCE_SCALINGS = ("none", "centre", "standardise", "whiten")  # where distances are compared: cosine, knn
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")  # of probe=cosine
DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("float32", "bfloat16", "float16", "mixed", "tf32")
LOG_LEVELS = ("debug", "info", "warning", "error")
MODES = ("offline", "auto", "online")
FORMATS = ("huggingface", "tensorflow")
# names of transformers; gelu is by the error function
HIDDEN_ACTS = ("gelu", "gelu_pytorch_tanh", "gelu_new", "relu", "tanh")
DEFAULT_PROBE = {"classification": "logistic", "regression": "ridge"}  # task: probe


@dataclass(frozen=True)
class ModelConfig:
    """Settings of the encoder.

    `path` is a hub id, a folder in the Hugging Face layout, or ``embedded:NAME`` for a model that
    comes with the suite. `config`, `vocab` and `hidden_act` are for ``format=tensorflow`` alone.
    """

    name: str = "checkpoint"
    path: str | None = None
    revision: str | None = None  # branch, tag or commit of the hub; folders have none
    max_length: int | None = None  # word pieces, with special tokens; unset: the checkpoint's limit
    format: str = "huggingface"  # or tensorflow (model=google)
    config: str | None = None  # path of bert_config.json, if it is not in the folder
    vocab: str | None = None  # path of vocab.txt, if it is not in the folder
    # unset: as bert_config.json says; for "gelu", Google's code computes gelu_pytorch_tanh
    hidden_act: str | None = None
    # unset: as the files say, or (tensorflow) whether the vocabulary has no capitals
    do_lower_case: bool | None = None
    license: str | None = None
    citation: str | None = None


@dataclass(frozen=True)
class LabelledFile:
    """Name the file of a split whose usual file hides its labels; read if a role names the split."""

    split: str = "test"
    file: str = ""  # tab-separated, without a header
    columns: list[str] = field(default_factory=list)  # names; further fields are ignored


@dataclass(frozen=True)
class LocalFiles:
    """Files of a dataset's official download."""

    folder: str = ""  # below data_root
    # tsv (no quoting), quoted_csv, sentences (one a line), labelled_lines (label, space, sentence),
    # parallel_lines (line i of one file belongs to line i of the other), sts
    format: str = "tsv"
    # split: file, null, [file, ...] or {class: file}; parallel_lines: {text: file, label: file};
    # sts: [set, ...], the sets of the download
    files: dict[str, Any] = field(default_factory=dict)
    labelled: LabelledFile | None = None
    columns: list[str] | None = None  # names for a file without a header; unset: read the header
    text: str | None = None  # column names in the official files, if they differ from the hub's
    text_pair: str | None = None
    label: str | None = None
    label_end: str | None = None  # labelled_lines: the mark after a label; unset: a space
    encoding: str = "utf-8"


@dataclass(frozen=True)
class LabelledSplit:
    """Name the hub's dataset of a split whose labels the usual one hides; read as `LabelledFile`."""

    split: str = "test"
    path: str = ""
    revision: str = "main"
    label: str = "label"


@dataclass(frozen=True)
class HubFiles:
    """Dataset of the Hugging Face hub: its id, or a folder in the layout of one."""

    path: str | None = None
    name: str | None = None  # the hub's configuration name
    revision: str = "main"
    labelled: LabelledSplit | None = None


@dataclass(frozen=True)
class Generated:
    """Settings of a task whose rows are written by a grammar of `src.data.generated`."""

    grammar: str = ""
    seed: int = 0  # of the texts; independent of the run's seed
    rows: dict[str, int] = field(default_factory=dict)  # split: number of rows


@dataclass(frozen=True)
class DatasetConfig:
    """Settings of one task: its text and label columns, splits and metrics.

    Split names are the dataset's own. `train` to `quoting` are for ``dataset=files``; `test_fraction`
    and `group` are for ``dataset=hub`` too.
    """

    name: str = "files"
    task: str = "classification"
    metrics: list[str] = field(default_factory=list)  # the first is the headline
    classes: list[str] | None = None  # names by id; unset: the sorted labels of train
    labels: dict[str, str] | None = None  # spelling in the official files: class name
    text: str | None = "sentence"
    text_pair: str | None = None
    label: str | None = "label"
    hub: HubFiles = field(default_factory=HubFiles)
    local: LocalFiles | None = None
    generated: Generated | None = None  # replaces hub and local
    # role: split; null: found by its usual names (dataset=hub), else no split has the role
    splits: dict[str, str | None] = field(default_factory=dict)
    # choose the grid's value on 20 % of train, development, folds or nested folds
    selection: str = "carve"
    folds: int = 10
    unit: str | None = None  # equal for tasks that share texts: claims over tasks count them once
    citation: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    test_fraction: float | None = None
    group: str | None = None  # column; rows of one group stay on one side of a split
    metric: str | None = None
    quoting: bool | None = None  # whether double quotes enclose fields; unset: in .csv, not in .tsv

    @property
    def roles(self) -> dict[str, str]:
        """Role to split, without roles whose split is not set."""
        return {role: split for role, split in self.splits.items() if split is not None}

    @property
    def is_hub_only(self) -> bool:
        """Whether the rows come from the hub alone, so that columns and splits may have to be found."""
        return self.hub.path is not None and self.local is None and self.generated is None


@dataclass(frozen=True)
class PoolingConfig:
    """Name of the pooling; `of` are the parts of ``pooling=concat``."""

    name: str = "mean"
    of: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The name with the parts, such as ``concat(cls,mean)``."""
        return f"{self.name}({','.join(self.of)})" if self.of else self.name


def default_protocol() -> dict[str, Any]:
    """Return the setting of this suite's own protocol."""
    return {"name": "suite"}


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of the probe: its estimator, grid and protocol."""

    name: str = "logistic"
    task: str = "classification"
    # _target_: class; the rest: its fixed parameters
    estimator: dict[str, Any] = field(default_factory=dict)
    # one parameter of the estimator: values to try
    grid: dict[str, list[float]] = field(default_factory=dict)
    features: str = "standardise"  # none, standardise, l2; cosine and knn: none, centre, standardise, whiten
    carve: float = 0.2  # fraction of train on which the grid's value is chosen
    resamples: int = 10000  # bootstrap resamples of the test rows
    # name and settings, see src.probes.protocols
    protocol: dict[str, Any] = field(default_factory=default_protocol)
    shuffled_labels: bool = False  # a control: permute the labels of train before fitting
    similarity: str = "cosine"  # of probe=cosine; distances are negated
    # whether the grid goes on in half-decade steps, from 1e-7 to 1e4, until its best value is inside
    extend_grid: bool = False

    def as_record(self) -> dict[str, Any]:
        """Return the settings as records and keys hold them.

        Later fields are left out at their defaults, so that the keys of older records stay valid.
        """
        later, values = omitted_defaults(), dataclasses.asdict(self).items()
        return with_text_keys({name: value for name, value in values if name not in later or value != later[name]})


def omitted_defaults() -> dict[str, Any]:
    """Return the settings of a probe that records leave out at these values."""
    return {"protocol": default_protocol(), "shuffled_labels": False, "similarity": "cosine", "extend_grid": False}


def with_text_keys(value: Any) -> Any:
    """Return a setting with text as the keys of its mappings, as in JSON.

    >>> with_text_keys({"class_weight": {0: 1, 1: 2}})
    {'class_weight': {'0': 1, '1': 2}}
    """
    if isinstance(value, dict):
        return {str(key): with_text_keys(item) for key, item in value.items()}
    return [with_text_keys(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class RuntimeConfig:
    """Settings of where and how fast to compute.

    Only `dtype`, `token_budget` and `attention` can change the last bits of a result. They enter
    keys as resolved.
    """

    device: str = "auto"
    dtype: str = "float32"
    attention: str | None = None  # implementation; unset: the library's default for the model
    token_budget: int | None = None  # tokens a batch; unset: 1024 on a CPU, 16384 on an accelerator
    # CPU threads that encode and fit; unset: the cores this process may use
    threads: int | None = None
    cache_dir: str | None = None  # unset: $XDG_CACHE_HOME or ~/.cache, then bert-pooling-probes
    also_layers: list[int] = field(default_factory=list)  # layers that a cache miss stores too
    shards: int = 1  # jobs that share a forward pass
    # number of this job's shard, for src.extract; unset: a sweep assigns shards itself
    shard: int | None = None
    progress: bool = True  # bars on a terminal, elsewhere a line a minute
    log: str = "info"  # lowest level of the lines on stderr, one of `LOG_LEVELS`
    json: bool = False  # print the result as one line of JSON


@dataclass(frozen=True)
class TrackerConfig:
    """Settings of the tracker, to which records are copied."""

    name: str = "wandb"
    mode: str = "offline"
    # unset: from W&B's environment and settings, else bert-pooling-probes
    project: str | None = None
    entity: str | None = None
    group: str | None = None  # unset: WANDB_RUN_GROUP, else the sweep
    examples: bool = False  # log a table with a row per test row: label, prediction, correct
    text: bool = False  # add the texts to that table
    artifacts: bool = False  # log each run's files: record, predictions, probe
    comparison: bool = True  # a sweep: log its comparison as one more run


@dataclass(frozen=True)
class Config:
    """Settings of one run.

    Model, dataset, pooling, layer, pairing, probe, seed and draws determine the numbers. The rest
    determines where and how fast they are computed.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pooling: PoolingConfig = field(default_factory=PoolingConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    data_root: str | None = None
    layer: int = -1
    pairing: str = "joint"  # as resolved by the protocol; the command line may leave it unset
    seed: int = 0
    draws: int = 1
    output: str | None = None  # src.extract: folder of the feature files

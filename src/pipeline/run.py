"""The story of a run: text to features, features to a fitted probe, the probe's predictions to a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from src.config.paths import cache_folder
from src.config.schema import Config, ProbeConfig
from src.data.dataset import Dataset, Split
from src.data.loading import load_dataset
from src.evaluation.estimates import Estimate, evaluate
from src.features.extractor import FeatureExtractor, saturated
from src.features.inputs import PoolingTarget, encoder_inputs
from src.features.text_losses import warn_once
from src.features.vectors import PooledFeatures, all_rows_equal
from src.models import finding
from src.models.options import TOKEN_BUDGETS, EncodingOptions
from src.pooling import poolings
from src.probes.baseline import baseline_scores
from src.probes.outcome import ProbeOutcome
from src.probes.progress import progress_bar
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeData, ProbeSettings
from src.results.result import SCHEMA, Result, write_record
from src.runtime import provenance
from src.runtime.clock import Clock
from src.runtime.devices import device_kind
from src.storage.arrays import ArrayStore
from src.storage.keys import content_key


@dataclass
class PreparedRun:
    """A run whose input has been read and checked, and nothing computed: what is needed to tell whether it has been done before."""

    config: Config
    data: Dataset
    extractor: FeatureExtractor
    target: PoolingTarget
    clock: Clock

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers, as resolved: digests and values, no option names."""
        config = self.config
        pooling, layer = self.target
        return {
            "schema": SCHEMA,
            "encoder": self.extractor.identity(),
            "pooling": pooling,
            "code": poolings[pooling].code,
            "layer": layer,
            "pairing": config.pairing if self.data.train.text_pair is not None else None,
            **self.data.identity(),
            "probe": {key: value for key, value in config.probe.as_record().items() if key != "name"},
            "seed": config.seed,
            "draws": config.draws,
        }

    @property
    def key(self) -> str:
        return content_key(self.identity)

    @property
    def probe(self) -> ProbeConfig:
        return self.config.probe

    @property
    def resolved(self) -> dict[str, Any]:
        """The configuration as resolved, without a path of this machine: what trackers show."""
        names = {
            "model": self.model_name,
            "dataset": self.data.name,
            "pooling": self.target[0],
            "probe": self.probe.name,
        }
        values = {
            "layer": self.target[1],
            "pairing": self.config.pairing,
            "seed": self.config.seed,
            "draws": self.config.draws,
        }
        return {**names, **values, "settings": _config(self), "key": self.key}

    @property
    def names(self) -> dict[str, str]:
        """The option names that an equal run may have in other words."""
        return {"dataset": self.data.name, "model": self.model_name, "probe": self.probe.name}

    @property
    def model_name(self) -> str:
        """The option's name, or for `model=checkpoint` the hub id or the folder's last name."""
        return self.extractor.checkpoint.label if self.config.model.name == "checkpoint" else self.config.model.name


@dataclass
class Run:
    """A finished run: its record, and the arrays that go beside it."""

    result: Result
    predictions: dict[str, np.ndarray]
    probe: dict[str, np.ndarray]

    notes: dict[str, str]  # what a reader of the probe's arrays has to know

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The record and its arrays as files, by name."""
        return self.result.pack(self.predictions, self.probe, self.notes)

    def write(self, folder: Path) -> None:
        write_record(folder, self.files)


def prepare(config: Config) -> PreparedRun:
    """Read and check everything that can be known before a forward pass."""
    return opened(config, _check)


def opened(config: Config, check: Callable[[Config, Dataset], None] | None = None) -> PreparedRun:
    """Store, checkpoint, data and pooling of a run; `check` looks at the data before anything of the model is downloaded."""
    clock = Clock()
    with clock.phase("load"):
        store = ArrayStore(cache_folder(config.runtime.cache_dir))
        # What is here is read before anything is downloaded.
        found = None if finding.is_remote(config.model) else finding.find_checkpoint(config.model)
        read = load_dataset(config.dataset, config.data_root)
        if check is not None:
            check(config, read)
        found = found or finding.find_checkpoint(config.model)
    workers = config.runtime.threads or provenance.cores()
    extractor = FeatureExtractor(found, encoding_options(config), store, clock, workers, config.runtime.progress)
    target = extractor.resolve_target(config.pooling.name, config.layer, config.runtime.also_layers)
    return PreparedRun(config, read, extractor, target, clock)


def encoding_options(config: Config) -> EncodingOptions:
    """Return the options of encoding that enter keys, with the device and the token budget resolved."""
    runtime = config.runtime
    device = device_kind(runtime.device)
    token_budget = runtime.token_budget or TOKEN_BUDGETS[device]
    return EncodingOptions(device, runtime.dtype, runtime.attention, token_budget, config.model.max_length)


def _check(config: Config, read: Dataset) -> None:
    get_protocol(config.probe).check(_settings(config, read), read)


def run_probe(prepared: PreparedRun, estimator: Any) -> Run:
    """Extract, probe, score. Test rows are scored once.

    Parameters
    ----------
    prepared : PreparedRun
    estimator : object
        A scikit-learn-like estimator whose grid parameter is in ``config.probe.grid``.
    """
    config, read, extractor, clock = prepared.config, prepared.data, prepared.extractor, prepared.clock
    parts = {
        role: _matrix(extractor, read.splits[name], config, prepared.target, read.name)
        for role, name in _distinct(read).items()
    }
    with clock.phase("fit"):
        outcome = _fit(estimator, config, read, {role: matrix for role, (matrix, _) in parts.items()})
    with clock.phase("score"):
        scores = _score(read, outcome, config)
    with clock.phase("baseline"):
        trivial = baseline_scores(
            read, estimator, config.probe, extractor, seed=config.seed, show_progress=config.runtime.progress
        )
    features = [piece for _, pieces in parts.values() for piece in pieces]
    counts = _counts(read, parts, features)
    if counts["one_vector"] and len(np.unique(read.train.row_digests())) > 1:
        warn_once(
            f"{read.name}: pooling={prepared.target[0]} layer={prepared.target[1]} gives one and the same vector for all texts, so that "
            "nothing can be read from it. Choose another pooling or layer, unless this is meant as a control."
        )
    result = Result(
        schema=SCHEMA,
        key=prepared.key,
        model=prepared.model_name,
        dataset=read.name,
        pooling=prepared.target[0],
        probe=config.probe.name,
        layer=prepared.target[1],
        pairing=config.pairing,
        seed=config.seed,
        draws=config.draws,
        config=_config(prepared),
        score={"metric": read.metrics[0], **scores[read.metrics[0]]},
        metrics=scores,
        baseline=trivial,
        counts=counts,
        chosen=_chosen(read, outcome, config),
        pooler=_pooler(prepared, parts),
        timing=_timing(extractor, features),
        provenance=_provenance(prepared),
    )
    notes = {
        "features": config.probe.features,
        "trained_on": outcome.fitted.trained_on,
        "classes": json.dumps(list(read.classes)),
        "pooling": prepared.target[0],
        "layer": str(prepared.target[1]),
        "pairing": config.pairing,
    }
    if outcome.fitted.weight is None:
        kind = type(outcome.fitted.model).__name__
        notes["incomplete"] = f"{kind} has no linear coefficients that could be kept: these arrays alone cannot predict"
    return Run(result, _predictions(read, outcome), outcome.fitted.arrays(), notes)


def _distinct(read: Dataset) -> dict[str, str]:
    """Roles whose rows are scored or fitted, each split once: cross-validation reads one split in two roles."""
    return {role: name for role, name in read.roles.items() if role != "test" or name != read.roles["train"]}


def _matrix(
    extractor: FeatureExtractor, split: Split, config: Config, target: PoolingTarget, name: str
) -> tuple[np.ndarray, list[PooledFeatures]]:
    pieces = [
        extractor.features(text, target, config.runtime.also_layers)
        for text in encoder_inputs(split, config.pairing, name)
    ]
    return get_protocol(config.probe).pair_features([piece.values for piece in pieces]), pieces


def _fit(estimator: Any, config: Config, read: Dataset, matrices: Mapping[str, np.ndarray]) -> ProbeOutcome:
    protocol = get_protocol(config.probe)
    data = ProbeData.from_dataset(read, matrices, order=protocol.order(read.train))
    with progress_bar(f"{read.name}: probe", config.runtime.progress) as progress:
        return protocol.fit(estimator, _settings(config, read), data, progress)


def _settings(config: Config, read: Dataset) -> ProbeSettings:
    return ProbeSettings.from_config(
        config.probe, selection=read.selection, folds=read.folds, seed=config.seed, draws=config.draws
    )


def _score(read: Dataset, outcome: ProbeOutcome, config: Config) -> dict[str, dict[str, Any]]:
    """Every metric of the task with its interval; splits beside test carry their role in the name."""
    found = {}
    for role in outcome.predictions:
        labels = read.splits[read.roles[role]].label
        fold = outcome.fold_ids if role == "test" and outcome.fold_ids.max() >= 0 else None
        for name in read.metrics:
            evaluate = partial(_evaluate, read, config, name, labels, fold)
            draws = [draw[role].values for draw in outcome.draws]
            score = get_protocol(config.probe).score(name, labels, draws, fold, evaluate)
            found[name if role == "test" else f"{name}_{role}"] = score
    return found


def _evaluate(
    read: Dataset, config: Config, name: str, labels: np.ndarray, fold: np.ndarray | None, predictions: np.ndarray
) -> Estimate:
    """A metric of one role's predictions (rows,) or (draws, rows)."""
    resamples = config.probe.resamples
    return evaluate(
        name, labels, predictions, classes=len(read.classes), seed=config.seed, resamples=resamples, fold=fold
    )


def _chosen(read: Dataset, outcome: ProbeOutcome, config: Config) -> dict[str, Any]:
    """What the grid said, what the protocol adds to it, and the headline metric along a learning curve where there is one."""
    curve = []
    for each in outcome.curve:
        point = _evaluate(read, config, read.metrics[0], read.test.label, None, each.predictions["test"].values)
        curve.append({"rows": each.rows, "value": point.value, "low": point.low, "high": point.high})
    found = {**asdict(outcome.choice), "reusable": outcome.fitted.weight is not None, **outcome.details}
    return found | ({"curve": curve} if curve else {})


def _counts(
    read: Dataset, parts: Mapping[str, tuple[np.ndarray, list[PooledFeatures]]], features: list[PooledFeatures]
) -> dict[str, Any]:
    return {
        "train": len(read.train),
        "test": len(read.test),
        "classes": len(read.classes),
        "width": int(parts["train"][0].shape[1]),
        "tokens": sum(piece.tokens for piece in features),
        **{
            name: sum(getattr(piece.losses, name) for piece in features)
            for name in ("truncated", "unknown", "empty", "lowered")
        },
        "test_in_train": read.test_in_train(),
        "one_vector": len(read.train) if all_rows_equal(parts["train"][0]) else 0,
    }


def _timing(extractor: FeatureExtractor, features: list[PooledFeatures]) -> dict[str, Any]:
    if not extractor.encoded:  # all was stored, if only as the shards of a pass that was stopped
        cache = "hit"
    elif any(piece.hit or piece.timing["shards_resumed"] for piece in features):
        cache = "partial"
    else:
        cache = "miss"
    passes = [piece.timing for piece in features]
    return {
        **extractor.clock.seconds(),
        "warmup": extractor.warmup,
        "cache": cache,
        "passes": passes,
        "rows_encoded": extractor.encoded,
    }


def _pooler(prepared: PreparedRun, parts: Mapping[str, tuple[np.ndarray, list[PooledFeatures]]]) -> dict[str, Any]:
    """Status and evidence of the pooler, with what tanh rounded away where the run reads its output."""
    pooler = dict(prepared.extractor.info.pooler)
    counted = [saturated(piece.values, prepared.target[0]) for _, pieces in parts.values() for piece in pieces]
    if all(count is not None for count in counted):
        pooler["saturated_entries"] = sum(count or 0 for count in counted)
    return pooler


def _config(prepared: PreparedRun) -> dict[str, Any]:
    """The rest of the identity, as resolved."""
    config, extractor = prepared.config, prepared.extractor
    return {
        "model": {
            "path": extractor.checkpoint.label,
            "revision": config.model.revision,
            "max_length": extractor.info.max_length,
            "hidden_act": extractor.checkpoint.config.get("hidden_act"),
        },
        "dataset": {
            "task": prepared.data.task,
            "selection": prepared.data.selection,
            "folds": prepared.data.folds,
            "metrics": list(prepared.data.metrics),
            "classes": list(prepared.data.classes),
        },
        "probe": config.probe.as_record(),
        "runtime": {
            "dtype": config.runtime.dtype,
            "attention": extractor.info.attention,
            "kernel": extractor.info.kernel,
            "token_budget": extractor.options.token_budget,
        },
    }


def _provenance(prepared: PreparedRun) -> dict[str, Any]:
    extractor, read = prepared.extractor, prepared.data
    return provenance.collect(
        device=extractor.options.device,
        gpu=extractor.gpu,
        threads=extractor.workers,
        dtype=prepared.config.runtime.dtype,
        attention=extractor.info.attention,
        model={
            "path": extractor.checkpoint.label,
            "commit": extractor.checkpoint.commit,
            "weights": extractor.checkpoint.weights,
            "tokenizer": extractor.checkpoint.tokenizer,
        },
        data=read.source,
        texts={
            name: [split.text_digest, *([split.text_pair_digest] if split.text_pair is not None else [])]
            for name, split in sorted(read.splits.items())
        },
    )


def _predictions(read: Dataset, outcome: ProbeOutcome) -> dict[str, np.ndarray]:
    """Per row of the test split its digest, fold, label, prediction and decision value; other splits under their role's name."""
    arrays: dict[str, np.ndarray] = {}
    for role in outcome.predictions:
        split, scored = read.splits[read.roles[role]], outcome.scored(role)
        prefix = "" if role == "test" else f"{role}."
        arrays[f"{prefix}row"] = split.row_digests()
        arrays[f"{prefix}fold"] = outcome.fold_ids if role == "test" else np.full(len(split), -1)
        arrays[f"{prefix}label"] = split.label
        arrays[f"{prefix}prediction"] = scored.values
        arrays[f"{prefix}decision"] = scored.decisions
    return arrays

"""The record of a finished run, and the arrays beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.data.dataset import Dataset
from src.features.extractor import FeatureExtractor
from src.features.vectors import PooledFeatures, all_rows_equal, saturated
from src.pipeline.prepare import PreparedRun
from src.probes.fitted import FittedProbe
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import Protocol, get_protocol
from src.results.result import SCHEMA, Result, write_record
from src.runtime import provenance

LOSSES = ("truncated", "unknown", "empty", "lowered")  # counts of what tokenizing lost


@dataclass(frozen=True)
class RoleFeatures:
    """The probe's matrix (rows, width) of one role, and the pooled features of each text column."""

    matrix: np.ndarray
    sides: Sequence[PooledFeatures]


@dataclass
class FinishedRun:
    """A finished run: its record, and the arrays beside it.

    Attributes
    ----------
    predictions, probe : dict of str to array
        Contents of ``predictions.safetensors`` and ``probe.safetensors``; `probe` is None if nothing
        was fitted, and then has no file.
    notes : dict of str to str
        Metadata of the probe's arrays.
    """

    result: Result
    predictions: dict[str, np.ndarray]
    probe: dict[str, np.ndarray] | None
    notes: dict[str, str]

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The record and its arrays as files, by name."""
        return self.result.pack(self.predictions, self.probe, self.notes)

    def write(self, folder: Path) -> None:
        """Write the files into a folder."""
        write_record(folder, self.files)


def assemble_record(
    prepared: PreparedRun,
    features: Mapping[str, RoleFeatures],
    outcome: ProbeOutcome,
    *,
    scores: dict[str, dict[str, Any]],
    curve: list[dict[str, Any]],
    baseline: dict[str, Any],
) -> FinishedRun:
    """Assemble the record of a run from its parts.

    Parameters
    ----------
    features : mapping
        Features by role.
    scores : dict
        Each metric's value and interval, by name.
    curve : list of dict
        Points of a learning curve: rows, value, low, high.
    baseline : dict
        Trivial scores, by name.
    """
    config, data = prepared.config, prepared.data
    fitted = outcome.fitted
    chosen = asdict(outcome.choice) if outcome.choice is not None else {}
    chosen |= {"reusable": fitted.weight is not None} if fitted is not None else {}
    chosen |= outcome.details
    result = Result(
        schema=SCHEMA,
        key=prepared.key,
        model=prepared.model_name,
        dataset=data.name,
        pooling=config.pooling.name,
        probe=config.probe.name,
        layer=prepared.target[1],
        pairing=config.pairing,
        seed=config.seed,
        draws=config.draws,
        config=prepared.resolved_settings,
        score={"metric": data.metrics[0], **scores[data.metrics[0]]},
        metrics=scores,
        baseline=baseline,
        counts=counts(data, features, get_protocol(prepared.probe)),
        chosen=chosen | ({"curve": curve} if curve else {}),
        pooler=pooler_evidence(prepared, features),
        timing=timing(prepared.extractor, features),
        provenance=record_provenance(prepared),
    )
    probe = fitted.arrays() if fitted is not None else None
    return FinishedRun(result, prediction_arrays(data, outcome), probe, _notes(prepared, fitted))


def counts(data: Dataset, features: Mapping[str, RoleFeatures], protocol: Protocol) -> dict[str, Any]:
    """Return the counts of rows, classes and tokens, and of what tokenizing lost."""
    sides = [side for each in features.values() for side in each.sides]
    rows = (features.get("train") or features["test"]).matrix
    return {
        "train": len(data.train) if data.has_train else 0,
        "test": len(data.test),
        "classes": len(data.classes),
        "width": protocol.vector_width(int(rows.shape[1])),
        "tokens": sum(side.tokens for side in sides),
        **{name: sum(getattr(side.losses, name) for side in sides) for name in LOSSES},
        **({"left_out": data.left_out} if data.left_out else {}),
        "test_in_train": data.test_in_train(),
        "one_vector": len(rows) if all_rows_equal(rows) else 0,
    }


def timing(extractor: FeatureExtractor, features: Mapping[str, RoleFeatures]) -> dict[str, Any]:
    """Return seconds by phase, and whether the features came from the store."""
    sides = [side for each in features.values() for side in each.sides]
    if not extractor.encoded:
        cache = "hit"
    elif any(side.hit or side.timing["shards_resumed"] for side in sides):
        cache = "partial"
    else:
        cache = "miss"
    return {
        **extractor.clock.seconds(),
        "warmup": extractor.warmup,
        "cache": cache,
        "passes": [side.timing for side in sides],
        "rows_encoded": extractor.encoded,
    }


def pooler_evidence(prepared: PreparedRun, features: Mapping[str, RoleFeatures]) -> dict[str, Any]:
    """Return the pooler's status and its evidence, with the entries that tanh rounded to one."""
    pooler = dict(prepared.extractor.info.pooler)
    pooling = prepared.target[0]
    counted = [saturated(side.values, pooling) for each in features.values() for side in each.sides]
    if all(count is not None for count in counted):
        pooler["saturated_entries"] = sum(count or 0 for count in counted)
    return pooler


def record_provenance(prepared: PreparedRun) -> dict[str, Any]:
    """Return versions, machine and digests, without a path of the machine."""
    extractor, data = prepared.extractor, prepared.data
    return provenance.collect(
        device=extractor.options.device,
        gpu=extractor.gpu,
        threads=extractor.workers,
        dtype=prepared.config.runtime.dtype,
        attention=extractor.info.attention,
        model=model_provenance(prepared),
        data=data_provenance(prepared),
        texts=text_digests(data),
    )


def data_provenance(prepared: PreparedRun) -> dict[str, Any]:
    """Return where the rows came from, and the unit of claims over tasks if the configuration names one."""
    unit = prepared.config.dataset.unit
    return {**prepared.data.source, **({"unit": unit} if unit else {})}


def text_digests(data: Dataset) -> dict[str, list[Any]]:
    """Return the digests of each split's texts, one a column."""
    return {
        name: [split.text_digest, *([split.text_pair_digest] if split.text_pair is not None else [])]
        for name, split in sorted(data.splits.items())
    }


def model_provenance(prepared: PreparedRun) -> dict[str, Any]:
    """Return a checkpoint's name and commit, the digests of its files, and what it states of itself."""
    checkpoint = prepared.extractor.checkpoint
    return {
        "path": checkpoint.label,
        "commit": checkpoint.commit,
        "weights": checkpoint.weights,
        "tokenizer": checkpoint.tokenizer,
        **({"stated": checkpoint.stated} if checkpoint.stated else {}),
    }


def renamed(prepared: PreparedRun, result: Result) -> Result | None:
    """Return the record of an equal run with this run's names and sources of its model and its data.

    Runs with equal keys have used the same weights and texts, perhaps from another folder, from other
    columns, or beside other statements of the checkpoint and other splits that were not used. None if
    the classes have other names, which the fitted probe's file holds too.
    """
    data, settings = prepared.data, prepared.resolved_settings
    if result.config["dataset"].get("classes") != settings["dataset"]["classes"]:
        return None
    sources = {"model": model_provenance(prepared), "data": data_provenance(prepared), "texts": text_digests(data)}
    return replace(
        result,
        **dict[str, Any](prepared.names),
        config={**result.config, **{name: settings[name] for name in ("model", "dataset")}},
        provenance={**result.provenance, **sources},
    )


def prediction_arrays(data: Dataset, outcome: ProbeOutcome) -> dict[str, np.ndarray]:
    """Return digest, fold, label, prediction and decision value of each test row, (rows, ...).

    Of pairs also a digest of each text, (rows, 2), by which rows that share a text are found. Where rows
    come in sets or groups, also the number of each row's; where a threshold was chosen,
    the prediction at it, by which the headline metric is scored. Arrays of other roles have the role in
    front of their name.
    """
    arrays: dict[str, np.ndarray] = {}
    for role in outcome.predictions:
        split, scored = data.splits[data.roles[role]], outcome.scored(role)
        prefix = "" if role == "test" else f"{role}."
        arrays[f"{prefix}row"] = split.row_digests()
        arrays[f"{prefix}fold"] = outcome.fold_ids if role == "test" else np.full(len(split), -1)
        arrays[f"{prefix}label"] = split.label
        arrays[f"{prefix}prediction"] = scored.values
        arrays[f"{prefix}decision"] = scored.decisions
        if scored.thresholded is not None:
            arrays[f"{prefix}thresholded"] = scored.thresholded
        if split.pair_digests is not None:
            arrays[f"{prefix}texts"] = split.pair_digests
        if split.set_ids is not None:
            arrays[f"{prefix}set"] = split.set_ids
        if role == "test" and data.test_groups is not None:
            arrays["group"] = data.test_groups
    return arrays


def _notes(prepared: PreparedRun, fitted: FittedProbe | None) -> dict[str, str]:
    """Return notes on how to read the arrays."""
    notes = {
        "features": prepared.probe.features,
        "trained_on": fitted.trained_on if fitted is not None else "nothing",
        "classes": json.dumps(list(prepared.data.classes)),
        "pooling": prepared.target[0],
        "layer": str(prepared.target[1]),
        "pairing": prepared.config.pairing,
    }
    if fitted is not None and fitted.threshold is not None:
        notes["threshold"] = json.dumps(fitted.threshold)
    if fitted is not None and fitted.weight is None:
        kind = type(fitted.model).__name__
        notes["incomplete"] = f"{kind} has no linear coefficients that could be kept: these arrays alone cannot predict"
    return notes

"""A run: text to features, features to a fitted probe, the probe's predictions to a record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from src.data.dataset import Split
from src.evaluation.estimates import Estimate, evaluate
from src.evaluation.sets import set_estimates
from src.features.inputs import encoder_inputs
from src.pipeline.prepare import PreparedRun
from src.pipeline.record import FinishedRun, RoleFeatures, assemble_record, renamed
from src.probes.baseline import baseline_scores
from src.probes.estimators import instantiate
from src.probes.outcome import ProbeOutcome
from src.probes.progress import progress_bar
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeData
from src.results.cache import ResultCache
from src.runtime.logs import log_once

log = logging.getLogger(__name__)


def run_probe(prepared: PreparedRun, estimator: Any) -> FinishedRun:
    """Extract features, fit the probe and score it; the test rows are scored once.

    Parameters
    ----------
    prepared : PreparedRun
    estimator : object
        A scikit-learn-like estimator whose grid parameter is in ``config.probe.grid``.
    """
    config, data, clock = prepared.config, prepared.data, prepared.clock
    features = extract_features(prepared)
    with clock.phase("fit"):
        outcome = fit_probe(prepared, estimator, {role: each.matrix for role, each in features.items()})
    with clock.phase("score"):
        scores = score_probe(prepared, outcome)
        curve = score_curve(prepared, outcome)
    with clock.phase("baseline"):
        progress = config.runtime.progress
        baseline = baseline_scores(
            data, estimator, config.probe, prepared.extractor,
            pairing=config.pairing, seed=config.seed, show_progress=progress,
        )  # fmt: skip
    finished = assemble_record(prepared, features, outcome, scores=scores, curve=curve, baseline=baseline)
    rows = data.splits[data.roles.get("train", data.roles["test"])]
    if finished.result.counts["one_vector"] and len(np.unique(rows.row_digests())) > 1:
        pooling, layer = prepared.target
        log_once(
            log,
            f"{data.name}: pooling={pooling} layer={layer} gives the same vector for all texts, so a probe can read "
            "nothing from it. Choose another pooling or layer, unless this is a control.",
        )
    return finished


def run_or_copy(prepared: PreparedRun, folder: Path) -> None:
    """Write the record of a run into a new folder: the store's copy if it has one, else run the probe."""
    cache = ResultCache(prepared.extractor.store.root)
    folder.mkdir(parents=True, exist_ok=True)
    if cache.get(prepared.key, folder, partial(renamed, prepared)) is None:
        finished = run_probe(prepared, instantiate(prepared.config.probe))
        cache.put(prepared.key, finished.files)
        finished.write(folder)


def extract_features(prepared: PreparedRun) -> dict[str, RoleFeatures]:
    """Return the features of each role's rows; in cross-validation `train` holds the test rows too."""
    data, extractor, config = prepared.data, prepared.extractor, prepared.config
    protocol = get_protocol(config.probe)
    found = {}
    for role, name in data.roles.items():
        if role == "test" and name == data.roles.get("train"):
            continue
        texts = encoder_inputs(data.splits[name], config.pairing, data.name)
        sides = [extractor.features(text, prepared.target, config.runtime.also_layers) for text in texts]
        with prepared.clock.phase("pool"):  # what follows from stored vectors
            values = [side.values for side in sides]
        found[role] = RoleFeatures(protocol.pair_features(values), sides)
    return found


def fit_probe(prepared: PreparedRun, estimator: Any, matrices: Mapping[str, np.ndarray]) -> ProbeOutcome:
    """Fit the probe by its protocol on matrices (rows, width) by role."""
    data, protocol = prepared.data, get_protocol(prepared.probe)
    order = protocol.order(data.train) if data.has_train else None
    rows = ProbeData.from_dataset(data, matrices, order=order)
    with progress_bar(f"{data.name}: probe", prepared.config.runtime.progress) as progress:
        return protocol.fit(estimator, prepared.settings, rows, progress)


def score_probe(prepared: PreparedRun, outcome: ProbeOutcome) -> dict[str, dict[str, Any]]:
    """Return every metric of the task with its interval, by name; other roles than test end the name."""
    data, protocol = prepared.data, get_protocol(prepared.probe)
    scores = {}
    for role in outcome.predictions:
        split = data.splits[data.roles[role]]
        labels = split.label
        fold = outcome.fold_ids if role == "test" and outcome.fold_ids.max() >= 0 else None
        draws = [draw[role].values for draw in outcome.draws]
        for name in data.metrics:
            predicted = [draw[role].labels for draw in outcome.draws] if name == data.metrics[0] else draws
            score = protocol.score(name, labels, predicted, fold, partial(_evaluate, prepared, name, split, fold))
            scores[name if role == "test" else f"{name}_{role}"] = score
        if role == "test" and split.sets is not None and len(draws) == 1:
            scores |= score_sets(prepared, split, draws[0])
    return scores


def score_sets(prepared: PreparedRun, split: Split, predictions: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return Spearman's mean over the sets of a split's rows, and its value in each set."""
    seed, resamples = prepared.config.seed, prepared.probe.resamples
    assert split.sets is not None and split.set_ids is not None
    found = set_estimates(
        "spearman", split.label, predictions, split.sets, split.set_ids, seed=seed, resamples=resamples
    )
    return {each: asdict(estimate) for each, estimate in found.items()}


def score_curve(prepared: PreparedRun, outcome: ProbeOutcome) -> list[dict[str, Any]]:
    """Return the headline metric at each number of training rows; empty without a learning curve."""
    data, curve = prepared.data, []
    for each in outcome.curve:
        point = _evaluate(prepared, data.metrics[0], data.test, None, each.predictions["test"].values)
        curve.append({"rows": each.rows, "value": point.value, "low": point.low, "high": point.high})
    return curve


def _evaluate(
    prepared: PreparedRun, name: str, split: Split, fold: np.ndarray | None, predictions: np.ndarray
) -> Estimate:
    """Evaluate a metric on predictions (rows,) or (draws, rows)."""
    classes, seed, resamples = len(prepared.data.classes), prepared.config.seed, prepared.probe.resamples
    return evaluate(
        name, split.label, predictions, classes=classes, seed=seed, resamples=resamples, fold=fold,
        strata=split.set_ids, groups=prepared.data.test_groups if split is prepared.data.test else None,
    )  # fmt: skip

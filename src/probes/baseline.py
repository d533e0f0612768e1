"""Trivial scores that a representation has to beat.

They are the best constant prediction, and a bag of word pieces under the same probe and grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.config.schema import ProbeConfig, with_text_keys
from src.data.dataset import Dataset
from src.errors import UserError, flatten
from src.evaluation.estimates import best_constant, evaluate
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models.tokenizer import Tokens
from src.probes.progress import progress_bar
from src.probes.protocols.base import get_protocol
from src.probes.scaling import normalise_rows
from src.probes.settings import ProbeData, ProbeSettings
from src.runtime.provenance import method_digest
from src.storage.arrays import Value
from src.storage.files import require_fields

UNKEYED = ("name", "similarity")  # settings that change no bag's score
MAX_WEIGHTS = 1 << 24  # weights of a bag's probe; the solver holds some thirty arrays of them, 4 GiB
ROW_LENGTH = 3.0  # the probe's grid then spans from over- to under-regularised for bags as it does for features


def baseline_scores(
    dataset: Dataset,
    estimator: Any,
    probe: ProbeConfig,
    extractor: FeatureExtractor,
    *,
    pairing: str = "separate",
    seed: int = 0,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Return both trivial scores on the headline metric.

    The bag's score is computed once for all poolings and layers, and stored.

    Parameters
    ----------
    dataset : Dataset
    estimator : object
        The probe's estimator.
    probe : ProbeConfig
    extractor : FeatureExtractor
        Tokenizes the texts; its store keeps the bag's score.
    pairing : str
        How the bag reads pairs, as the features beside it do: ``joint`` is one bag of both texts,
        ``separate`` combines two as `bag_features` says.
    seed : int
    show_progress : bool
        Whether a bar is shown on a terminal.

    Returns
    -------
    dict
        ``constant`` and ``bag_of_word_pieces``, each ``{metric, value, ...}``.
        An undefined value is None, with its reason.
    """
    name = dataset.metrics[0]
    constant = None
    if dataset.has_train:
        constant = best_constant(name, dataset.train.label, dataset.test.label, len(dataset.classes))
    # With standardised columns, a piece that occurs once would outweigh the rest of its row.
    probe = replace(probe, features="none", similarity=ProbeConfig.similarity)
    store = extractor.store
    key = store.key(
        {
            "kind": "bag",
            "method": method_digest(),
            "tokenizer": extractor.checkpoint.tokenisation,
            "max_length": extractor.info.max_length,
            **dataset.identity(),
            "probe": with_text_keys({field: value for field, value in asdict(probe).items() if field not in UNKEYED}),
            "seed": seed,
            **({"pairing": pairing} if dataset.has_pairs else {}),
        }
    )
    with store.lock(key, "fitting the bag of word pieces"):
        stored = store.get("baseline", key, _check)
        if stored is not None:
            bag = stored.meta
        else:
            try:
                bag = _bag_score(dataset, estimator, probe, extractor, pairing, seed, show_progress)
            except UserError as error:  # the estimator takes dense features but no sparse counts
                bag = {"metric": name, "value": None, "reason": f"it could not be fitted: {flatten(error, 160)}"}
            store.put("baseline", key, {}, bag)
    reason = None if constant is not None else "a constant has no correlation"
    return {"constant": {"metric": name, "value": constant, "reason": reason}, "bag_of_word_pieces": bag}


def _check(value: Value) -> None:
    """Raise one of `src.storage.files.DAMAGE` if a stored baseline lacks fields of a record."""
    number = (float, type(None))
    require_fields(
        value.meta, {"metric": str, "value": number}, {"low": float, "high": float, "reason": str, "converged": bool}
    )


def _bag_score(
    dataset: Dataset,
    estimator: Any,
    probe: ProbeConfig,
    extractor: FeatureExtractor,
    pairing: str,
    seed: int,
    show_progress: bool,
) -> dict[str, Any]:
    """Fit the probe to bags of word pieces and score it."""
    protocol = get_protocol(probe)
    bags = _bags(dataset, extractor, pairing, bag_features if protocol.FITTED else protocol.pair_features)
    name, classes = dataset.metrics[0], len(dataset.classes)
    width = protocol.vector_width(int(next(iter(bags.values())).shape[1]))
    if width * classes > MAX_WEIGHTS:
        reason = f"{width:,} word pieces x {classes:,} classes are more weights than fit into memory"
        undefined = dict.fromkeys(("value", "low", "high"))
        return {"metric": name, **undefined, "reason": reason, "method": "undefined", "converged": None}
    settings = ProbeSettings.from_config(
        probe, selection=dataset.selection, folds=dataset.folds, seed=seed, metric=name
    )
    data = ProbeData.from_dataset(dataset, bags)
    with progress_bar(f"{dataset.name}: bag of word pieces", show_progress) as progress:
        outcome = protocol.fit(estimator, settings, data, progress)
    estimate = evaluate(
        name, dataset.test.label, outcome.predictions["test"].labels, classes=classes, seed=seed,
        resamples=probe.resamples, strata=dataset.test.set_ids, groups=dataset.test_groups,
    )  # fmt: skip
    choice = outcome.choice
    chosen = (choice.value, choice.converged) if choice is not None else (None, None)
    return {"metric": name, **asdict(estimate), "width": width, "chosen": chosen[0], "converged": chosen[1]}


def _bags(
    dataset: Dataset,
    extractor: FeatureExtractor,
    pairing: str,
    features: Callable[[list[sp.csr_matrix]], sp.csr_matrix],
) -> dict[str, sp.csr_matrix]:
    """Return bags of word pieces (rows, width) by role: train, development and test.

    The columns are the pieces that occur in the training texts, or in the test texts if nothing is
    fitted. Both sides of a pair have the same ones, so that they can be compared. `features`
    combines the sides.
    """
    nested = dataset.roles["test"] == dataset.roles.get("train")
    wanted = {"train", "development"} if nested else {"train", "development", "test"}
    sides = {
        role: [extractor.tokens(text) for text in encoder_inputs(dataset.splits[name], pairing, dataset.name)]
        for role, name in dataset.roles.items()
        if role in wanted
    }
    pieces = 1 + max(int(side.ids.max(initial=0)) for both in sides.values() for side in both)
    kept = np.unique(
        np.concatenate([np.unique(side.ids[~side.special]) for side in sides.get("train") or sides["test"]])
    )
    return {role: features([_counts(side, pieces)[:, kept] for side in both]) for role, both in sides.items()}


def _counts(tokens: Tokens, pieces: int) -> sp.csr_matrix:
    """Count the word pieces of each row without special tokens: (rows, pieces) float32."""
    row = np.repeat(np.arange(len(tokens.offsets) - 1), tokens.lengths)
    real = ~tokens.special
    ones = np.ones(int(real.sum()), np.float32)
    return sp.csr_matrix((ones, (row[real], tokens.ids[real])), shape=(len(tokens.offsets) - 1, pieces))


def bag_features(sides: list[sp.csr_matrix]) -> sp.csr_matrix:
    """Return the features of bags, in rows of length `ROW_LENGTH`.

    One text gives its bag. Two give ``[u; v; |u - v|; u * v]``, as in pairs encoded apart.
    """
    bag = sides[0]
    if len(sides) == 2:
        u, v = sides
        bag = sp.hstack([u, v, abs(u - v), u.multiply(v)], format="csr")
    return normalise_rows(bag) * np.float32(ROW_LENGTH)

"""Trivial scores that a representation has to beat: the best constant prediction,
and a bag of word pieces under the same probe and grid.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.config.schema import Config, with_text_keys
from src.data.dataset import Dataset
from src.errors import UserError, flatten
from src.evaluation.estimates import best_constant, evaluate
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models.tokenizer import Tokens
from src.probes import probe
from src.probes.fitting import normalise, progress_bar
from src.runtime.provenance import method_digest
from src.storage.arrays import Value
from src.storage.files import require_fields

MOST_WEIGHTS = 1 << 24  # of a bag's probe: a path of its solver holds some thirty arrays of them, 4 GiB
LENGTH = 3.0  # of a row: the probe's grid then spans from over- to under-regularised for bags as it does for features


def scores(read: Dataset, estimator: Any, config: Config, extractor: FeatureExtractor) -> dict[str, Any]:
    """Both trivial scores on the headline metric; the bag's is computed once for all poolings and layers, and stored.

    Returns
    -------
    dict
        ``constant`` and ``bag_of_word_pieces``, each ``{metric, value, ...}``; a value that is undefined is None with its reason.
    """
    name = read.metrics[0]
    constant = best_constant(name, read.train.label, read.test.label, len(read.classes))
    # Rows of one length in place of standardised columns, which would let a piece that occurs once outweigh the rest of its row.
    config = replace(config, probe=replace(config.probe, features="none"))
    identity = {
        "kind": "bag",
        "method": method_digest(),
        "tokenizer": extractor.checkpoint.tokenisation,
        "max_length": extractor.info.max_length,
        **read.identity(),
        "probe": with_text_keys({key: value for key, value in asdict(config.probe).items() if key != "name"}),
        "seed": config.seed,
    }
    store = extractor.store
    key = store.key(identity)
    with store.lock(key, "fitting the bag of word pieces"):
        value = store.get("baseline", key, _check)
        if value is None:
            try:
                bag = _bag(read, estimator, config, extractor)
            except UserError as error:  # of a probe that was fitted on dense features: it does not take sparse counts
                bag = {"metric": name, "value": None, "reason": f"it could not be fitted: {flatten(error, 160)}"}
            store.put("baseline", key, {}, bag)
        else:
            bag = value.meta
    return {
        "constant": {
            "metric": name,
            "value": constant,
            "reason": None if constant is not None else "a constant has no correlation",
        },
        "bag_of_word_pieces": bag,
    }


def _check(value: Value) -> None:
    """Raise one of `src.storage.files.DAMAGE` where a stored baseline lacks what records and tables read of it."""
    number = (float, type(None))
    require_fields(
        value.meta, {"metric": str, "value": number}, {"low": float, "high": float, "reason": str, "converged": bool}
    )


def _bag(read: Dataset, estimator: Any, config: Config, extractor: FeatureExtractor) -> dict[str, Any]:
    sides = {
        role: [extractor.tokens(text) for text in encoder_inputs(read.splits[name], "separate", read.name)]
        for role, name in read.roles.items()
    }
    pieces = 1 + max(int(side.ids.max(initial=0)) for both in sides.values() for side in both)
    seen = [np.unique(side.ids[~side.special]) for side in sides["train"]]
    rows = {
        role: probe.Rows(
            features([_counts(side, pieces)[:, keep] for side, keep in zip(both, _shared(seen), strict=True)]),
            read.splits[read.roles[role]].label,
        )
        for role, both in sides.items()
    }
    train, development = rows.pop("train"), rows.pop("development", None)
    name = read.metrics[0]
    if train.x.shape[1] * len(read.classes) > MOST_WEIGHTS:
        reason = (
            f"{train.x.shape[1]:,} word pieces x {len(read.classes):,} classes are more weights than fit into memory"
        )
        return {
            "metric": name,
            "value": None,
            "low": None,
            "high": None,
            "reason": reason,
            "method": "undefined",
            "converged": None,
        }
    tests = {} if read.roles["test"] == read.roles["train"] else {"test": rows["test"]}
    with progress_bar(f"{read.name}: bag of word pieces", config.runtime.progress) as progress:
        outcome = probe.run(
            estimator, config.probe, train, tests, classes=len(read.classes), selection=read.selection, development=development,
            folds=read.folds, seed=config.seed, draws=1, groups=read.groups, mixed=read.groups_span_classes, progress=progress,
        )  # fmt: skip
    estimate = evaluate(
        name,
        read.test.label,
        outcome.predictions["test"],
        classes=len(read.classes),
        seed=config.seed,
        resamples=config.probe.resamples,
    )
    return {
        "metric": name,
        **asdict(estimate),
        "width": int(train.x.shape[1]),
        "chosen": outcome.choice.value,
        "converged": outcome.choice.converged,
    }


def _shared(seen: list[np.ndarray]) -> list[np.ndarray]:
    """The columns kept: word pieces that occur in the training texts, the same for both sides of a pair so that they can be compared."""
    union = np.unique(np.concatenate(seen))
    return [union for _ in seen]


def _counts(tokens: Tokens, pieces: int) -> sp.csr_matrix:
    """Word pieces of each row, counted, special tokens left out: (rows, pieces) float32."""
    row = np.repeat(np.arange(len(tokens.offsets) - 1), tokens.lengths)
    real = ~tokens.special
    ones = np.ones(int(real.sum()), np.float32)
    return sp.csr_matrix((ones, (row[real], tokens.ids[real])), shape=(len(tokens.offsets) - 1, pieces))


def features(sides: list[sp.csr_matrix]) -> sp.csr_matrix:
    """A bag, or for two texts ``[u; v; |u - v|; u * v]`` as in pairs that were encoded apart; rows are scaled to `LENGTH`."""
    bag = sides[0]
    if len(sides) == 2:
        u, v = sides
        bag = sp.hstack([u, v, abs(u - v), u.multiply(v)], format="csr")
    return normalise(bag) * np.float32(LENGTH)

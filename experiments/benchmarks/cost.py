"""Measure the cost of every representation: ``python -m experiments.benchmarks.cost output=FILE``.

Times tokenising, the forward pass up to each layer, each pooling alone and the fit of the probe, on
the same rows in one process, and counts bytes a row. Seconds are processor time on one core, which
other work on the machine does not lengthen; extraction itself uses all cores. Every measurement is
repeated in a new order each round, so that a change of the machine's speed affects all alike. The
median is given with the quickest and the slowest repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.benchmarks.passes import passes, stops_early, targets
from experiments.benchmarks.timing import Measurements, format_seconds, load_average, measure, nested, one_core
from experiments.cli import ModelPath, at_least, command, required
from experiments.configurations import dataset_config, probe_config
from experiments.files import write_json
from src.cli.messages import print_text
from src.config.schema import DEFAULT_PROBE, Config, ModelConfig, RuntimeConfig
from src.data.dataset import Split
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.features.vectors import pair_features
from src.models.tokenizer import Tokenizer, Tokens
from src.pipeline.prepare import PreparedRun, open_run
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.run import instantiate
from src.runtime import provenance

SEPARATE = ("cls", "mean")  # also probed on pairs encoded separately, which are four times as wide
EXIT = "an early exit computes the layers up to its own alone"
NO_EXIT = "this architecture's layers cannot be left out by hand: a lower layer pays the full pass"


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = required("the file of the figures")
    model: ModelPath = ModelPath("embedded:bert-books")
    dataset: tuple[str, ...] = ("demo_sentiment", "demo_coherence")
    data_root: str | None = None
    rows: int = at_least(2, 96)  # whose tokenising, pass and pooling are timed
    fit_rows: int = at_least(50, 1000)  # that the probe is fitted on
    repeats: int = at_least(1, 5)
    cache_dir: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Measure every dataset, print its medians and write the file."""
    prepared = {name: prepare(name, options) for name in options.dataset}
    load = load_average()
    measured = {}
    for name, each in prepared.items():
        measured[name] = cost(each, options)
        print_text(f"{name}\n{format_seconds(measured[name]['seconds'])}")
    figures = {
        **describe(prepared[options.dataset[0]].extractor),
        "load_average": load,
        "clock": "processor time, all threads of the process",
        "fit_rows": options.fit_rows,
        "repeats": options.repeats,
        "tasks": measured,
    }
    write_json(Path(options.output), figures)


def prepare(name: str, options: Options) -> PreparedRun:
    """Read a dataset of conf/dataset, with the checkpoint that encodes it."""
    return open_run(
        Config(
            model=ModelConfig(path=options.model.path),
            dataset=dataset_config(name),
            runtime=RuntimeConfig(device="cpu", progress=False, cache_dir=options.cache_dir),
            data_root=options.data_root,
        )
    )


def cost(prepared: PreparedRun, options: Options) -> dict[str, Any]:
    """Measure every cost on random rows of the training split.

    Returns
    -------
    dict
        ``seconds``: ``tokenise``, ``forward`` by layer, ``pool`` by pooling and ``fit`` by
        representation, each by pairing, each ``{median, low, high}``. ``bytes`` of a stored row and
        ``width`` of the probe's input, by pairing and representation.
    """
    extractor, name = prepared.extractor, prepared.data.name
    train = prepared.data.train
    order = np.random.default_rng(0).permutation(len(train))
    few, many = (_rows(train, np.sort(order[:number])) for number in (options.rows, options.fit_rows))
    pairings = ("joint", "separate") if train.text_pair is not None else ("joint",)
    functions: Measurements = {}
    tokens, features = {}, {}
    with one_core():
        for pairing in pairings:
            tokenise = partial(_tokenise, Tokenizer(extractor.checkpoint, extractor.info.max_length), few, pairing)
            tokens[pairing] = tokenise()
            functions[f"tokenise/{pairing}"] = tokenise
            functions |= passes(extractor, tokens[pairing], pairing)
            features[pairing] = _features(extractor, many, pairing, name)
            for each, sides in features[pairing].items():
                functions[f"fit/{pairing}/{each}"] = partial(
                    fit, pair_features(sides), many, len(prepared.data.classes)
                )
        seconds = nested(measure(functions, options.repeats))
    return {
        "rows": len(few),
        "fit_rows": len(many),
        "tokens": {pairing: int(sum(len(side.ids) for side in tokens[pairing])) for pairing in pairings},
        "seconds": seconds,
        "bytes": {pairing: {each: _bytes(sides) for each, sides in features[pairing].items()} for pairing in pairings},
        "width": {
            pairing: {each: pair_features(sides).shape[1] for each, sides in features[pairing].items()}
            for pairing in pairings
        },
    }


def _rows(split: Split, chosen: np.ndarray) -> Split:
    take = pa.array(chosen)
    pair = None if split.text_pair is None else split.text_pair.take(take)
    return Split(split.name, split.text.take(take), pair, split.label[chosen])


def _tokenise(tokenizer: Tokenizer, split: Split, pairing: str) -> list[Tokens]:
    return [tokenizer(text.text, text.text_pair) for text in encoder_inputs(split, pairing, "")]


def _features(extractor: FeatureExtractor, split: Split, pairing: str, name: str) -> dict[str, list[np.ndarray]]:
    """Return the features of both sides, or of one, by representation; jointly also [cls; mean]."""
    sides = {
        each: [
            np.array(extractor.features(text, target).values)
            for text in encoder_inputs(split, pairing, f"{name}, {len(split)} rows,")
        ]
        for each, target in targets(extractor).items()
        if pairing == "joint" or each in SEPARATE
    }
    return {**sides, "cls_and_mean": [np.hstack([*sides["cls"], *sides["mean"]])]} if pairing == "joint" else sides


def _bytes(sides: list[np.ndarray]) -> dict[str, int]:
    rows = len(sides[0])
    return {kind: sum(side.astype(kind).nbytes for side in sides) // rows for kind in ("float32", "float16")}


def fit(features: np.ndarray, split: Split, classes: int) -> ProbeOutcome:
    """Fit the default probe: its whole grid on a part of the rows, then all rows."""
    config = probe_config(DEFAULT_PROBE["classification" if classes else "regression"])
    data = ProbeData(Rows(features, split.label), {}, classes, groups=split.row_digests())
    return get_protocol(config).fit(instantiate(config), ProbeSettings.from_config(config), data)


def describe(extractor: FeatureExtractor) -> dict[str, Any]:
    """Return the record's part about the model and the machine."""
    facts, checkpoint = extractor.info, extractor.checkpoint
    batch = (np.ones((1, 8), np.int32), np.zeros((1, 8), np.int8), np.zeros((1, 8), np.bool_))
    exits = stops_early(extractor.encoder, batch)
    return {
        "model": checkpoint.label,
        "layers": facts.layers,
        "width": facts.width,
        "pooler": facts.pooler["status"],
        "early_exit": {"supported": exits, "note": EXIT if exits else NO_EXIT},
        "provenance": provenance.collect(
            device="cpu",
            threads=1,
            dtype="float32",
            attention=facts.attention,
            kernel=facts.kernel,
            token_budget=extractor.options.token_budget,
            model={"path": checkpoint.label, "weights": checkpoint.weights, "tokenizer": checkpoint.tokenizer},
        ),
    }


if __name__ == "__main__":
    main()

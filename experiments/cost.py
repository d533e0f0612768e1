"""What a representation costs: ``python -m experiments.cost output=FILE [model.path=FOLDER] [dataset=sst2,mrpc] [data_root=FOLDER]``.

Seconds of tokenising, of the forward pass up to each layer, of pooling alone and of fitting the probe, and bytes a row, on the same rows in
one process. Seconds are those of processor time on one core, which other work on the machine does not lengthen; extraction shares its
batches out over all cores. Every measurement is repeated, in a new order each round, so that a machine whose speed drifts slows all
alike; the median is given with the quickest and the slowest.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig, OmegaConf

from experiments.options import read
from src.cli.application import exit_with_error, print_text
from src.config.schema import CONF, DEFAULT_PROBE, Config, ModelConfig, ProbeConfig, RuntimeConfig
from src.data.dataset import Split
from src.errors import UserError
from src.features.batching import plan
from src.features.extractor import FeatureExtractor, pair_features, texts
from src.models.encoder import Encoder, EncoderOutput, Tokenizer, Tokens
from src.pipeline import run as pipeline
from src.pooling import poolings
from src.probes import probe
from src.run import instantiate
from src.runtime import provenance
from src.storage.atomic import replace_files

POOLINGS = ("cls", "pooler", "mean", "max", "first_last_mean")
APART = ("cls", "mean")  # whose probe is fitted on pairs encoded apart too, four times as wide
DEFAULTS = {
    "model": {"path": "embedded:bert-books"},
    "dataset": "demo_sentiment,demo_coherence",
    "data_root": None,
    "rows": 96,  # tokenised, encoded and pooled against the clock
    "fit_rows": 1000,  # that the probe is fitted on
    "repeats": 5,
    "cache_dir": None,
    "output": None,
}
EXIT = "an early exit computes the layers up to its own alone"
NO_EXIT = "this architecture's layers cannot be left out by hand: a lower layer pays the full pass"
Measurements = dict[str, Callable[[], object]]
Batch = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # ids, segments, special marks of rows of one length, each (rows, tokens)


def main(arguments: list[str]) -> None:
    """Measure every dataset, print its medians, write the file; bad input ends with a line or two and status 1."""
    try:
        options = read(DEFAULTS, arguments, __doc__)
        if not options.output:
            raise UserError("output is not set. Name the file of the figures: output=FILE.")
        for key, least in (("rows", 2), ("fit_rows", 50), ("repeats", 1)):
            if not (type(options[key]) is int and options[key] >= least):
                raise UserError(f"{key}={options[key]}: a whole number of at least {least} is needed.")
        names = list(dict.fromkeys(word.strip() for word in str(options.dataset).split(",")))
        opened = [prepare(name, options) for name in names]
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # whether other work ran beside this
        measured = {}
        for name, prepared in zip(names, opened, strict=True):
            measured[name] = cost(prepared, options)
            print_text(f"{name}\n{table(measured[name]['seconds'])}")
        figures = {
            **about(opened[0].extractor),
            "load_average": load,
            "clock": "processor time, all threads of the process",
            "fit_rows": options.fit_rows,
            "repeats": options.repeats,
            "tasks": measured,
        }
        write(Path(options.output), figures)
    except UserError as error:
        exit_with_error(str(error))


def prepare(name: str, options: DictConfig) -> pipeline.PreparedRun:
    """A task of conf/dataset by its name, read, with the checkpoint that encodes it."""
    from experiments.finetune import dataset_config

    dataset = dataset_config(name)
    runtime = RuntimeConfig(device="cpu", progress=False, cache_dir=options.cache_dir)
    return pipeline.opened(
        Config(
            model=ModelConfig(path=options.model.path), dataset=dataset, runtime=runtime, data_root=options.data_root
        )
    )


def cost(prepared: pipeline.PreparedRun, options: DictConfig) -> dict[str, Any]:
    """Every cost on rows of the task's training split, drawn once.

    Returns
    -------
    dict
        ``seconds``: ``tokenise``, ``forward`` by layer, ``pool`` by pooling and ``fit`` by representation, each by pairing and each
        ``{median, low, high}``; ``bytes`` of a stored row and ``width`` that the probe sees, by pairing and representation.
    """
    extractor, name = prepared.extractor, prepared.data.name
    train = prepared.data.train
    order = np.random.default_rng(0).permutation(len(train))
    few, many = (_rows(train, np.sort(order[:number])) for number in (options.rows, options.fit_rows))
    pairings = ("joint", "separate") if train.text_pair is not None else ("joint",)
    doing: Measurements = {}
    tokens, features = {}, {}
    with one_core():
        for pairing in pairings:
            tokenise = partial(_tokenise, Tokenizer(extractor.checkpoint, extractor.facts.max_length), few, pairing)
            tokens[pairing] = tokenise()
            doing[f"tokenise/{pairing}"] = tokenise
            doing |= passes(extractor, tokens[pairing], pairing)
            features[pairing] = _features(extractor, many, pairing, name)
            for each, sides in features[pairing].items():
                doing[f"fit/{pairing}/{each}"] = partial(fit, pair_features(sides), many, len(prepared.data.classes))
        seconds = nested(measure(doing, options.repeats))
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
    return Split(
        split.name,
        split.text.take(take),
        None if split.text_pair is None else split.text_pair.take(take),
        split.label[chosen],
    )


def _tokenise(tokenizer: Tokenizer, split: Split, pairing: str) -> list[Tokens]:
    return [tokenizer(text.text, text.text_pair) for text in texts(split, pairing, "")]


def _features(extractor: FeatureExtractor, split: Split, pairing: str, name: str) -> dict[str, list[np.ndarray]]:
    """Both sides' features, or the one, of every representation that a probe is fitted on: jointly [cls; mean] of double width too."""
    sides = {
        each: [
            np.array(extractor.features(text, target).values)
            for text in texts(split, pairing, f"{name}, {len(split)} rows,")
        ]
        for each, target in _targets(extractor).items()
        if pairing == "joint" or each in APART
    }
    return {**sides, "cls_and_mean": [np.hstack([*sides["cls"], *sides["mean"]])]} if pairing == "joint" else sides


def _targets(extractor: FeatureExtractor) -> dict[str, tuple[str, int]]:
    layer = extractor.facts.layers
    there = set(extractor.supported([layer]))
    return {name: (name, layer) for name in POOLINGS if (name, layer) in there}


def _bytes(sides: list[np.ndarray]) -> dict[str, int]:
    rows = len(sides[0])
    return {kind: sum(side.astype(kind).nbytes for side in sides) // rows for kind in ("float32", "float16")}


def passes(extractor: FeatureExtractor, sides: list[Tokens], pairing: str) -> Measurements:
    """The forward pass up to each layer that it can be stopped at, and each pooling of what the full pass gave."""
    encoder = extractor.encoder
    batches = [_batch(tokens, rows) for tokens in sides for rows in plan(tokens.lengths, extractor.token_budget)]
    outputs = [encoder.forward(*batch) for batch in batches]
    doing: Measurements = {}
    for layer in range(1, encoder.layers + 1) if stops_early(encoder, batches[0]) else (encoder.layers,):
        doing[f"forward/{pairing}/{layer}"] = partial(_forward, encoder, batches, layer)
    for name, (_, layer) in _targets(extractor).items():
        doing[f"pool/{pairing}/{name}"] = partial(_pool, name, outputs, layer)
    return doing


def _batch(tokens: Tokens, rows: np.ndarray) -> Batch:
    places = tokens.offsets[rows][:, None] + np.arange(int(tokens.lengths[rows[0]]))
    return tokens.ids[places], tokens.segments[places], tokens.special[places]


def _forward(encoder: Encoder, batches: list[Batch], layer: int) -> None:
    with stopped(encoder, layer):
        for ids, segments, special in batches:
            encoder.forward(ids, segments, special)


def _pool(name: str, outputs: list[EncoderOutput], layer: int) -> None:
    import torch

    with torch.inference_mode():
        for output in outputs:
            if name == "pooler":  # the pass holds its product already: done again here, so that it is seen
                poolings["pooler_preactivation"].function(output, layer).tanh()
            else:
                poolings[name].function(output, layer)


@contextmanager
def stopped(encoder: Encoder, layer: int) -> Iterator[None]:
    """Leave out the layers above `layer`, as an early exit would; all of them are back afterwards."""
    from torch import nn

    found = [
        (parent, name, child)
        for parent in encoder.model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == encoder.layers
    ]
    if layer == encoder.layers or not found:
        yield
        return
    parent, name, layers = found[0]
    setattr(parent, name, nn.ModuleList(list(layers)[:layer]))
    try:
        yield
    finally:
        setattr(parent, name, layers)


def stops_early(encoder: Encoder, batch: Batch) -> bool:
    """Whether a pass without its upper layers gives the states of the lower ones."""
    whole = encoder.forward(*batch)
    for layer in range(1, encoder.layers):
        with stopped(encoder, layer):
            part = encoder.forward(*batch)
        if len(part.hidden) != layer + 1 or not np.allclose(
            part.hidden[layer].cpu(), whole.hidden[layer].cpu(), atol=1e-5
        ):
            return False
    return True


def fit(features: np.ndarray, split: Split, classes: int) -> probe.Outcome:
    """The default probe, its whole grid on a carved part and the refit."""
    named = DEFAULT_PROBE["classification" if classes else "regression"]
    config = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(ProbeConfig), OmegaConf.load(CONF / "probe" / f"{named}.yaml"))
    )
    assert isinstance(config, ProbeConfig)
    return probe.run(
        instantiate(config), config, probe.Rows(features, split.label), {}, classes=classes, groups=split.row_digests()
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Let torch and BLAS compute on one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def measure(
    doing: Mapping[str, Callable[[], object]], repeats: int, *, now: Callable[[], float] = time.process_time
) -> dict[str, Any]:
    """Seconds of processor time of each measurement: once unmeasured, then `repeats` rounds, each in an order of its own.

    Returns
    -------
    dict
        Name to ``{median, low, high}``.
    """
    taken: dict[str, list[float]] = {name: [] for name in doing}
    for each in doing.values():
        each()
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        for name in rng.permutation(list(doing)).tolist():
            began = now()
            doing[name]()
            taken[name].append(now() - began)
    return {
        name: {"median": statistics.median(each), "low": min(each), "high": max(each)} for name, each in taken.items()
    }


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Names with slashes as mappings in mappings.

    >>> nested({"a/b": 1, "a/c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split("/")
        place = found
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return found


def table(seconds: Mapping[str, Any], where: str = "") -> str:
    """One line a measurement: its name, median, quickest and slowest, in milliseconds."""
    lines = []
    for name, value in seconds.items():
        path = f"{where} {name}".strip()
        if "median" in value:
            lines.append(
                f"  {path:32} {1000 * value['median']:9.2f} ms  [{1000 * value['low']:.2f}, {1000 * value['high']:.2f}]"
            )
        else:
            lines.append(table(value, path))
    return "\n".join(lines)


def about(extractor: FeatureExtractor) -> dict[str, Any]:
    """The model, and what measured it."""
    facts, checkpoint = extractor.facts, extractor.checkpoint
    exits = stops_early(
        extractor.encoder, (np.ones((1, 8), np.int32), np.zeros((1, 8), np.int8), np.zeros((1, 8), np.bool_))
    )
    return {
        "model": checkpoint.label,
        "layers": facts.layers,
        "width": facts.width,
        "pooler": facts.pooler["status"],
        "early_exit": {"supported": exits, "note": EXIT if exits else NO_EXIT},
        "provenance": provenance.collect(
            device="cpu", threads=1, dtype="float32", attention=facts.attention, kernel=facts.kernel, token_budget=extractor.token_budget,
            model={"path": checkpoint.label, "weights": checkpoint.weights, "tokenizer": checkpoint.tokenizer},
        ),
    }  # fmt: skip


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """The figures as sorted JSON, seconds to the microsecond."""
    text = (
        json.dumps(
            json.loads(json.dumps(figures), parse_float=lambda digits: round(float(digits), 6)),
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_files(path.parent, {path.name: text.encode()})
    except OSError as error:
        raise UserError(f"cannot write output={path}: {error.strerror}. Name another file.") from error


if __name__ == "__main__":
    main(sys.argv[1:])

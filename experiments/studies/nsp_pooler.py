"""Train a pooler by next-sentence prediction alone, on a frozen BERT.

``python -m experiments.studies.nsp_pooler text=FOLDER output=FOLDER [model.path=FOLDER]``

Trains W and b of a new pooler, and a next-sentence head, once for each seed. ``output/random-SEED``
and ``output/nsp-SEED`` are two checkpoints with the same encoder to the last bit. Their poolers are
those before and after the training. ``output/nsp.json`` holds the figures. docs/protocol.md states
what they answer.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from tqdm import tqdm

from experiments.cli import ModelPath, at_least, command, required
from experiments.configurations import probe_config
from experiments.files import write_json, writing
from experiments.pretraining.corpus import read_texts, split_held_out
from experiments.studies.coherence_pairs import pairs
from experiments.studies.pooler_arms import ARMS
from src.cli.messages import print_text
from src.config.paths import cache_folder
from src.config.schema import Config, ModelConfig, RuntimeConfig
from src.data.dataset import Split
from src.errors import UserError
from src.evaluation.proportions import wilson
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models.checkpoint import Checkpoint
from src.models.finding import EMBEDDED, find_checkpoint
from src.models.pooler import marchenko_pastur
from src.pipeline.prepare import encoding_options
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression
from src.runtime.clock import Clock
from src.runtime.provenance import cores
from src.storage.arrays import ArrayStore

BATCH = 128
WEIGHT_DECAY = 0.01
WARM_UP = 0.1  # share of the steps, of linear rise
State = dict[str, Tensor]
PARAMETERS = {
    "weight": "bert.pooler.dense.weight", "bias": "bert.pooler.dense.bias",
    "head.weight": "cls.seq_relationship.weight", "head.bias": "cls.seq_relationship.bias",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("a folder of .txt files, a document each")
    output: str = required("the folder of the checkpoints")
    model: ModelPath = ModelPath(EMBEDDED + "bert-books")
    pairs: int = at_least(2, 20000)
    held_out_pairs: int = at_least(2, 4000)
    held_out: float = 0.02  # last part of each document, in characters
    words: int = at_least(2, 45)  # of a pair
    seeds: int = at_least(1, 5)  # a seed gives the start and the order of the pairs
    epochs: int = at_least(1, 30)
    rate: float = 0.001
    cache_dir: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Train, write the checkpoints and print the accuracies."""
    figures = run(options)
    for seed, found in figures["seeds"].items():
        for name, each in found["held_out_accuracy"].items():
            print_text(
                f"next sentence, seed {seed}, {name}: {each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}]"
            )
    folders = [str(Path(options.output) / f"{arm}-{seed}") for seed in range(options.seeds) for arm in ARMS]
    print_text(f"model=checkpoint model.path={','.join(folders)}")


def run(options: Options) -> dict[str, Any]:
    """Write the checkpoints of all seeds and ``nsp.json``, and return its content.

    Raises
    ------
    UserError
        A number is out of its range, the checkpoint is not a BERT, or the text is too short.
    """
    for name in ("held_out", "rate"):
        if not 0 < getattr(options, name) < 1:
            raise UserError(f"{name}={getattr(options, name):g}: a number between 0 and 1 is needed.")
    began = time.perf_counter()
    output = Path(options.output)
    config = Config(model=ModelConfig(path=options.model.path), runtime=RuntimeConfig(cache_dir=options.cache_dir))
    given = find_checkpoint(config.model)
    if given.config["model_type"] != "bert":
        raise UserError(
            f"'{given.label}' is a {given.config['model_type']} model; next-sentence prediction is BERT's. "
            "Name a BERT checkpoint."
        )
    splits = draw_splits(options)
    store = ArrayStore(cache_folder(config.runtime.cache_dir))
    extractor = FeatureExtractor(given, encoding_options(config), store, Clock(), cores())
    rows = {name: encode_cls(extractor, split) for name, split in splits.items()}
    encoded = time.perf_counter()
    deviation = float(given.config.get("initializer_range", 0.02))
    seeds = {}
    for seed in range(options.seeds):
        start = initial_state(extractor.info.width, seed, deviation)
        trained = train(start, rows["train"], seed=seed, epochs=options.epochs, rate=options.rate)
        states = dict(zip(ARMS, (start, trained), strict=True))
        for name, state in states.items():
            write(given, output / f"{name}-{seed}", state)
        seeds[str(seed)] = {
            "held_out_accuracy": accuracies(rows, states, seed),
            "spectrum": {name: spectrum(state) for name, state in states.items()},
        }
    ended = time.perf_counter()
    figures = {
        "model": given.label,
        "weights": given.weights,
        **{name: getattr(options, name) for name in ("held_out", "words", "epochs", "rate")},
        "rows": {name: len(split) for name, split in splits.items()},
        "word_pieces": {name: _mean_length(extractor, split) for name, split in splits.items()},
        "seeds": seeds,
        "seconds": {"encode": encoded - began, "train": ended - encoded},
    }
    write_json(output / "nsp.json", figures)
    return figures


def draw_splits(options: Options) -> dict[str, Split]:
    """Return pairs of the training part and of the held-out part of every document."""
    front, tail = split_held_out(read_texts(Path(options.text)), options.held_out)
    parts = (("train", front, options.pairs), ("held_out", tail, options.held_out_pairs))
    splits = {}
    for place, (name, documents, rows) in enumerate(parts):
        first, second, label = pairs(documents, rows, options.words, [0, place])
        splits[name] = Split(name, pa.array(first, pa.large_string()), pa.array(second, pa.large_string()), label)
    return splits


def encode_cls(extractor: FeatureExtractor, split: Split) -> Rows:
    """Return [CLS] of every pair, read as one text, with the labels."""
    [text] = encoder_inputs(split, "joint", "books")
    return Rows(np.array(extractor.features(text, ("cls", extractor.info.layers)).values), split.label)


def _mean_length(extractor: FeatureExtractor, split: Split) -> float:
    [text] = encoder_inputs(split, "joint", "books")
    return float(extractor.tokens(text).lengths.mean())


def initial_state(width: int, seed: int, deviation: float) -> State:
    """Return a pooler and a head as BERT initialises them.

    Weights are normal with this standard deviation, biases zero.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(width, width, generator=generator) * deviation,
        "bias": torch.zeros(width),
        "head.weight": torch.randn(2, width, generator=generator) * deviation,
        "head.bias": torch.zeros(2),
    }


def pool(state: State, cls: Tensor) -> Tensor:
    """Return ``tanh(W h + b)`` of [CLS] vectors, (rows, width)."""
    return torch.tanh(linear(cls, state["weight"], state["bias"]))


def logits(state: State, cls: Tensor) -> Tensor:
    """Return the next-sentence head's outputs, (rows, 2)."""
    return linear(pool(state, cls), state["head.weight"], state["head.bias"])


def train(start: State, rows: Rows, *, seed: int, epochs: int, rate: float) -> State:
    """Return the state after training on [CLS] vectors by AdamW with a linear warm-up and decay.

    It runs on one thread, so that a seed gives the same bits on any number of cores.
    """
    state = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    cls, label = torch.from_numpy(rows.x), torch.from_numpy(rows.y)
    groups = [
        {"params": [tensor for tensor in state.values() if tensor.ndim == 2], "weight_decay": WEIGHT_DECAY},
        {"params": [tensor for tensor in state.values() if tensor.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    steps = epochs * -(-len(label) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / (WARM_UP * steps), (1 - step / steps) / (1 - WARM_UP))
    )
    generator = torch.Generator().manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tqdm(total=steps, unit="step", desc="next sentence", dynamic_ncols=True, disable=None) as bar:
            for _ in range(epochs):
                for batch in torch.randperm(len(label), generator=generator).split(BATCH):
                    loss = cross_entropy(logits(state, cls[batch]), label[batch])
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                    bar.update()
    finally:
        torch.set_num_threads(threads)
    return {name: tensor.detach() for name, tensor in state.items()}


def accuracies(rows: Mapping[str, Rows], states: Mapping[str, State], seed: int) -> dict[str, dict[str, float]]:
    """Return held-out next-sentence accuracies with Wilson intervals.

    They are those of both heads, and of linear probes on [CLS] and on each pooler.
    """
    cls = {name: torch.from_numpy(each.x) for name, each in rows.items()}
    views = {"cls": cls}
    predictions = {}
    for name, state in states.items():
        predictions[f"head of {name}"] = logits(state, cls["held_out"]).argmax(1).numpy()
        views[f"{name} pooler"] = {split: pool(state, each) for split, each in cls.items()}
    config = probe_config("logistic")
    for name, view in views.items():
        x = {split: Rows(each.numpy(), rows[split].y) for split, each in view.items()}
        data = ProbeData(x["train"], {"test": x["held_out"]}, classes=2)
        outcome = get_protocol(config).fit(LogisticRegression(), ProbeSettings.from_config(config, seed=seed), data)
        predictions[f"probe on {name}"] = outcome.predictions["test"].values
    truth, found = rows["held_out"].y, {}
    for name, predicted in predictions.items():
        right = int((predicted == truth).sum())
        low, high = wilson(right, len(truth))
        found[name] = {"value": right / len(truth), "low": low, "high": high}
    return found


def spectrum(state: State) -> dict[str, Any]:
    """Return W's singular values, the largest first, and the law of a random matrix."""
    weight = state["weight"].double().numpy()
    return {"singular_values": np.linalg.svd(weight, compute_uv=False).tolist(), **marchenko_pastur(weight)}


def write(given: Checkpoint, folder: Path, state: State) -> None:
    """Write a float32 checkpoint: encoder and tokenizer of `given`, this pooler and head."""
    from transformers import BertForNextSentencePrediction

    model = BertForNextSentencePrediction.from_pretrained(
        given.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    weights = model.state_dict()
    for name, tensor in state.items():
        weights[PARAMETERS[name]].copy_(tensor)
    with writing(folder):
        model.save_pretrained(folder)
        for name in given.tokenizer:
            shutil.copyfile(given.folder / name, folder / name)


if __name__ == "__main__":
    main()

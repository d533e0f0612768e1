"""The controlled pooler: ``python -m experiments.studies.nsp_pooler text=FOLDER output=FOLDER [model.path=FOLDER] [pairs=20000] [seed=0]``.

On a frozen BERT it trains W and b of a fresh pooler, and a next-sentence head, by next-sentence prediction alone. Three things are left:
``output/random`` and ``output/nsp``, two checkpoints with the same encoder to the last bit whose poolers are the start and the end of that
training, and ``output/nsp.json`` with what the training reached. Whatever differs between them is what the objective put into the pooler.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from tqdm import tqdm

from experiments.studies.coherence_pairs import pairs
from experiments.cli import ModelPath, command, required
from experiments.files import write_json
from experiments.pretraining.corpus import read_texts, split_held_out
from src.cli.messages import print_text
from src.config.paths import CONF, cache_folder
from src.config.schema import Config, ModelConfig, ProbeConfig, RuntimeConfig
from src.data.dataset import Split
from src.errors import UserError
from src.evaluation.proportions import wilson
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models import finding
from src.models.checkpoint import Checkpoint
from src.models.pooler import marchenko_pastur
from src.pipeline.run import encoding_options
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression
from src.runtime.clock import Clock
from src.runtime.provenance import cores
from src.storage.arrays import ArrayStore

BATCH = 128
WEIGHT_DECAY = 0.01
WARM_UP = 0.1  # share of the steps in which the rate rises
State = dict[str, Tensor]
NAMES = {
    "weight": "bert.pooler.dense.weight", "bias": "bert.pooler.dense.bias",
    "head.weight": "cls.seq_relationship.weight", "head.bias": "cls.seq_relationship.bias",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("a folder of .txt files, a document each")
    output: str = required("the folder of the two checkpoints")
    model: ModelPath = ModelPath(finding.EMBEDDED + "bert-books")
    pairs: int = 20000
    held_out_pairs: int = 4000
    held_out: float = 0.02  # last part of each document, in characters
    words: int = 45  # of a pair
    seed: int = 0
    epochs: int = 30
    rate: float = 0.001
    cache_dir: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Train, write and print."""
    figures = make(asdict(options))
    for name, found in figures["held_out_accuracy"].items():
        print_text(f"next sentence, {name}: {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]")
    for name in ("random", "nsp"):
        print_text(f"model=checkpoint model.path={Path(options.output) / name}")


def make(options: Any) -> dict[str, Any]:
    """Draw the pairs, encode them once, train, and write both checkpoints; the figures as ``nsp.json`` holds them."""
    began = time.perf_counter()
    output = Path(options["output"])
    config = Config(
        model=ModelConfig(path=options["model"]["path"]), runtime=RuntimeConfig(cache_dir=options["cache_dir"])
    )
    given = finding.find_checkpoint(config.model)
    if given.config["model_type"] != "bert":
        raise UserError(
            f"'{given.label}' is a {given.config['model_type']} model; next-sentence prediction is BERT's. Name a BERT checkpoint."
        )
    splits = _splits(options)
    extractor = FeatureExtractor(
        given, encoding_options(config), ArrayStore(cache_folder(config.runtime.cache_dir)), Clock(), cores()
    )
    rows = {name: _rows(extractor, split) for name, split in splits.items()}
    encoded = time.perf_counter()
    start = fresh(extractor.info.width, options["seed"], float(given.config.get("initializer_range", 0.02)))
    trained = train(start, rows["train"], seed=options["seed"], epochs=options["epochs"], rate=options["rate"])
    ended = time.perf_counter()
    for name, state in (("random", start), ("nsp", trained)):
        write(given, output / name, state)
    figures = {
        "model": given.label,
        "weights": given.weights,
        **{name: options[name] for name in ("held_out", "words", "seed", "epochs", "rate")},
        "rows": {name: len(split) for name, split in splits.items()},
        "word_pieces": {
            name: extractor.tokens(encoder_inputs(split, "joint", "books")[0]).lengths.mean().item()
            for name, split in splits.items()
        },
        "held_out_accuracy": _accuracies(rows, start, trained, options["seed"]),
        "spectrum": {"random": spectrum(start), "nsp": spectrum(trained)},
        "seconds": {"encode": encoded - began, "train": ended - encoded},
    }
    write_json(output / "nsp.json", figures)
    return figures


def _splits(options: Mapping[str, Any]) -> dict[str, Split]:
    front, tail = split_held_out(read_texts(Path(options["text"])), options["held_out"])
    wanted = (("train", front, options["pairs"]), ("held_out", tail, options["held_out_pairs"]))
    splits = {}
    for place, (name, documents, rows) in enumerate(wanted):
        first, second, label = pairs(documents, rows, options["words"], [options["seed"], place])
        splits[name] = Split(name, pa.array(first, pa.large_string()), pa.array(second, pa.large_string()), label)
    return splits


def _rows(extractor: FeatureExtractor, split: Split) -> Rows:
    """[CLS] of every pair, read as one text."""
    return Rows(
        np.array(extractor.features(encoder_inputs(split, "joint", "books")[0], ("cls", extractor.info.layers)).values),
        split.label,
    )


def fresh(width: int, seed: int, deviation: float) -> State:
    """A pooler and a head as BERT's own start draws them: normal weights of this standard deviation, biases of zero."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(width, width, generator=generator) * deviation,
        "bias": torch.zeros(width),
        "head.weight": torch.randn(2, width, generator=generator) * deviation,
        "head.bias": torch.zeros(2),
    }


def pool(state: State, cls: Tensor) -> Tensor:
    """``tanh(W h + b)`` of [CLS] vectors (rows, width)."""
    return torch.tanh(linear(cls, state["weight"], state["bias"]))


def logits(state: State, cls: Tensor) -> Tensor:
    """The next-sentence head's two values, (rows, 2)."""
    return linear(pool(state, cls), state["head.weight"], state["head.bias"])


def train(start: State, rows: Rows, *, seed: int, epochs: int, rate: float) -> State:
    """The state after training on cached [CLS] vectors by AdamW, the rate rising and falling linearly.

    One thread, so that the same seed gives the same bits on any number of cores.
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


def _accuracies(rows: Mapping[str, Rows], start: State, trained: State, seed: int) -> dict[str, dict[str, float]]:
    """Held-out next-sentence accuracy of both heads, and of a linear probe on [CLS] and on each pooler, with Wilson intervals."""
    cls = {name: torch.from_numpy(each.x) for name, each in rows.items()}
    truth = rows["held_out"].y
    guesses = {
        f"head of {name}": logits(state, cls["held_out"]).argmax(1).numpy()
        for name, state in (("random", start), ("nsp", trained))
    }
    views = {"cls": cls} | {
        f"{name} pooler": {split: pool(state, each) for split, each in cls.items()}
        for name, state in (("random", start), ("nsp", trained))
    }
    config = ProbeConfig(**OmegaConf.to_container(OmegaConf.load(CONF / "probe" / "logistic.yaml")))  # type: ignore[arg-type]
    for name, view in views.items():
        x = {split: Rows(each.numpy(), rows[split].y) for split, each in view.items()}
        data = ProbeData(x["train"], {"test": x["held_out"]}, classes=2)
        outcome = get_protocol(config).fit(LogisticRegression(), ProbeSettings.from_config(config, seed=seed), data)
        guesses[f"probe on {name}"] = outcome.predictions["test"].values
    found = {}
    for name, guess in guesses.items():
        right = int((guess == truth).sum())
        low, high = wilson(right, len(truth))
        found[name] = {"value": right / len(truth), "low": low, "high": high}
    return found


def spectrum(state: State) -> dict[str, Any]:
    """W's singular values, the largest first, beside the law of a random matrix."""
    weight = state["weight"].double().numpy()
    return {"singular_values": np.linalg.svd(weight, compute_uv=False).tolist(), **marchenko_pastur(weight)}


def write(given: Checkpoint, folder: Path, state: State) -> None:
    """A checkpoint with the encoder and tokenizer of `given` and this pooler and head, float32 safetensors."""
    from transformers import BertForNextSentencePrediction

    model = BertForNextSentencePrediction.from_pretrained(
        given.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    weights = model.state_dict()
    for name, tensor in state.items():
        weights[NAMES[name]].copy_(tensor)
    try:
        model.save_pretrained(folder)
        for name in given.tokenizer:  # as they stand: the same word pieces
            shutil.copyfile(given.folder / name, folder / name)
    except OSError as error:
        raise UserError(
            f"output={folder} cannot be written: {error.strerror or error}. Name another folder."
        ) from error


if __name__ == "__main__":
    main()

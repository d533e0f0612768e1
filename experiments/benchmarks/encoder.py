"""Extraction against other libraries and against the machine's matrix-product rate.

All read the same rows with the same checkpoint, in one process on the same cores. A peer computes
one pooling; the suite computes and stores all poolings that the checkpoint supports. They take
turns over slices of the rows, so that a change of the machine's speed affects all. A ratio is the
median over the turns.
"""

from __future__ import annotations

import logging
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.benchmarks.peers import PEER, find_peers, require
from experiments.configurations import dataset_config
from src.config.schema import ModelConfig
from src.data.loading import load_dataset
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput
from src.features.loading import library_versions
from src.models import finding, tokenizer_files
from src.models.options import EncodingOptions
from src.runtime.clock import Clock
from src.runtime.devices import device_kind
from src.runtime.provenance import collect, cores
from src.storage.arrays import ArrayStore

TURNS = 3
SAMPLE = 512  # texts on which a peer's best batch size is found
SIDE = 2048  # rows and columns of the matrices whose product sets the machine's rate


@dataclass(frozen=True)
class Figures:
    """Holds one comparison; the fields are those of the record.

    Attributes
    ----------
    tokens : int
        Without padding.
    ours : list of float
        Seconds of the suite, by turn.
    peers : dict of str to list of float
        The same of each peer; the first is the one whose seconds are `theirs`.
    unmeasured : dict of str to str
        Why a peer was not measured.
    rate : float
        Floating-point operations a second of a matrix product, measured between the turns.
    operations : float
        Per token: 24 L H^2.
    difference : float
        Largest one between the unit-length mean vectors of the suite and a peer.
    """

    name: str
    rows: int
    poolings: int
    tokens: int
    ours: list[float]
    peers: dict[str, list[float]]
    unmeasured: dict[str, str]
    rate: float
    operations: float
    difference: float

    def ratio(self, peer: str) -> float:
        """Return the median over the turns of the suite's seconds by those of a peer."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.ours, self.peers[peer], strict=True))

    def share(self, seconds: float) -> float:
        """Return the share of the machine's matrix-product rate that these seconds reach."""
        return self.tokens * self.operations / seconds / self.rate

    def record(self) -> dict[str, Any]:
        """Return the figures by name: seconds are sums over the turns."""
        first = next(iter(self.peers))
        ours, theirs = sum(self.ours), sum(self.peers[first])
        return {
            **asdict(self), "ours": ours, "theirs": theirs, "turns": {"ours": self.ours, **self.peers},
            "peers": {name: {"seconds": sum(each), "ratio": self.ratio(name)} for name, each in self.peers.items()},
            "ratio": self.ratio(first), "share": self.share(ours), "share_peer": self.share(theirs), "peer": PEER,
        }  # fmt: skip

    def lines(self) -> str:
        """Return the figures as they are printed."""
        lines = [
            f"{self.name}: {self.rows:,} rows, {self.tokens:,} real tokens, {len(self.ours)} turns, "
            f"{cores()} cores of {collect()['cpu']}",
            f"  the suite, {self.poolings} poolings stored: {sum(self.ours):.1f} s, "
            f"share of the matrix-product rate {self.share(sum(self.ours)):.2f}",
        ]
        for name, seconds in self.peers.items():
            ratios = sorted(mine / theirs for mine, theirs in zip(self.ours, seconds, strict=True))
            lines.append(
                f"  {name}, one pooling: {sum(seconds):.1f} s, share {self.share(sum(seconds)):.2f}, "
                f"ratio {self.ratio(name):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
            )
        lines += [f"  {name}: {reason}" for name, reason in self.unmeasured.items()]
        lines.append(
            f"  matrix product {self.rate / 1e9:.0f} GFLOP/s, largest difference of unit vectors {self.difference:.1e}"
        )
        return "\n".join(lines)


def product_rate(seconds: float = 1.0) -> float:
    """Return the median rate of float32 matrix products on all cores, in operations a second."""
    import torch

    torch.set_num_threads(cores())
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    rates: list[float] = []
    a @ b
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 5:
        began = time.perf_counter()
        a @ b
        rates.append(2 * SIDE**3 / (time.perf_counter() - began))
    return statistics.median(rates)


def compare(name: str, folder: Path, sentences: list[str], turns: int = TURNS) -> Figures:
    """Time all systems on the same rows, in turns."""
    import torch

    peers, unmeasured = find_peers(folder, sentences[:SAMPLE])
    options = EncodingOptions(device_kind("auto"))
    found = finding.find_checkpoint(ModelConfig(path=str(folder)))
    ours, theirs = list[float](), {peer.name: list[float]() for peer in peers}
    tokens = poolings = 0
    difference, rates = 0.0, [product_rate()]
    for part in range(turns):
        texts = sentences[part::turns]
        with tempfile.TemporaryDirectory() as place:
            extractor = FeatureExtractor(found, options, ArrayStore(Path(place)), Clock(), cores(), False)
            target = extractor.resolve_target("mean", -1)  # loads the model before the clock starts
            text = EncoderInput(pa.array(texts, pa.large_string()), None, f"{name} {part} of {turns}", name)
            began = time.perf_counter()
            features = extractor.features(text, target)
            mean = features.values
            ours.append(time.perf_counter() - began)
            tokens += features.tokens
            poolings = len(extractor.supported_targets([target[1]]))  # stored, or computed from what is
        torch.set_num_threads(cores())
        for peer in peers:
            began = time.perf_counter()
            vectors = peer.encode(texts)
            theirs[peer.name].append(time.perf_counter() - began)
            difference = max(difference, float(np.abs(_unit(mean) - _unit(vectors)).max()))
        rates.append(product_rate())
    model = extractor.encoder.model.config
    operations = 24 * model.num_hidden_layers * model.hidden_size**2
    rate = statistics.median(rates)
    return Figures(name, len(sentences), poolings, tokens, ours, theirs, unmeasured, rate, operations, difference)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_random_bert(folder: Path, tokenizer: Path) -> None:
    """Write a random BERT-base with the tokenizer of another checkpoint."""
    from transformers import BertConfig, BertModel

    BertModel(BertConfig()).save_pretrained(folder)
    for name in tokenizer_files.TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder / name)


def run(data_root: str, model: str, rows: int | None, base_rows: int) -> list[Figures]:
    """Compare and print, on SST-2's train and validation rows.

    Parameters
    ----------
    model : str
        Folder of the checkpoint.
    rows : int or None
        First rows for this checkpoint; None: all, 0: leave it out.
    base_rows : int
        Last rows for BERT-base's shape with random weights; 0: leave it out.
    """
    from transformers.utils import logging as library

    library.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    read = load_dataset(dataset_config("sst2"), data_root)
    sentences = [text for split in read.splits.values() for text in split.text.to_pylist()]
    versions = {**library_versions(), PEER: require(PEER)}
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    figures = []
    if rows != 0:
        figures.append(compare(f"SST-2 through {Path(model).name}", Path(model), sentences[:rows]))
        print(figures[-1].lines(), flush=True)
    if base_rows:
        with tempfile.TemporaryDirectory() as place:
            write_random_bert(Path(place), Path(model))
            figures.append(compare("SST-2 through BERT-base's shape", Path(place), sentences[-base_rows:]))
        print(figures[-1].lines(), flush=True)
    return figures

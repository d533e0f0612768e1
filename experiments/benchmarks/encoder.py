"""Extraction against other libraries and against the machine's rate of matrix products.

All read the same rows with the same checkpoint, in one process on the same cores. A peer computes
one pooling; the suite takes all poolings that the checkpoint supports from one pass. They take
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
from experiments.benchmarks.yardstick import Layer, fastest, product_rates
from experiments.configurations import dataset_config
from src.config.schema import ModelConfig
from src.data.loading import load_dataset
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput
from src.features.loading import library_versions, load_encoder
from src.models import finding, tokenizer_files
from src.models.options import EncodingOptions
from src.runtime.clock import Clock
from src.runtime.provenance import collect, cores
from src.storage.arrays import ArrayStore

TURNS = 3
SAMPLE = 512  # texts on which a peer's best batch size is found


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
    mixed : list of float or None
        Seconds of the suite with ``runtime.dtype=mixed``, by turn; None on a CPU without AMX.
    rates : dict of str to float
        Floating-point operations a second of each product of the yardstick, medians of those
        measured between the turns.
    product : str
        The fastest of them.
    rate : float
        Its rate.
    operations : float
        Per token, of the products of all layers.
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
    mixed: list[float] | None
    rates: dict[str, float]
    product: str
    rate: float
    operations: float
    difference: float

    def ratio(self, peer: str, ours: list[float] | None = None) -> float:
        """Return the median over the turns of the suite's seconds by those of a peer."""
        return statistics.median(
            mine / theirs for mine, theirs in zip(ours or self.ours, self.peers[peer], strict=True)
        )

    @property
    def quickest_peer(self) -> str:
        """The peer that takes the least time in all."""
        return min(self.peers, key=lambda name: sum(self.peers[name]))

    def share(self, seconds: float) -> float:
        """Return the rate of the layers' products in these seconds by that of the fastest product."""
        return self.tokens * self.operations / seconds / self.rate

    def record(self) -> dict[str, Any]:
        """Return the figures by name: seconds are sums over the turns."""
        first = next(iter(self.peers))
        ours, theirs = sum(self.ours), sum(self.peers[first])
        turns = {"ours": self.ours, **({"mixed": self.mixed} if self.mixed else {}), **self.peers}
        return {
            **asdict(self), "ours": ours, "theirs": theirs, "turns": turns,
            "mixed": sum(self.mixed) if self.mixed else None,
            "peers": {name: {"seconds": sum(each), "ratio": self.ratio(name)} for name, each in self.peers.items()},
            "ratio": self.ratio(first), "share": self.share(ours), "share_peer": self.share(theirs), "peer": PEER,
        }  # fmt: skip

    def lines(self) -> str:
        """Return the figures as they are printed."""
        lines = [
            f"{self.name}: {self.rows:,} rows, {self.tokens:,} real tokens, {len(self.ours)} turns, "
            f"{cores()} cores of {collect()['cpu']}",
            f"  the suite, {self.poolings} poolings: {sum(self.ours):.1f} s, "
            f"share of the fastest product's rate {self.share(sum(self.ours)):.2f}",
        ]
        if self.mixed:
            first = next(iter(self.peers))
            lines.append(f"  the suite in mixed: {sum(self.mixed):.1f} s, ratio {self.ratio(first, self.mixed):.2f}")
        for name, seconds in self.peers.items():
            ratios = sorted(mine / theirs for mine, theirs in zip(self.ours, seconds, strict=True))
            lines.append(
                f"  {name}, one pooling: {sum(seconds):.1f} s, share {self.share(sum(seconds)):.2f}, "
                f"ratio {self.ratio(name):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
            )
        lines += [f"  {name}: {reason}" for name, reason in self.unmeasured.items()]
        rates = ", ".join(f"{name}: {rate / 1e9:.0f}" for name, rate in self.rates.items())
        lines += [
            f"  products in GFLOP/s: {rates}; the fastest is the yardstick",
            f"  largest difference of unit vectors {self.difference:.1e}",
        ]
        return "\n".join(lines)


def compare(name: str, folder: Path, sentences: list[str], turns: int = TURNS) -> Figures:
    """Time all systems on the same rows, in turns."""
    import torch

    peers, unmeasured = find_peers(folder, sentences[:SAMPLE])
    suites = {dtype: _Suite(folder, dtype) for dtype in ("float32", "mixed") if dtype == "float32" or has_amx()}
    ours, theirs = {dtype: list[float]() for dtype in suites}, {peer.name: list[float]() for peer in peers}
    main, difference = suites["float32"], 0.0
    layer, rates = Layer.of(main.model), list[dict[str, float]]()
    for part in range(turns):
        texts = sentences[part::turns]
        rates.append(product_rates(layer, "cpu"))
        column = EncoderInput(pa.array(texts, pa.large_string()), None, f"{name} {part} of {turns}", name)
        for dtype, suite in suites.items():
            ours[dtype].append(suite.encode(column))
        torch.set_num_threads(cores())
        for peer in peers:
            began = time.perf_counter()
            vectors = peer.encode(texts)
            theirs[peer.name].append(time.perf_counter() - began)
            difference = max(difference, float(np.abs(_unit(main.vectors) - _unit(vectors)).max()))
    rates.append(product_rates(layer, "cpu"))
    product, rate = fastest(rates)
    return Figures(
        name, len(sentences), main.poolings, main.tokens, ours["float32"], theirs, unmeasured, ours.get("mixed"),
        {each: statistics.median(found[each] for found in rates) for each in rates[0]}, product, rate,
        main.model.config.num_hidden_layers * layer.operations, difference,
    )  # fmt: skip


class _Suite:
    """The suite on the CPU: each column is encoded into a store of its own, with all poolings.

    Attributes
    ----------
    model : transformers.PreTrainedModel
    vectors : float32 array (rows, width)
        Mean vectors of the last column.
    tokens, poolings : int
        Tokens of all columns, and poolings that are stored or follow from what is.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self._checkpoint = finding.find_checkpoint(ModelConfig(path=str(folder)))
        self._options = EncodingOptions("cpu", dtype)
        self.model = load_encoder(self._checkpoint, self._options).model
        self.tokens = self.poolings = 0

    def encode(self, column: EncoderInput) -> float:
        """Encode a column and return the seconds, without those of loading the model."""
        with tempfile.TemporaryDirectory() as place:
            extractor = FeatureExtractor(
                self._checkpoint, self._options, ArrayStore(Path(place)), Clock(), cores(), False
            )
            target = extractor.resolve_target("mean", -1)  # loads the model, if another one was used since
            began = time.perf_counter()
            features = extractor.features(column, target)
            self.vectors = np.array(features.values)
            seconds = time.perf_counter() - began
            self.tokens += features.tokens
            self.poolings = len(extractor.supported_targets([target[1]]))
        return seconds


def has_amx() -> bool:
    """Return whether this CPU has AMX's units for products in bfloat16."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


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

"""Extraction against sentence-transformers and against the machine's matrix-product rate.

Both read the same rows with the same checkpoint, in one process on the same cores.
sentence-transformers computes one pooling with its default batch size; the suite computes and
stores all poolings that the checkpoint supports. They take turns over slices of the rows, so that a
change of the machine's speed affects both.
"""

from __future__ import annotations

import logging
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.configurations import dataset_config
from src.config.schema import ModelConfig
from src.data.loading import load_dataset
from src.errors import UserError
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput
from src.features.loading import library_versions
from src.models import finding, tokenizer_files
from src.models.options import EncodingOptions
from src.runtime.clock import Clock
from src.runtime.devices import device_kind
from src.runtime.provenance import cores
from src.storage.arrays import ArrayStore

SLICES = 4
SIDE = 2048  # rows and columns of the matrices whose product sets the machine's rate
BATCH = 32  # sentence-transformers' default
PEER = "sentence-transformers"


@dataclass(frozen=True)
class Figures:
    """Holds one comparison; the fields are those of the record.

    Attributes
    ----------
    ours, theirs : float
        Seconds of the suite and of the peer.
    tokens : int
        Without padding.
    rate : float
        Floating-point operations a second of a matrix product, measured between the turns.
    operations : float
        Per token: 24 L H^2.
    difference : float
        Largest one between the unit-length mean vectors of both.
    """

    name: str
    rows: int
    poolings: int
    tokens: int
    ours: float
    theirs: float
    rate: float
    operations: float
    difference: float

    @property
    def ratio(self) -> float:
        """Seconds of the suite by those of the peer."""
        return self.ours / self.theirs

    def share(self, seconds: float) -> float:
        """Return the share of the machine's matrix-product rate that these seconds reach."""
        return self.tokens * self.operations / seconds / self.rate

    def record(self) -> dict[str, Any]:
        """Return the figures by name, with the ratio and the shares."""
        shares = {"share": self.share(self.ours), "share_peer": self.share(self.theirs)}
        return {**asdict(self), "ratio": self.ratio, **shares, "peer": PEER}

    def lines(self) -> str:
        """Return the figures as they are printed."""
        ours, theirs = self.share(self.ours), self.share(self.theirs)
        return (
            f"{self.name}: {self.rows:,} rows, {self.tokens:,} real tokens, {cores()} cores\n"
            f"  the suite, {self.poolings} poolings stored   {self.ours:8.1f} s   "
            f"share of the matrix-product rate {ours:.2f}\n"
            f"  sentence-transformers, one pooling  {self.theirs:8.1f} s   "
            f"share of the matrix-product rate {theirs:.2f}\n"
            f"  ratio {self.ratio:.2f}   matrix product {self.rate / 1e9:.0f} GFLOP/s   "
            f"largest difference of unit vectors {self.difference:.1e}"
        )


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


def compare(name: str, folder: Path, sentences: list[str], slices: int = SLICES) -> Figures:
    """Time both systems on the same rows, in turns."""
    import torch
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(folder), device="cpu")
    options = EncodingOptions(device_kind("auto"))
    found = finding.find_checkpoint(ModelConfig(path=str(folder)))
    ours = theirs = difference = 0.0
    tokens = poolings = 0
    rates = [product_rate()]
    peer.encode(sentences[:64], batch_size=BATCH, show_progress_bar=False)
    for part in range(slices):
        texts = sentences[part::slices]
        with tempfile.TemporaryDirectory() as place:
            extractor = FeatureExtractor(found, options, ArrayStore(Path(place)), Clock(), cores(), False)
            target = extractor.resolve_target("mean", -1)  # loads the model before the clock starts
            text = EncoderInput(pa.array(texts, pa.large_string()), None, f"{name} {part} of {slices}", name)
            began = time.perf_counter()
            features = extractor.features(text, target)
            mean = features.values
            ours += time.perf_counter() - began
            tokens += features.tokens
            poolings = len(extractor.supported_targets([target[1]]))  # stored, or computed from what is
        torch.set_num_threads(cores())
        began = time.perf_counter()
        vectors: Any = peer.encode(texts, batch_size=BATCH, show_progress_bar=False)
        theirs += time.perf_counter() - began
        rates.append(product_rate())
        difference = max(difference, float(np.abs(_unit(mean) - _unit(vectors)).max()))
    model = extractor.encoder.model.config
    operations = 24 * model.num_hidden_layers * model.hidden_size**2
    rate = statistics.median(rates)
    return Figures(name, len(sentences), poolings, tokens, ours, theirs, rate, operations, difference)


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
    versions = {**library_versions(), PEER: _version(PEER)}
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    figures = []
    if rows != 0:
        figures.append(compare(f"SST-2 through {Path(model).name}", Path(model), sentences[:rows]))
        print(figures[-1].lines(), flush=True)
    if base_rows:
        with tempfile.TemporaryDirectory() as place:
            write_random_bert(Path(place), Path(model))
            figures.append(compare("SST-2 through BERT-base's shape", Path(place), sentences[-base_rows:], slices=2))
        print(figures[-1].lines(), flush=True)
    return figures


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise UserError(f"the benchmark times itself against {package}: pip install -e '.[benchmark]'.") from None

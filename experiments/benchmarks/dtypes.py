"""Compare the dtypes of `runtime.dtype`: time, difference of the features, predictions that change.

The dtypes, and sentence-transformers in float32, take turns over slices of the rows. The same code
runs on a GPU, where each dtype's time is set against the rate of a large product in that dtype.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.benchmarks.encoder import SIDE, write_random_bert
from experiments.benchmarks.peers import BATCH, PEER
from experiments.configurations import dataset_config
from src.config.schema import DTYPES, ModelConfig
from src.data.dataset import Split
from src.data.loading import load_dataset
from src.errors import UserError
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.features.loading import load_encoder
from src.models.finding import find_checkpoint
from src.models.forward import PRODUCTS
from src.models.options import DTYPE_DEVICES, TOKEN_BUDGETS, EncodingOptions
from src.probes.solvers.estimators import LogisticRegression
from src.runtime.clock import Clock
from src.runtime.devices import device_kind, synchronise
from src.runtime.provenance import cores
from src.storage.arrays import ArrayStore

TASKS = ("sst2", "mrpc")
POOLINGS = ("cls", "mean")
SLICES = 4
ROUNDS = 7  # of a large product, whose median is taken
PENALTY = 1e-3  # of the probe, for each row
REFERENCE = "float32"


@dataclass(frozen=True)
class Figures:
    """Holds the comparison of a dtype, or of the peer, with float32 on one task.

    Attributes
    ----------
    seconds, processor : float
        Wall and processor time of the training rows.
    share : float or None
        Operations of the layers' products a second, by the rate of a large product in the dtype.
    difference : float or None
        Largest one of a test row's features, relative to the largest feature.
    flips : dict of str to int
        By pooling, test rows whose prediction differs from that under float32.
    accuracy : dict of str to float
        By pooling, of the probe on the test rows.
    """

    name: str
    rows: int
    test_rows: int
    seconds: float
    processor: float
    share: float | None
    difference: float | None
    flips: dict[str, int]
    accuracy: dict[str, float]

    def line(self, reference: Figures) -> str:
        """Return the figures as they are printed, with the times as ratios to the reference's."""
        ratios = f"time {self.seconds / reference.seconds:.2f}, processor {self.processor / reference.processor:.2f}"
        share = "" if self.share is None else f", share {self.share:.2f}"
        rest = "" if self.difference is None else f", difference {self.difference:.1e}"
        flips = "".join(
            f", {name}: {count} of {self.test_rows} flip, accuracy {self.accuracy[name]:.4f}"
            for name, count in self.flips.items()
        )
        return f"  {self.name:22} {self.seconds:8.1f} s   {ratios}{share}{rest}{flips}"


def offered(names: Sequence[str], device: str) -> list[str]:
    """Return the dtypes among `names` that a device offers, after float32, the reference.

    Raises
    ------
    UserError
        A name is no dtype.
    """
    if wrong := [name for name in names if name not in DTYPES]:
        raise UserError(f"dtypes={','.join(wrong)}: no such dtype. Choose among {', '.join(DTYPES)}.")
    others = [name for name in names if name != REFERENCE and device in DTYPE_DEVICES.get(name, (device,))]
    return [REFERENCE, *others]


def run(data_root: str, model: str, dtypes: Sequence[str], rows: int | None, base_rows: int) -> list[dict[str, Any]]:
    """Compare and print, on random training rows and the validation rows of each task.

    Parameters
    ----------
    model : str
        Folder of the checkpoint.
    dtypes : sequence of str
        Those that the device lacks are left out; float32 is always compared.
    rows : int or None
        Most training rows of a task; None: all, 0: leave the tasks out.
    base_rows : int
        Rows of SST-2 for BERT-base's shape with random weights; 0: leave it out.
    """
    device = device_kind("auto")
    names = offered(dtypes, device)
    figures = []
    for task in TASKS if rows != 0 else ():
        train, test = _splits(task, data_root, rows)
        figures += _compare(f"{task} through {Path(model).name}", Path(model), train, test, names, device)
    if base_rows:
        train, test = _splits("sst2", data_root, base_rows)
        with tempfile.TemporaryDirectory() as place:
            write_random_bert(Path(place), Path(model))
            figures += _compare("sst2 through BERT-base's shape", Path(place), train, test, names, device)
    return figures


def _splits(task: str, data_root: str, rows: int | None) -> tuple[Split, Split]:
    data = load_dataset(dataset_config(task), data_root)
    order = np.random.default_rng(0).permutation(len(data.train))
    return _take(data.train, np.sort(order[:rows])), data.test


def _take(split: Split, chosen: np.ndarray) -> Split:
    rows = pa.array(chosen)
    pair = None if split.text_pair is None else split.text_pair.take(rows)
    return Split(split.name, split.text.take(rows), pair, split.label[chosen])


class _Suite:
    """Features of both poolings in one dtype; all poolings of the checkpoint are stored."""

    def __init__(self, folder: Path, dtype: str, device: str) -> None:
        self.checkpoint = find_checkpoint(ModelConfig(path=str(folder)))
        self.options = EncodingOptions(device, dtype, token_budget=TOKEN_BUDGETS[device])
        self.encoder = load_encoder(self.checkpoint, self.options)
        self.tokens = 0

    def __call__(self, split: Split) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as place:
            # It takes the encoder that was loaded last.
            extractor = FeatureExtractor(
                self.checkpoint, self.options, ArrayStore(Path(place)), Clock(), cores(), False
            )
            (column,) = encoder_inputs(split, "joint", split.name)
            found = {}
            for pooling in POOLINGS:
                features = extractor.features(column, extractor.resolve_target(pooling, -1))
                found[pooling] = np.array(features.values)
            self.tokens += features.tokens
        return found


class _Peer:
    """One pooling by sentence-transformers, in float32 with its default batch size."""

    def __init__(self, folder: Path, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), device=device)

    def __call__(self, split: Split) -> dict[str, np.ndarray]:
        vectors: Any = self.model.encode(split.text.to_pylist(), batch_size=BATCH, show_progress_bar=False)
        return {"mean": vectors}


def _compare(
    name: str, folder: Path, train: Split, test: Split, names: Sequence[str], device: str
) -> list[dict[str, Any]]:
    """Return the figures of each dtype, and of the peer on single texts."""
    suites = {dtype: _Suite(folder, dtype, device) for dtype in names}
    systems: dict[str, Callable[[Split], dict[str, np.ndarray]]] = {**suites}
    if train.text_pair is None:
        systems[PEER] = _Peer(folder, device)
    seconds, processor = dict.fromkeys(systems, 0.0), dict.fromkeys(systems, 0.0)
    tested = {each: system(test) for each, system in systems.items()}  # the first call is not timed
    for suite in suites.values():
        suite.tokens = 0
    trained: dict[str, list[dict[str, np.ndarray]]] = {each: [] for each in systems}
    slices = [np.arange(part, len(train), SLICES) for part in range(SLICES)]
    for rows in slices:
        part = _take(train, rows)
        for each, system in systems.items():
            wall, busy = time.perf_counter(), time.process_time()
            trained[each].append(system(part))
            seconds[each] += time.perf_counter() - wall
            processor[each] += time.process_time() - busy
    labels = train.label[np.concatenate(slices)]
    predictions = {
        dtype: {
            pooling: _predict(
                np.concatenate([part[pooling] for part in trained[dtype]]), labels, tested[dtype][pooling]
            )
            for pooling in POOLINGS
        }
        for dtype in suites
    }
    figures = []
    for each in systems:
        ours, predicted = each in suites, predictions.get(each, {})
        figures.append(
            Figures(
                each, len(train), len(test), seconds[each], processor[each],
                _share(suites[each], seconds[each]) if ours else None,
                max(_difference(tested[each][key], tested[REFERENCE][key]) for key in POOLINGS) if ours else None,
                {key: int((value != predictions[REFERENCE][key]).sum()) for key, value in predicted.items()},
                {key: float((value == test.label).mean()) for key, value in predicted.items()},
            )
        )  # fmt: skip
    print(f"{name}, {device}: {len(train):,} training rows, {cores()} cores")
    for each_figures in figures:
        print(each_figures.line(figures[0]), flush=True)
    return [{"task": name, "device": device, **asdict(each)} for each in figures]


def _difference(values: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(values - reference).max() / np.abs(reference).max())


def _predict(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the predictions of a probe on standardised features."""
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1
    probe = LogisticRegression(PENALTY).fit((train - mean) / scale, labels)
    return probe.predict((test - mean) / scale)


def _share(suite: _Suite, seconds: float) -> float:
    """Return the rate of the layers' products by that of a large product in the same dtype."""
    config = suite.encoder.model.config
    operations = suite.tokens * 24 * config.num_hidden_layers * config.hidden_size**2
    return float(operations / seconds / _product_rate(suite.options.device, suite.options.dtype))


def _product_rate(device: str, name: str) -> float:
    """Return the median rate of large products, in operations a second."""
    import torch

    dtype = getattr(torch, PRODUCTS.get(name, name))
    torch.set_num_threads(cores())
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    side = SIDE if device == "cpu" else 4 * SIDE
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    rates = []
    for _ in range(ROUNDS):
        synchronise(device)
        began = time.perf_counter()
        torch.matmul(a, b)
        synchronise(device)
        rates.append(2 * side**3 / (time.perf_counter() - began))
    return statistics.median(rates)

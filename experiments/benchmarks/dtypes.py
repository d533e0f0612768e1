"""Compare the dtypes of `runtime.dtype`: time, difference of the features, predictions that change.

The dtypes, and sentence-transformers in float32 with its default and its best batch size, take
turns over slices of the rows. The same code runs on a GPU. Each dtype's time, and that of its
forward passes alone, is set against the rate of the fastest product in that dtype. No model is
loaded while the clock runs.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.benchmarks.encoder import SAMPLE, write_random_bert
from experiments.benchmarks.peers import Encode, sentence_transformers
from experiments.benchmarks.yardstick import Layer, fastest, product_rates
from experiments.configurations import dataset_config
from src.config.schema import DTYPES, ModelConfig
from src.data.dataset import Split
from src.data.loading import load_dataset
from src.errors import UserError
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models.finding import find_checkpoint
from src.models.options import DTYPE_DEVICES, TOKEN_BUDGETS, EncodingOptions
from src.probes.solvers.estimators import LogisticRegression
from src.runtime.clock import Clock
from src.runtime.devices import device_kind
from src.runtime.provenance import collect, cores
from src.storage.arrays import ArrayStore

TASKS = ("sst2", "mrpc")
POOLINGS = ("cls", "mean")
SLICES = 4
PENALTY = 1e-3  # of the probe, for each row
REFERENCE = "float32"
SAMPLES = {"cpu": SAMPLE, "mps": SAMPLE, "cuda": 16 * SAMPLE}  # texts on which a peer's best batch size is found
SHOWN = ("tokenise", "encode", "pool", "store")  # phases of a run


@dataclass(frozen=True)
class Figures:
    """Holds the comparison of a dtype, or of the peer, with float32 on one task.

    Attributes
    ----------
    seconds, processor : float
        Wall and processor time of the training rows.
    phases : dict of str to float
        Wall seconds by phase of the run; empty for a peer.
    share, share_encode : float or None
        Operations of the layers' products a second, of the whole and of the phases encode and pool,
        by the rate of the fastest product in the dtype.
    product : str or None
        The fastest product.
    rates : dict of str to float
        Operations a second of each product of the yardstick.
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
    phases: dict[str, float] = field(default_factory=dict)
    share: float | None = None
    share_encode: float | None = None
    product: str | None = None
    rates: dict[str, float] = field(default_factory=dict)
    difference: float | None = None
    flips: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)

    def line(self, reference: Figures) -> str:
        """Return the figures as they are printed, with the times as ratios to the reference's."""
        ratios = f"time {self.seconds / reference.seconds:.2f}, processor {self.processor / reference.processor:.2f}"
        share = "" if self.share is None else f", share {self.share:.2f}"
        share += "" if self.share_encode is None else f", of encoding alone {self.share_encode:.2f}"
        rest = "" if self.difference is None else f", difference {self.difference:.1e}"
        flips = "".join(
            f", {name}: {count} of {self.test_rows} flip, accuracy {self.accuracy[name]:.4f}"
            for name, count in self.flips.items()
        )
        spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.phases.items() if name in SHOWN)
        return f"  {self.name:22} {self.seconds:8.1f} s   {ratios}{share}{rest}{flips}" + (
            f" ({spent})" if spent else ""
        )


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


def run(
    data_root: str, model: str, dtypes: Sequence[str], *, rows: int | None, base_rows: int, peers: bool = True
) -> list[dict[str, Any]]:
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
    peers : bool
        Whether sentence-transformers is timed beside the dtypes.
    """
    device = device_kind("auto")
    names = offered(dtypes, device)
    figures = []
    for task in TASKS if rows != 0 else ():
        train, test = _splits(task, data_root, rows)
        figures += _compare(f"{task} through {Path(model).name}", Path(model), train, test, names, device, peers)
    if base_rows:
        train, test = _splits("sst2", data_root, base_rows)
        with tempfile.TemporaryDirectory() as place:
            write_random_bert(Path(place), Path(model))
            figures += _compare("sst2 through BERT-base's shape", Path(place), train, test, names, device, peers)
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
    """Features of both poolings in one dtype; all poolings of the checkpoint are stored.

    The store is emptied after each call, so that only one slice of the rows takes room.
    """

    def __init__(self, folder: Path, dtype: str, device: str, place: Path) -> None:
        self._clock = Clock()
        self._place = place / dtype
        options = EncodingOptions(device, dtype, token_budget=TOKEN_BUDGETS[device])
        # One extractor for all slices: it keeps the model, which `load_encoder` does for the last dtype alone.
        self.extractor = FeatureExtractor(
            find_checkpoint(ModelConfig(path=str(folder))), options, ArrayStore(self._place), self._clock, cores(),
            False,
        )  # fmt: skip
        self.model = self.extractor.encoder.model
        self.reset()

    def reset(self) -> None:
        """Forget tokens and seconds so far."""
        self.tokens, self._before = 0, self._clock.seconds()

    @property
    def phases(self) -> dict[str, float]:
        """Wall seconds by phase since the last reset."""
        return {name: seconds - self._before.get(name, 0.0) for name, seconds in self._clock.seconds().items()}

    def __call__(self, split: Split) -> dict[str, np.ndarray]:
        extractor = self.extractor
        (column,) = encoder_inputs(split, "joint", split.name)
        found = {}
        for pooling in POOLINGS:
            features = extractor.features(column, extractor.resolve_target(pooling, -1))
            found[pooling] = np.array(features.values)
        self.tokens += features.tokens
        return found

    def empty_store(self) -> None:
        """Remove the stored features of the last call."""
        for kind in ("features", "passes", "tokens"):
            shutil.rmtree(self._place / kind, ignore_errors=True)


class _Peer:
    """One pooling by another library, in float32."""

    def __init__(self, encode: Encode) -> None:
        self.encode = encode

    def __call__(self, split: Split) -> dict[str, np.ndarray]:
        import torch

        torch.set_num_threads(cores())
        torch.backends.cuda.matmul.allow_tf32 = False  # the suite's last dtype may have been tf32
        return {"mean": self.encode(split.text.to_pylist())}


def _compare(
    name: str, folder: Path, train: Split, test: Split, names: Sequence[str], device: str, with_peers: bool
) -> list[dict[str, Any]]:
    """Return the figures of each dtype, and of the peers on single texts if they are asked for."""
    with tempfile.TemporaryDirectory() as place:
        suites = {dtype: _Suite(folder, dtype, device, Path(place)) for dtype in names}
        peers = []
        if with_peers and train.text_pair is None:
            peers = sentence_transformers(folder, train.text.slice(0, SAMPLES[device]).to_pylist(), device)
        systems: dict[str, Callable[[Split], dict[str, np.ndarray]]] = {
            **suites, **{peer.name: _Peer(peer.encode) for peer in peers}
        }  # fmt: skip
        timed = _take_turns(systems, train, test)
    labels = train.label[np.concatenate(_slices(train))]
    predictions = {
        dtype: {
            pooling: _predict(np.concatenate([part[pooling] for part in each.trained]), labels, each.tested[pooling])
            for pooling in POOLINGS
        }
        for dtype, each in timed.items()
        if dtype in suites
    }
    figures = []
    for each, found in timed.items():
        ours, predicted = suites.get(each), predictions.get(each, {})
        tested, reference = found.tested, timed[REFERENCE].tested
        figures.append(
            Figures(
                each, len(train), len(test), found.seconds, found.processor,
                **({} if ours is None else _shares(ours, found.seconds)),
                difference=None if ours is None else max(_difference(tested[key], reference[key]) for key in POOLINGS),
                flips={key: int((value != predictions[REFERENCE][key]).sum()) for key, value in predicted.items()},
                accuracy={key: float((value == test.label).mean()) for key, value in predicted.items()},
            )
        )  # fmt: skip
    print(f"{name}, {device}: {len(train):,} training rows, {cores()} cores of {collect()['cpu']}")
    for each_figures in figures:
        print(each_figures.line(figures[0]), flush=True)
    return [{"task": name, "device": device, **asdict(each)} for each in figures]


@dataclass
class _Timed:
    """Vectors and seconds of a system: of the test rows, and of the training rows by slice."""

    tested: dict[str, np.ndarray]
    trained: list[dict[str, np.ndarray]] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0


def _slices(split: Split) -> list[np.ndarray]:
    return [np.arange(part, len(split), SLICES) for part in range(SLICES)]


def _take_turns(
    systems: dict[str, Callable[[Split], dict[str, np.ndarray]]], train: Split, test: Split
) -> dict[str, _Timed]:
    """Encode the test rows, then time all systems in turns over slices of the training rows."""
    timed = {name: _Timed(system(test)) for name, system in systems.items()}  # the first call is not timed
    suites = [system for system in systems.values() if isinstance(system, _Suite)]
    for suite in suites:
        suite.reset()
    for rows in _slices(train):
        part = _take(train, rows)
        for name, system in systems.items():
            wall, busy, found = time.perf_counter(), time.process_time(), timed[name]
            found.trained.append(system(part))
            found.seconds += time.perf_counter() - wall
            found.processor += time.process_time() - busy
        for suite in suites:
            suite.empty_store()
    return timed


def _shares(suite: _Suite, seconds: float) -> dict[str, Any]:
    """Return phases, shares and yardstick of a dtype."""
    layer, options, phases = Layer.of(suite.model), suite.extractor.options, suite.phases
    rates = product_rates(layer, options.device, options.dtype)
    product, rate = fastest([rates])
    work = suite.tokens * suite.model.config.num_hidden_layers * layer.operations / rate
    encoding = phases["encode"] + phases["pool"]
    shares = {"share": work / seconds, "share_encode": work / encoding if encoding else None}
    return {"phases": phases, **shares, "product": product, "rates": rates}


def _difference(values: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(values - reference).max() / np.abs(reference).max())


def _predict(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the predictions of a probe on standardised features."""
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1
    probe = LogisticRegression(PENALTY).fit((train - mean) / scale, labels)
    return probe.predict((test - mean) / scale)

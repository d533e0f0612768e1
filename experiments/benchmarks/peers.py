"""Libraries that a user could extract features with instead, as functions of a list of texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError

PEER = "sentence-transformers"
BATCH = 32  # its default
BATCHES = (8, 16, 64, 128, 256)  # that are tried beside the default


@dataclass(frozen=True)
class Peer:
    """A library with its settings, and the function that encodes texts to one vector each."""

    name: str
    encode: Callable[[list[str]], np.ndarray]


def find_peers(folder: Path, sample: Sequence[str]) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that read a checkpoint, and why others are not measured, by name.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoint.
    sample : sequence of str
        Texts on which the best batch size is found.

    Raises
    ------
    UserError
        sentence-transformers is not installed.
    """
    require(PEER)
    plain = _encoder(folder, "torch")
    best = best_batch(plain, list(sample))
    found = [Peer(f"{PEER}, batches of {BATCH}", _with_batch(plain, BATCH))]
    if best != BATCH:
        found.append(Peer(f"{PEER}, batches of {best} (its best)", _with_batch(plain, best)))
    name = f"{PEER} with ONNX"
    if reason := missing_onnx():
        return found, {name: reason}
    exported = _encoder(folder, "onnx")
    best = best_batch(exported, list(sample))
    return [*found, Peer(f"{name}, batches of {best} (its best)", _with_batch(exported, best))], {}


def best_batch(encode: Callable[..., Any], sample: list[str]) -> int:
    """Return the batch size that encodes a sample quickest, of two rounds."""
    seconds = dict.fromkeys((BATCH, *BATCHES), float("inf"))
    for _ in range(2):
        for size in seconds:
            began = time.perf_counter()
            encode(sample, batch_size=size)
            seconds[size] = min(seconds[size], time.perf_counter() - began)
    return min(seconds, key=lambda size: seconds[size])


def missing_onnx() -> str | None:
    """Return what the ONNX backend lacks, or None."""
    lacking = [name for name in ("onnxruntime", "optimum") if find_spec(name) is None]
    if not lacking:
        return None
    return (
        f"not measured: {' and '.join(lacking)} not installed. Its exporter, optimum-onnx 0.1.0, takes transformers "
        f"below 4.58, and this is transformers {version('transformers')}."
    )


def require(package: str) -> str:
    """Return the version of a package; UserError if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        raise UserError(f"the benchmark times itself against {package}: pip install -e '.[benchmark]'.") from None


def _encoder(folder: Path, backend: Any) -> Callable[..., Any]:
    """Return the function that encodes texts, called once."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", backend=backend)

    def encode(texts: list[str], batch_size: int = BATCH) -> Any:
        return model.encode(texts, batch_size=batch_size, show_progress_bar=False)

    encode(["A sentence."])
    return encode


def _with_batch(encode: Callable[..., Any], size: int) -> Callable[[list[str]], np.ndarray]:
    return lambda texts: np.asarray(encode(texts, batch_size=size))

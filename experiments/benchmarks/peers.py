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
from src.features.batching import plan_batches
from src.models.options import TOKEN_BUDGETS

PEER = "sentence-transformers"
BATCH = 32  # its default
BATCHES = {"cpu": (8, 16, 64, 128, 256), "cuda": (128, 512, 2048)}  # that are tried beside the default
PLAIN = "transformers, batches of equal length"
Encode = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """A library with its settings, and the function that encodes texts to one vector each."""

    name: str
    encode: Encode


def find_peers(folder: Path, sample: Sequence[str]) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that read a checkpoint, in float32, and why others are not measured, by name.

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
    found = [*sentence_transformers(folder, sample), Peer(PLAIN, plain_transformers(folder))]
    name = f"{PEER} with ONNX"
    if reason := missing_onnx():
        return found, {name: reason}
    exported = _encoder(folder, "onnx", "cpu")
    best = best_batch(exported, list(sample))
    return [*found, Peer(f"{name}, batches of {best} (its best)", _with_batch(exported, best))], {}


def sentence_transformers(folder: Path, sample: Sequence[str], device: str = "cpu") -> list[Peer]:
    """Return sentence-transformers with its default batch size, and with its best one if that differs."""
    require(PEER)
    encode = _encoder(folder, "torch", device)
    best = best_batch(encode, list(sample), device)
    found = [Peer(f"{PEER}, batches of {BATCH}", _with_batch(encode, BATCH))]
    if best != BATCH:
        found.append(Peer(f"{PEER}, batches of {best} (its best)", _with_batch(encode, best)))
    return found


def plain_transformers(folder: Path) -> Encode:
    """Return a function that averages the last layer of a model of transformers, on the CPU.

    It does what saves most: rows of equal length form batches without padding, and torch's
    scaled_dot_product_attention computes attention.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)

    def encode(texts: list[str]) -> np.ndarray:
        rows = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
        vectors = np.empty((len(rows), model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for batch in plan_batches(np.array([len(row) for row in rows]), TOKEN_BUDGETS["cpu"]):
                states = model(torch.tensor([rows[row] for row in batch])).last_hidden_state
                vectors[batch] = states.mean(dim=1).numpy()
        return vectors

    encode(["A sentence."])
    return encode


def best_batch(encode: Callable[..., Any], sample: list[str], device: str = "cpu") -> int:
    """Return the batch size that encodes a sample quickest, of two rounds."""
    seconds = dict.fromkeys((BATCH, *BATCHES.get(device, BATCHES["cpu"])), float("inf"))
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


def _encoder(folder: Path, backend: Any, device: str) -> Callable[..., Any]:
    """Return the function that encodes texts, called once."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=device, backend=backend)

    def encode(texts: list[str], batch_size: int = BATCH) -> Any:
        return model.encode(texts, batch_size=batch_size, show_progress_bar=False)

    encode(["A sentence."])
    return encode


def _with_batch(encode: Callable[..., Any], size: int) -> Encode:
    return lambda texts: np.asarray(encode(texts, batch_size=size))

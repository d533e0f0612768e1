"""The benchmark of dtypes offers what a device has, and counts predictions that change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from experiments.benchmarks import dtypes
from experiments.benchmarks.peers import Peer
from src.data.dataset import Split
from src.errors import UserError
from src.features import loading
from src.models.checkpoint import Checkpoint
from src.models.encoder import Encoder
from src.models.options import EncodingOptions
from tests.conftest import SENTENCES


def test_a_device_offers_its_dtypes_after_float32() -> None:
    assert dtypes.offered(["tf32", "mixed", "bfloat16"], "cuda") == ["float32", "tf32", "mixed", "bfloat16"]
    assert dtypes.offered(["tf32", "mixed", "float32"], "cpu") == ["float32", "mixed"]
    with pytest.raises(UserError, match=r"dtypes=int8.*float32"):
        dtypes.offered(["int8"], "cpu")


def test_dtypes_take_turns_and_no_model_is_loaded_meanwhile(
    bert: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], matmul: Any
) -> None:
    loaded, allowed = list[str](), list[bool]()

    def encoder(checkpoint: Checkpoint, options: EncodingOptions) -> Encoder:
        loaded.append(options.dtype)
        return Encoder(checkpoint, options)

    def peer(texts: list[str]) -> np.ndarray:
        allowed.append(matmul.allow_tf32)
        return np.ones((len(texts), 16))

    monkeypatch.setattr(loading, "Encoder", encoder)
    monkeypatch.setattr(loading, "_kept", {})
    monkeypatch.setattr(dtypes, "sentence_transformers", lambda *_: [Peer("ones", peer)])
    monkeypatch.setattr(dtypes, "product_rates", lambda *_: {"product": 1e9})
    matmul.allow_tf32 = True  # as after a pass in tf32
    texts = pa.array([f"{SENTENCES[number % 5]} {'the ' * (number % 4)}" for number in range(24)], pa.large_string())
    train = Split("train", texts, None, np.arange(24) % 2)
    test = Split("test", texts.slice(0, 8), None, np.arange(8) % 2)
    found = {
        each["name"]: each for each in dtypes._compare("task", bert, train, test, ["float32", "bfloat16"], "cpu", True)
    }
    assert loaded == ["float32", "bfloat16"] and set(found) == {*loaded, "ones"} and not any(allowed)
    reference, half, other = found["float32"], found["bfloat16"], found["ones"]
    assert reference["difference"] == 0 and set(reference["flips"].values()) == {0}
    assert 0 < half["difference"] < 0.1 and set(half["flips"]) == {"cls", "mean"}
    assert half["phases"]["encode"] > 0 and half["share_encode"] >= half["share"] > 0 and half["product"] == "product"
    assert other["share"] is None and other["seconds"] > 0 and not other["flips"]
    assert "bfloat16" in capsys.readouterr().out

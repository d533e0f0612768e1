"""Fixtures of the protocols' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.conftest import write_csv


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep BLAS on one thread, as waiting threads cost a hundredfold on a busy machine."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture
def sentences(tmp_path: Path) -> list[str]:
    """Return overrides of a task of 120 and 60 rows, whose label is whether a cat occurs."""
    generator = np.random.default_rng(0)
    words = ["dog", "mat", "rain", "road", "day", "party"]
    for name, rows in (("train", 120), ("test", 60)):
        seen = generator.random(rows) < 0.4
        texts = [
            " ".join([*generator.choice(words, size=generator.integers(2, 7)), *["cat"] * int(cat)]) for cat in seen
        ]
        write_csv(
            tmp_path / f"{name}.csv", [(text, "cat" if cat else "none") for text, cat in zip(texts, seen, strict=True)]
        )
    return [f"dataset.train={tmp_path / 'train.csv'}", f"dataset.test={tmp_path / 'test.csv'}"]

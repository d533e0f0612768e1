"""Make columns of random words, and extractors of the small BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from src.config.schema import ModelConfig
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.runtime.clock import Clock
from src.storage.arrays import ArrayStore
from tests.conftest import SENTENCES


def make_column(rows: int = 200, seed: int = 0) -> EncoderInput:
    """Return a column of texts of 0 to 19 words."""
    rng = np.random.default_rng(seed)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    texts = pa.array([" ".join(rng.choice(words, size=rng.integers(0, 20))) for _ in range(rows)], pa.large_string())
    return EncoderInput(texts, None, f"digest of {rows} {seed}", "words/train")


def make_extractor(
    bert: Path, root: Path, workers: int = 2, progress: bool = False, **options: Any
) -> FeatureExtractor:
    """Return an extractor with its store in `root`, and with fields of `EncodingOptions`."""
    checkpoint = find_checkpoint(ModelConfig(path=str(bert)))
    encoding = EncodingOptions(**{"token_budget": 64, **options})
    return FeatureExtractor(checkpoint, encoding, ArrayStore(root), Clock(), workers, progress)

"""Encoders of a small BERT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.config.schema import ModelConfig
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions


@pytest.fixture(params=[None, "eager"], ids=["own", "library"])
def encoder(bert: Path, request: pytest.FixtureRequest) -> Encoder:
    """An encoder with each of the two kinds of forward pass."""
    return Encoder(find_checkpoint(ModelConfig(path=str(bert))), EncodingOptions(attention=request.param))


@pytest.fixture
def matmul() -> Iterator[Any]:
    """Torch's settings of CUDA's products, restored afterwards."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    yield torch.backends.cuda.matmul
    torch.backends.cuda.matmul.allow_tf32 = before

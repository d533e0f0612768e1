"""Open the fixtures of original TensorFlow checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.config.schema import ModelConfig
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tensorflow.bundle import Bundle

FIXTURES = Path(__file__).parents[1] / "fixtures" / "google"
CHECKPOINT = FIXTURES / "checkpoint"
FORMS = ("checkpoint", "hub", "savedmodel", "savedmodel-2019")
TANH = "gelu_pytorch_tanh"


def model_config(folder: Path, **others: Any) -> ModelConfig:
    """Return the configuration of a checkpoint; one without bert_config.json gets that of the fixture."""
    beside = {} if (folder / "bert_config.json").is_file() else {"config": str(CHECKPOINT / "bert_config.json")}
    return ModelConfig(path=str(folder), format="tensorflow", **{**beside, **others})


def read_parameters(folder: Path, **others: Any) -> dict[str, torch.Tensor]:
    """Read all parameters of a checkpoint."""
    original = find_checkpoint(model_config(folder, **others)).original
    assert original is not None
    return original.parameters()


def load_google_encoder(folder: Path, **others: Any) -> Encoder:
    """Load the encoder of a checkpoint."""
    return Encoder(find_checkpoint(model_config(folder, **others)), EncodingOptions())


def read_variables(folder: Path = CHECKPOINT) -> dict[str, np.ndarray]:
    """Read all variables of a checkpoint, but the training step."""
    bundle = Bundle(folder / "bert_model.ckpt")
    return {name: bundle.read(name) for name in bundle.shapes if name != "global_step"}

"""Tests of the state: identity and files are those of trainings by earlier code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from experiments.pretraining.corpus import Corpus, prepare
from experiments.pretraining.model import new_model
from experiments.pretraining.recipe import Schedule, Shape
from experiments.pretraining.state import TrainingState, training_identity
from experiments.pretraining.training import make_optimiser
from src.errors import UserError

CORPUS = Corpus(np.array([5, 6, 5, 7], np.uint16), np.array([0, 2]), np.array([0, 2, 4]))
IDENTITY = {
    "shape": {"layers": 3, "width": 192, "heads": 6, "positions": 256, "vocab_size": 8192},
    "schedule": {
        "objective": "mlm_nsp", "negatives": "other_document", "dtype": "float32", "tokens": 4096,
        "lengths": {"64": 0.15, "128": 0.65, "256": 0.2}, "warmup": 400, "weight_decay": 0.01, "clip": 1.0,
        "dropout": 0.0,
        "embeddings": "svd", "deviation": 0.05, "seed": 0,
    },
    "text": "f60a1138c18d690788efcb0c700693bde5412536d018968512fddcfdf67f3bec",
    "workers": 1,
}  # fmt: skip


def test_the_identity_is_that_of_earlier_trainings() -> None:
    assert training_identity(Shape(), Schedule(), CORPUS, 1, None) == IDENTITY


def test_the_prepared_text_has_the_folder_of_earlier_trainings(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    for number in range(2):
        (tmp_path / "books" / f"{number}.txt").write_text("The cat sat. A dog barked. " * 50)
    folder = prepare(tmp_path / "books", tmp_path / "work", 100, 0.1)
    assert folder.name == "corpus-c405afde68749a7b"
    assert {"held_out.npz", "made", "tokenizer", "train.npz"} <= {path.name for path in folder.iterdir()}


def test_a_state_has_the_names_of_earlier_trainings(tmp_path: Path) -> None:
    model = new_model(Shape(layers=1, width=8, heads=2, positions=16, vocab_size=20), 0.0, 0)
    optimiser = make_optimiser(model, Schedule())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    TrainingState(tmp_path).write(model, optimiser, {"identity": IDENTITY, "step": 1, "seconds": 0.5, "rows": []})
    bias = "bert.pooler.dense.bias"
    with safe_open(tmp_path / "state.safetensors", "pt") as file:
        names = set(file.keys())
        assert list(file.metadata()) == ["facts"]
    assert {f"weight.{bias}", *(f"optimiser.{key}.{bias}" for key in ("step", "exp_avg", "exp_avg_sq"))} <= names
    other = new_model(Shape(layers=1, width=8, heads=2, positions=16, vocab_size=20), 0.0, 1)
    progress = TrainingState(tmp_path).read(other, make_optimiser(other, Schedule()), IDENTITY)
    assert progress["step"] == 1
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    with pytest.raises(UserError, match="workers"):
        TrainingState(tmp_path).read(other, optimiser, {**IDENTITY, "workers": 2})

"""Tests of the fast forward pass against the library's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertForPreTraining

from experiments.pretraining import forward
from experiments.pretraining.corpus import Corpus
from experiments.pretraining.evaluation import to_tensors
from experiments.pretraining.examples import Examples, Vocabulary
from experiments.pretraining.model import Loss, new_model
from experiments.pretraining.recipe import Shape
from src.models.kernels import can_pack
from tests.experiments.pretraining.conftest import VOCABULARY

SHAPE = Shape(layers=3, width=48, heads=3, positions=64, vocab_size=VOCABULARY)
OBJECTIVES = pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])


@pytest.fixture
def batch(parts: tuple[Corpus, Corpus, object]) -> tuple[Tensor, ...]:
    """Return the tensors of one step; the first row has no masked piece."""
    vocabulary = Vocabulary.of_size(VOCABULARY)
    drawn = Examples(parts[0], vocabulary).draw(np.random.default_rng(3), 6, 48)
    kept = drawn.places >= 48
    return to_tensors(replace(drawn, places=drawn.places[kept], targets=drawn.targets[kept]), "cpu")


def gradients(model: BertForPreTraining, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradient of each trained parameter."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def plain_loss(model: BertForPreTraining, batch: tuple[Tensor, ...], objective: str) -> Tensor:
    """Return the loss of the library's own forward pass over all places."""
    ids, segments, places, targets, random = batch
    output = model(input_ids=ids, token_type_ids=segments)
    words = cross_entropy(output.prediction_logits.flatten(0, 1)[places], targets)
    return words + cross_entropy(output.seq_relationship_logits, random) if objective == "mlm_nsp" else words


def assert_same_step(batch: tuple[Tensor, ...], objective: str, layers: int) -> None:
    model = new_model(replace(SHAPE, layers=layers), 0.0, 1)
    loss = Loss(model, objective)(*batch)
    expected = plain_loss(model, batch, objective)
    assert abs(float((loss - expected).detach())) < 1e-5
    fast, plain = gradients(model, loss), gradients(model, expected)
    assert len(fast) > 40 * (layers > 1)
    largest = max(float(value.abs().max()) for value in plain.values())
    for name, value in plain.items():
        assert float((fast[name] - value).abs().max()) < 1e-5 * min(1.0, largest), name


@OBJECTIVES
@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_has_the_gradients_of_a_plain_one(batch: tuple[Tensor, ...], objective: str, layers: int) -> None:
    if not can_pack("cpu", torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    assert_same_step(batch, objective, layers)


@OBJECTIVES
def test_a_step_without_onednn_has_the_gradients_of_a_plain_one(
    batch: tuple[Tensor, ...], objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "can_pack", lambda device, dtype: False)
    assert_same_step(batch, objective, 2)


def test_products_have_the_gradients_of_linear_layers() -> None:
    if not can_pack("cpu", torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    torch.manual_seed(0)
    given = [torch.randn(4, 5, 24), torch.randn(40, 24), torch.randn(40)]
    outer = torch.randn(4, 5, 40)

    def found(function: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        inputs = [each.clone().requires_grad_() for each in given]
        value = function(*inputs)
        return value.detach(), *torch.autograd.grad(value, inputs, outer)

    for one, other in zip(found(forward.product), found(torch.nn.functional.linear), strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_dropout_and_autocast_take_the_library_s_pass(batch: tuple[Tensor, ...]) -> None:
    ids, segments, places = batch[:3]
    dropping = new_model(SHAPE, 0.5, 1).train()
    torch.manual_seed(5)
    states, pooled = forward.read_states(dropping, ids, segments, places)
    torch.manual_seed(5)
    output = dropping.bert(input_ids=ids, token_type_ids=segments)
    assert torch.equal(states, output.last_hidden_state.flatten(0, 1)[places])
    assert torch.equal(pooled, output.pooler_output)
    with torch.autocast("cpu", torch.bfloat16):
        assert not forward.follows(new_model(SHAPE, 0.0, 1), "cpu")
    assert forward.follows(dropping.eval(), "cpu")

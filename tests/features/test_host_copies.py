"""Batches are pooled on the encoder's device from the layers that are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from src.features.host_copies import HostCopy, needed_layers, pool_batch
from src.models.bert_forward import BertForward
from src.pooling import EncoderOutput, poolings
from tests.helpers.checkpoints import load_encoder

IDS = np.array([[2, 7, 8, 9, 3], [2, 9, 7, 7, 3]])


@pytest.mark.parametrize(
    ("targets", "layers", "expected"),
    [
        ([("mean", 2)], 6, {2, 6}),
        ([("cls", 0), ("max", 6)], 6, {0, 6}),
        ([("first_last_mean", 6)], 6, {1, 6}),
        ([("last4_mean", 12), ("mean", 3)], 12, {3, 9, 10, 11, 12}),
        ([("mean", 1)], 1, {1}),
    ],
)
def test_needed_layers_are_those_that_poolings_read(
    targets: list[tuple[str, int]], layers: int, expected: set[int]
) -> None:
    assert needed_layers(targets, layers) == expected


def test_a_batch_is_pooled_from_the_needed_layers_alone(bert: Path) -> None:
    encoder = load_encoder(bert)
    targets = [("mean", 0), ("cls", 2), ("first_last_mean", 2)]
    needed = needed_layers(targets, encoder.layers)
    part = encoder.forward(IDS, IDS * 0, IDS < 4, layers=needed)
    whole = encoder.forward(IDS, IDS * 0, IDS < 4)
    found = pool_batch(part, targets).numpy()
    assert (found.shape, found.dtype) == ((3, 2, 16), np.float32)
    for values, (name, layer) in zip(found, targets, strict=True):
        np.testing.assert_array_equal(values, poolings[name].function(whole, layer).numpy())


def test_a_copy_holds_the_values(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).view(2, 3)
    np.testing.assert_array_equal(HostCopy(tensor).numpy(), tensor.numpy())


@pytest.mark.parametrize("padded", [False, True])
def test_nothing_between_word_pieces_and_pooled_vectors_waits_for_the_device(padded: bool, bert: Path) -> None:
    from transformers import BertModel

    # Values on the device "meta" cannot be read: whatever would wait for them raises.
    model = BertModel.from_pretrained(bert).eval().to("meta")
    ids = torch.zeros((3, 5), dtype=torch.int64, device="meta")
    mask = torch.ones((3, 5), dtype=torch.bool, device="meta")
    with torch.inference_mode():
        hidden, pooled = BertForward(model, torch.float32, None)(ids, ids, mask if padded else None)
        weight, bias = model.pooler.dense.weight, model.pooler.dense.bias
        output = EncoderOutput(hidden, mask, mask, pooled, weight, bias, weight)
        stored = [
            pooling
            for pooling in poolings.values()
            if not pooling.of and pooling.unsupported_reason(layers=2, pooler=True, first=None) is None
        ]
        assert len(stored) > 3
        for pooling in stored:
            assert pooling.function(output, 2).shape == (3, model.config.hidden_size), pooling.name
        with pytest.raises((NotImplementedError, RuntimeError)):
            output.mask.any().item()

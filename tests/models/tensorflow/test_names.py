"""Every variable is found under its parameter's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from src.errors import UserError
from src.models.finding import find_checkpoint
from src.models.tensorflow import names
from src.models.tensorflow.names import variable_names
from tests.helpers import bundles
from tests.helpers.google import (
    CHECKPOINT,
    FIXTURES,
    FORMS,
    TANH,
    load_google_encoder,
    model_config,
    read_parameters,
    read_variables,
)


@pytest.mark.parametrize("form", FORMS)
def test_every_format_has_the_same_parameters_and_outputs_as_tensorflow(form: str) -> None:
    expected = read_parameters(CHECKPOINT)
    found = read_parameters(FIXTURES / form)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    recorded = load_file(FIXTURES / "outputs.safetensors")
    mask = recorded["input_mask"].astype(bool)
    differences = {}
    for activation in ("gelu", TANH):
        output = load_google_encoder(FIXTURES / form, hidden_act=activation).forward(
            recorded["input_ids"], recorded["segment_ids"], ~mask, mask.sum(axis=1)
        )
        assert output.pooled is not None
        sequence = np.abs(output.hidden[-1].numpy() - recorded[f"{form}.sequence_output"])[mask].max()
        differences[activation] = (sequence, np.abs(output.pooled.numpy() - recorded[f"{form}.pooled_output"]).max())
    assert max(differences[TANH]) < 1e-5
    assert min(differences["gelu"]) > 1e-5, "the activations are told apart"


def test_only_kernels_are_transposed() -> None:
    stored, found = read_variables(), read_parameters(CHECKPOINT)
    for name, values in found.items():
        there = stored["bert/" + variable_names(name)[0]]
        expected = there.T if variable_names(name)[0].endswith("/kernel") else there
        np.testing.assert_array_equal(values.numpy(), expected)
        assert values.is_contiguous()
    square = stored["bert/encoder/layer_0/attention/self/query/kernel"]
    assert not np.allclose(square, square.T), "a kernel that was not turned would show"


def test_all_parameters_of_bert_model_have_a_shape() -> None:
    from transformers import BertConfig, BertModel

    original = find_checkpoint(model_config(CHECKPOINT))
    model = BertModel(BertConfig(**{key: value for key, value in original.config.items() if key != "model_type"}))
    assert {name: tuple(values.shape) for name, values in model.named_parameters()} == names.parameter_shapes(
        original.config
    )


def test_variables_of_optimisers_and_heads_are_ignored(checkpoint_copy: Path) -> None:
    expected = read_parameters(CHECKPOINT)
    extra = {
        "output_weights": np.ones((3, 24), np.float32),
        "bert/pooler/dense/kernel/adam_m": np.ones((24, 24), np.float32),
    }
    bundles.write(checkpoint_copy / "bert_model.ckpt", read_variables() | extra)
    assert read_parameters(checkpoint_copy).keys() == expected.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("bert/encoder/layer_1/output/dense/kernel"), "lacks bert/encoder/layer_1/output/dense/kernel"),
        (
            lambda v: v.pop("bert/embeddings/word_embeddings"),
            "holds no BERT: there is no embeddings/word_embeddings among bert/",
        ),
        (
            lambda v: v.update({"bert/encoder/layer_2/output/dense/bias": np.ones(24, np.float32)}),
            "2 layers does not have",
        ),
        (
            lambda v: v.update({"bert/encoder/embedding_hidden_mapping_in/bias": np.ones(24, np.float32)}),
            "embedding_hidden_mapping_in",
        ),
        (
            lambda v: v.update({"x/embeddings/word_embeddings": np.ones((2, 2), np.float32)}),
            "more than one encoder, under bert/, x/",
        ),
        (
            lambda v: v.update({"bert/pooler/dense/kernel": np.ones((24, 40), np.float32)}),
            r"is \(24, 40\), and bert_config.json says \(24, 24\)",
        ),
        (lambda v: v.update({"cls/seq_relationship/output_weights": np.ones((24, 2), np.float32)}), r"is \(24, 2\)"),
        (lambda v: v.clear(), "it has none"),
    ],
)
def test_missing_unknown_and_misshapen_variables_are_named(
    checkpoint_copy: Path, change: Callable[[Any], Any], message: str
) -> None:
    stored = read_variables()
    change(stored)
    bundles.write(checkpoint_copy / "bert_model.ckpt", stored)
    with pytest.raises(UserError, match=message) as caught:
        find_checkpoint(model_config(checkpoint_copy))
    assert len(str(caught.value).splitlines()) <= 3

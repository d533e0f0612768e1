"""Packed linear layers compute what torch's do, and are used only where they exist."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from src.models import kernels

ROWS, IN, OUT = 7, 16, 24


@pytest.mark.parametrize("gelu", [None, kernels.ERF, kernels.TANH])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_linear_function_computes_the_layer_and_its_gelu(gelu: str | None, bias: bool, packed: bool) -> None:
    if packed and not kernels.can_pack("cpu", torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    torch.manual_seed(0)
    layer = nn.Linear(IN, OUT, bias).requires_grad_(False)
    x = 3 * torch.randn(ROWS, IN)
    expected = layer(x) if gelu is None else nn.functional.gelu(layer(x), approximate=gelu)
    function = kernels.linear_function(layer.weight, layer.bias, ROWS if packed else None, gelu)
    torch.testing.assert_close(function(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("gelu", kernels.ERF),
        ("gelu_new", kernels.TANH),
        ("gelu_pytorch_tanh", kernels.TANH),
        ("gelu_10", None),
        ("gelu_python", None),
        ("relu", None),
    ],
)
def test_only_gelu_is_computed_by_the_product(name: str, algorithm: str | None) -> None:
    activation = ACT2FN[name]
    assert kernels.gelu_algorithm(activation) == algorithm
    if algorithm is not None:
        x = torch.linspace(-6, 6, 301)
        torch.testing.assert_close(nn.functional.gelu(x, approximate=algorithm), activation(x), atol=2e-6, rtol=1e-6)


def test_weights_are_not_packed_on_an_accelerator() -> None:
    assert not kernels.can_pack("cuda", torch.float32)


@pytest.mark.parametrize(
    ("found", "expected"),
    [({"avx512_bf16": True}, True), ({"avx2": True, "amx_bf16": False}, False), ({"avx512_fp16": True}, False)],
)
def test_units_are_those_that_the_processor_names(
    found: dict[str, Any], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert kernels.has_units("bf16") is expected


def test_converted_layers_compute_in_the_dtype_and_spare_the_pooler() -> None:
    torch.manual_seed(0)
    model = nn.Module()
    model.dense, model.pooler = nn.Linear(IN, OUT), nn.Linear(IN, OUT)
    x = torch.randn(ROWS, IN)
    exact = {name: getattr(model, name)(x) for name in ("dense", "pooler")}
    kernels.convert_linear_layers(model, torch.bfloat16, None)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        dense, pooler = model.dense(x), model.pooler(x.bfloat16().float())
    assert dense.dtype == torch.bfloat16
    torch.testing.assert_close(dense.float(), exact["dense"], atol=3e-2, rtol=3e-2)
    assert pooler.dtype == torch.float32

"""The rate of products, against which shares are taken."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.benchmarks import yardstick
from experiments.benchmarks.yardstick import Layer, fastest, product_rates
from src.models.encoder import Encoder


def test_a_layer_has_the_products_of_its_model(encoder: Encoder) -> None:
    layer, width = Layer.of(encoder.model), encoder.model.config.hidden_size
    dense = {name: module for name, module in encoder.model.encoder.layer[0].named_modules() if hasattr(module, "bias")}
    weights = sum(module.weight.numel() for module in dense.values() if module.weight.ndim == 2)
    assert layer.width == width and layer.operations == 2 * weights


def test_all_products_are_measured_and_the_fastest_is_the_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(yardstick, "SECONDS", 1e-4)
    monkeypatch.setattr(yardstick, "SIDES", {"cpu": 16})
    monkeypatch.setattr(yardstick, "cores", lambda: 2)
    threads = torch.get_num_threads()
    rates = product_rates(Layer(8, 32), "cpu")
    torch.set_num_threads(threads)
    packed = [name for name in rates if "packed" in name]
    assert len(rates) == 2 + len(packed) and all(rate > 0 for rate in rates.values())
    assert fastest([rates])[1] == max(rates.values())


def test_the_setting_of_tf32_is_restored(matmul: Any) -> None:
    for before, dtype in ((False, "tf32"), (True, "float32")):
        matmul.allow_tf32 = before
        with yardstick.tf32("cuda", dtype):
            assert matmul.allow_tf32 is not before
        assert matmul.allow_tf32 is before

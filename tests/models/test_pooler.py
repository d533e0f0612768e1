"""Poolers are diagnosed from their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from src.models.pooler import marchenko_pastur, pooler_error, quarter_circle
from tests.helpers.checkpoints import copy_checkpoint, load_encoder


def test_the_pooler_is_untrained_only_with_both_signs(bert: Path, tmp_path: Path) -> None:
    def fresh(weights: dict[str, torch.Tensor]) -> None:
        weights["pooler.dense.weight"] = torch.randn(16, 16, generator=torch.Generator().manual_seed(1)) * 0.02
        weights["pooler.dense.bias"] = torch.zeros(16)

    def biased(weights: dict[str, torch.Tensor]) -> None:
        fresh(weights)
        weights["pooler.dense.bias"][3] = 1e-3

    def spiked(weights: dict[str, torch.Tensor]) -> None:
        fresh(weights)
        weights["pooler.dense.weight"] += torch.ones(16, 16) * 0.05

    for name, change, status in (
        ("fresh", fresh, "untrained"),
        ("biased", biased, "trained"),
        ("spiked", spiked, "trained"),
    ):
        pooler = load_encoder(copy_checkpoint(bert, tmp_path / name, change)).info.pooler
        assert pooler["status"] == status, name
        assert pooler["evidence"]["bias_is_zero"] == (name != "biased")
        assert pooler["evidence"]["spectrum_is_random"] == (name != "spiked")


@pytest.mark.parametrize(
    ("name", "value"), [("weight", float("nan")), ("weight", float("inf")), ("bias", float("-inf"))]
)
def test_a_pooler_with_nan_or_infinity_is_unusable(name: str, value: float, bert: Path, tmp_path: Path) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights[f"pooler.dense.{name}"].view(-1)[5] = value

    info = load_encoder(copy_checkpoint(bert, tmp_path / "spoilt", spoil)).info
    assert info.pooler["evidence"]["not_finite"] == 1
    assert not info.has_pooler
    assert "1 of its weights are NaN or infinite" in str(pooler_error("pooler", "x", info.pooler))


@pytest.mark.parametrize(
    ("width", "scales"), [(16, (1e-3, 0.02, 5.0)), (64, (1e-3, 0.02, 5.0)), (256, (1e-3, 0.02, 5.0)), (768, (0.02,))]
)
def test_noise_of_any_scale_is_random_and_structured_matrices_are_not(width: int, scales: tuple[float, ...]) -> None:
    rng = np.random.default_rng(width)
    for scale in scales:
        assert marchenko_pastur(scale * rng.standard_normal((width, width)))["is_random"]
        assert marchenko_pastur(scale * rng.uniform(-1, 1, (width, width)))["is_random"]
    noise = rng.standard_normal((width, width))
    u, v = rng.standard_normal((2, width, 1))
    assert not marchenko_pastur(noise + 4 * u @ v.T / np.sqrt(width))["is_random"], "an outlier above the edge"
    assert not marchenko_pastur(np.eye(width) + 0.02 * noise)["is_random"], "a band away from the law"
    assert not marchenko_pastur(np.zeros((width, width)))["is_random"]


def test_the_quarter_circle_law_is_a_distribution_function() -> None:
    values = quarter_circle(np.linspace(-1, 3, 401))
    assert values[0] == 0
    assert values[-1] == 1
    assert (np.diff(values) >= 0).all()
    # Its density is sqrt(4 - x^2) / pi.
    x = np.linspace(0.1, 1.9, 50)
    np.testing.assert_allclose(
        (quarter_circle(x + 1e-5) - quarter_circle(x - 1e-5)) / 2e-5, np.sqrt(4 - x**2) / np.pi, rtol=1e-6
    )


def test_the_untrained_pooler_of_a_real_checkpoint_is_detected(shared: Path) -> None:
    pooler = load_encoder(shared / "models" / "all-MiniLM-L6-v2").info.pooler
    assert pooler["status"] == "untrained"
    assert pooler["evidence"]["singular_max"] == pytest.approx(0.352, abs=5e-4)
    assert pooler["evidence"]["entry_std"] == pytest.approx(0.0091, abs=5e-5)


def test_errors_of_missing_and_absent_poolers_name_the_way_out() -> None:
    missing = pooler_error("pooler", "x/y", {"status": "missing", "evidence": {"model_type": "roberta"}})
    assert "encoder 'x/y' has no trained pooler: pooler.dense.weight is missing from its checkpoint" in str(missing)
    absent = pooler_error("pooler", "x/y", {"status": "absent", "evidence": {"model_type": "electra"}})
    assert "electra" in str(absent)
    assert "cls or mean" in str(absent)

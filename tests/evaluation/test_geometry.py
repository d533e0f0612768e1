"""Geometric measures have their invariances and equal their slow definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from src.evaluation import geometry

WIDTH = 8


@pytest.fixture
def cloud() -> np.ndarray:
    """Return correlated rows, float64, with a mean that is not zero."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((120, WIDTH)) @ rng.standard_normal((WIDTH, WIDTH)) + rng.standard_normal(WIDTH)


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)))[0]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
def test_cka_ignores_rotation_scale_and_shift(cloud: np.ndarray, scale: float) -> None:
    other = np.random.default_rng(1).standard_normal((120, 5)) + cloud[:, :5]
    assert geometry.cka(cloud, scale * cloud @ rotation(2) + 3) == pytest.approx(1, abs=1e-12)
    assert geometry.cka(scale * cloud @ rotation(2), other) == pytest.approx(geometry.cka(cloud, other), abs=1e-12)
    assert 0 < geometry.cka(cloud, other) < 1 and geometry.cka(cloud, other) == pytest.approx(
        geometry.cka(other, cloud)
    )


def test_cka_depends_on_scales_of_single_columns(cloud: np.ndarray) -> None:
    assert geometry.cka(cloud, cloud * np.geomspace(1, 100, WIDTH)) < 0.99


def test_cka_of_independent_views_is_about_width_over_rows() -> None:
    rng = np.random.default_rng(3)
    found = [geometry.cka(rng.standard_normal((1000, 50)), rng.standard_normal((1000, 50))) for _ in range(3)]
    assert np.allclose(found, 0.05, atol=0.01)


def test_cka_is_the_alignment_of_gram_matrices(cloud: np.ndarray) -> None:
    other = np.tanh(cloud @ rotation(4))
    rows = len(cloud)
    centre = np.eye(rows) - 1 / rows
    k, m = (centre @ each @ each.T @ centre for each in (cloud, other))
    assert geometry.cka(cloud, other) == pytest.approx(
        np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)), abs=1e-9
    )


def test_ranks_of_noise_and_of_one_direction() -> None:
    rng = np.random.default_rng(5)
    noise, line = (
        rng.standard_normal((20000, WIDTH)) + 7,
        np.outer(rng.standard_normal(300), rng.standard_normal(WIDTH)) + 7,
    )
    for measure in (geometry.effective_rank, geometry.participation_ratio):
        assert WIDTH * 0.99 < measure(noise) <= WIDTH
        assert measure(line) == pytest.approx(1, abs=1e-9)
        assert measure(np.full((30, WIDTH), 0.1)) == 0
    assert (geometry.rank(noise), geometry.rank(line.astype(np.float32)), geometry.rank(np.ones((4, 3)))) == (
        WIDTH,
        1,
        0,
    )


def test_ranks_equal_their_definitions(cloud: np.ndarray) -> None:
    variance = np.linalg.eigvalsh(np.cov(cloud.T))
    share = np.sqrt(variance) / np.sqrt(variance).sum()
    assert geometry.effective_rank(cloud) == pytest.approx(np.exp(-sum(p * np.log(p) for p in share)), abs=1e-9)
    assert geometry.participation_ratio(cloud) == pytest.approx(variance.sum() ** 2 / (variance**2).sum(), abs=1e-9)
    assert geometry.condition_number(cloud) == pytest.approx(np.sqrt(variance[-1] / variance[0]), rel=1e-9)
    correlation = np.linalg.eigvalsh(np.corrcoef(cloud.T))
    assert geometry.condition_number(cloud, standardise=True) == pytest.approx(
        np.sqrt(correlation[-1] / correlation[0]), rel=1e-9
    )


def test_a_layer_norm_costs_one_direction_and_no_condition(cloud: np.ndarray) -> None:
    normed = (cloud - cloud.mean(axis=1, keepdims=True)) / cloud.std(axis=1, keepdims=True)
    assert geometry.rank(normed.astype(np.float32)) == WIDTH - 1
    assert geometry.condition_number(normed.astype(np.float32)) < 100
    assert geometry.condition_number(np.ones((5, 2))) == np.inf


def test_anisotropy_is_the_mean_cosine_of_pairs(cloud: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    assert geometry.anisotropy(cloud + 1e6) == pytest.approx(1, abs=1e-6)
    assert abs(geometry.anisotropy(rng.standard_normal((2000, WIDTH)))) < 0.01
    cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in itertools.permutations(cloud, 2)]
    assert geometry.anisotropy(cloud) == pytest.approx(np.mean(cosines), abs=1e-9)
    assert geometry.anisotropy(np.array([[1.0, 0], [0, 0], [1, 0]])) == pytest.approx(1 / 3)


def test_saturation_counts_the_ends_of_each_type() -> None:
    values = np.float32([0.5, 0.98, 0.991, 0.9981, 0.9999, 1 - 2**-24, -1.0, -0.9999])
    assert geometry.saturation(values[:, None]) == {
        "nearly": 6 / 8,
        "float32": 1 / 8,
        "bfloat16": 5 / 8,
        "float16": 4 / 8,
    }


def test_bfloat16_rounds_as_torch_does() -> None:
    import torch

    values = np.random.default_rng(7).standard_normal(10000).astype(np.float32) * np.geomspace(
        1e-30, 1e30, 10000, dtype=np.float32
    )
    ties = np.float32([1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 0.0, -0.0])
    for each in (values, ties):
        assert np.array_equal(geometry.bfloat16(each), torch.from_numpy(each).bfloat16().float().numpy())


def test_difference_of_a_view_from_itself_and_from_its_opposite(cloud: np.ndarray) -> None:
    same, opposite = geometry.difference(cloud, cloud), geometry.difference(cloud, -cloud)
    assert (
        same["mean_absolute"] == 0
        and same["mean_cosine"] == pytest.approx(1)
        and same["mean_correlation"] == pytest.approx(1)
    )
    assert opposite["mean_cosine"] == pytest.approx(-1) and opposite["mean_correlation"] == pytest.approx(-1)
    assert (
        opposite["mean_absolute"]
        == pytest.approx(2 * same["first_mean_absolute"])
        == pytest.approx(2 * same["second_mean_absolute"])
    )


def test_dropped_measures_the_variance_along_what_a_matrix_shrinks() -> None:
    rng = np.random.default_rng(8)
    singular = np.array([1, 1, 1, 1, 0.5, 0.05, 0.02, 0.001])
    left, right = rotation(9), rotation(10)
    spread = np.array([4, 1, 1, 1, 1, 3, 1, 2.0])
    values = rng.standard_normal((50000, WIDTH)) * np.sqrt(spread) @ right.T + 5
    found = geometry.dropped(values, left @ np.diag(singular) @ right.T)
    assert [found[name]["directions"] for name in ("0.1", "0.03", "0.01", "lower_half")] == [3 / 8, 2 / 8, 1 / 8, 4 / 8]
    assert [found[name]["variance"] for name in ("0.1", "0.03", "0.01", "lower_half")] == pytest.approx(
        [6 / 14, 3 / 14, 2 / 14, 7 / 14], abs=0.01
    )
    assert all(
        each == {"directions": 0, "variance": 0}
        for name, each in geometry.dropped(values, left).items()
        if name != "lower_half"
    )

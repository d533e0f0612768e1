"""Similarities and scalings against numpy and scipy by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial import distance

from src.probes.similarity import similarities, text_scaling

PEERS = {
    "cosine": lambda u, v: 1 - distance.cosine(u, v),
    "dot": np.dot,
    "euclidean": lambda u, v: -distance.euclidean(u, v),
    "manhattan": lambda u, v: -distance.cityblock(u, v),
}


def sides(rows: int = 700, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return correlated columns with means far from zero, as an encoder gives them."""
    generator = np.random.default_rng(seed)
    mix = generator.standard_normal((width, width))
    u, v = (generator.standard_normal((rows, width)) @ mix + 3 * mix[0] for _ in range(2))
    return u.astype(np.float32), (0.5 * u + 0.5 * v).astype(np.float32)


def scaled_by_hand(kind: str, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate([u, v]).astype(np.float64)
    mean = both.mean(axis=0)
    u, v = u.astype(np.float64), v.astype(np.float64)
    if kind == "none":
        return u, v
    if kind == "standardise":
        return (u - mean) / both.std(axis=0), (v - mean) / both.std(axis=0)
    if kind == "whiten":  # as in the code of Su et al. (2021)
        vectors, variances, _ = np.linalg.svd(np.cov(both.T))
        matrix = vectors @ np.diag(1 / np.sqrt(variances))
        return (u - mean) @ matrix, (v - mean) @ matrix
    return u - mean, v - mean


@pytest.mark.parametrize("kind", ["none", "centre", "standardise", "whiten"])
@pytest.mark.parametrize("name", PEERS)
def test_similarities_equal_scipys(name: str, kind: str) -> None:
    u, v = sides()
    scaling = text_scaling(kind, np.concatenate([u, v]))
    expected = [PEERS[name](*pair) for pair in zip(*scaled_by_hand(kind, u, v), strict=True)]
    np.testing.assert_allclose(similarities(name, u, v, scaling), expected, rtol=1e-6, atol=1e-6)
    assert scaling.dropped == 0


def test_counts_of_words_are_compared_by_their_cosine() -> None:
    generator = np.random.default_rng(1)
    u, v = (generator.poisson(0.3, size=(50, 20)).astype(np.float32) for _ in range(2))
    u[0], v[0], v[1] = 0, 0, 0
    found = similarities("cosine", sp.csr_matrix(u), sp.csr_matrix(v))
    np.testing.assert_allclose(found, similarities("cosine", u, v), atol=1e-12)
    assert found[0] == found[1] == 0, "no word, no similarity"


def test_whitening_drops_directions_whose_variance_is_rounding() -> None:
    u, v = sides(width=12)
    mix = np.random.default_rng(2).standard_normal((12, 15)).astype(np.float32)
    texts = np.concatenate([u, v])
    scaling = text_scaling("whiten", texts @ mix)
    assert scaling.dropped == 3 and scaling.matrix is not None
    white = scaling.apply(texts @ mix)
    np.testing.assert_allclose(np.cov(white.T), np.eye(12), atol=1e-4)
    np.testing.assert_allclose(
        similarities("cosine", u @ mix, v @ mix, scaling),
        similarities("cosine", u, v, text_scaling("whiten", texts)), atol=1e-3,
    )  # fmt: skip
    few = texts[:6]
    assert text_scaling("whiten", few).dropped == 12 - 5, "six texts span five directions"


def test_equal_texts_leave_no_direction() -> None:
    texts = np.full((8, 4), 0.3, np.float32)
    scaling = text_scaling("whiten", texts)
    assert scaling.dropped == 4
    assert (similarities("cosine", texts, texts, scaling) == 0).all()

"""Nearest rows against scikit-learn's, and the rules for ties."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from src.probes import neighbours
from src.probes.neighbours import neighbour_labels, vote_shares


def blobs(rows: int, classes: int = 3, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy directions of each class, with lengths that tell nothing."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((classes, width))
    y = generator.integers(classes, size=rows)
    x = (centres[y] + generator.standard_normal((rows, width))) * generator.gamma(2.0, size=(rows, 1))
    return (x + 0.5).astype(np.float32), y


@pytest.mark.parametrize("k", [1, 2, 5, 10, 40])
@pytest.mark.parametrize("sparse", [False, True])
def test_votes_equal_those_of_scikit_learn(k: int, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", 10_000)  # several blocks
    (x, y), (queries, _) = blobs(400), blobs(130, seed=1)
    peer = KNeighborsClassifier(k, metric="cosine").fit(x.astype(np.float64), y)
    given = (sp.csr_matrix(x), sp.csr_matrix(queries)) if sparse else (x, queries)
    labels = neighbour_labels(given[0], y, given[1], k)
    np.testing.assert_array_equal(labels, y[peer.kneighbors(queries, return_distance=False)])
    np.testing.assert_allclose(vote_shares(labels, 3), peer.predict_proba(queries), atol=1e-6)
    np.testing.assert_array_equal(vote_shares(labels, 3).argmax(axis=1), peer.predict(queries))


def test_features_are_scaled_by_the_training_rows() -> None:
    (x, y), (queries, _) = blobs(300), blobs(60, seed=1)
    x, queries = x + np.float32(4), queries + np.float32(4)
    scaler = StandardScaler().fit(x)
    peer = KNeighborsClassifier(7, metric="cosine").fit(scaler.transform(x), y)
    labels = neighbour_labels(x, y, queries, 7, "standardise")
    np.testing.assert_array_equal(vote_shares(labels, 3).argmax(axis=1), peer.predict(scaler.transform(queries)))
    assert (labels != neighbour_labels(x, y, queries, 7)).any()


def test_equally_similar_rows_are_near_in_their_order() -> None:
    x = np.repeat([[1.0, 2.0]], 9, axis=0).astype(np.float32)
    x[0] = [2.0, -1.0]
    y = np.array([1, 0, 0, 1, 1, 1, 1, 1, 1])
    assert neighbour_labels(x, y, x[3:4], 3).tolist() == [[0, 0, 1]]
    assert neighbour_labels(x * np.arange(1, 10, dtype=np.float32)[:, None], y, x[3:4], 3).tolist() == [[0, 0, 1]]


def test_of_equally_many_votes_the_first_class_counts() -> None:
    shares = vote_shares(np.array([[2, 1, 1, 2], [0, 2, 2, 1]]), 3)
    assert shares.tolist() == [[0, 0.5, 0.5], [0.25, 0.25, 0.5]] and shares.argmax(axis=1).tolist() == [1, 2]


def test_fewer_rows_than_neighbours_all_vote() -> None:
    x, y = blobs(5)
    assert neighbour_labels(x, y, x[:2], 21).shape == (2, 5)


def test_a_row_of_zeros_is_as_near_to_all_rows() -> None:
    x, y = blobs(12)
    assert neighbour_labels(x, y, np.zeros((1, 8), np.float32), 3).tolist() == [y[:3].tolist()]


def test_memory_is_flat_in_the_number_of_queries() -> None:
    x, y = blobs(20_000, width=4)
    peaks = []
    for queries in (1_000, 4_000):
        tracemalloc.start()
        neighbour_labels(x, y, x[:queries], 5)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]

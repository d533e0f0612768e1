"""Tests of the initial embedding tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.pretraining.corpus import Corpus
from experiments.pretraining.embeddings import WINDOW, cooccurrences, embeddings, sinusoids
from tests.experiments.pretraining.conftest import VOCABULARY


def test_cooccurrences_are_counted_within_documents() -> None:
    book = Corpus(np.array([5, 6, 5, 7, 8, 7]), np.array([0, 3]), np.array([0, 3, 6]))
    counts = cooccurrences(book, 9)
    assert (counts == counts.T).all()
    assert counts[5, 6] == 2 and counts[5, 5] == 2 * np.float32(1 / 2) and counts[7, 8] == 2
    assert not counts[5:7, 7:].any() and WINDOW > 3


def test_words_of_one_context_have_similar_vectors(parts: tuple[Corpus, Corpus, Path]) -> None:
    from transformers import AutoTokenizer

    train, _, folder = parts
    table = embeddings(train, VOCABULARY, 16, 0.04, 0)
    assert table.shape == (VOCABULARY, 16) and abs(table.std() - 0.04) < 0.01
    index = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    near, far = (unit[index("ship")] @ unit[index(word)] for word in ("sail", "oven"))
    assert near > far + 0.3


def test_a_shift_of_places_is_one_rotation() -> None:
    table = sinusoids(64, 32, 0.04).astype(float)
    near = np.array([(table[place] * table[place + 3]).sum() for place in range(60)])
    assert np.allclose(near, near[0], rtol=1e-4) and abs(table.std() - 0.04) < 0.005

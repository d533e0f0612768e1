"""Tests of the examples: segments, masks and the source of second segments that do not follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.pretraining.corpus import SPECIAL, Corpus
from experiments.pretraining.examples import RANDOM, Examples, Vocabulary
from src.errors import UserError
from tests.experiments.pretraining.conftest import VOCABULARY

CLS, SEP, MASK = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))


def numbered(sizes: list[list[int]]) -> Corpus:
    """Return documents whose word pieces count upwards, so that a piece gives its place."""
    flat = [size for document in sizes for size in document]
    ends = np.cumsum([sum(document) for document in sizes])
    return Corpus(np.arange(len(SPECIAL), len(SPECIAL) + sum(flat)), np.cumsum([0, *flat[:-1]]), np.array([0, *ends]))


@pytest.mark.parametrize("length", [16, 61, 128])
def test_rows_are_two_contiguous_segments(length: int) -> None:
    rng = np.random.default_rng(1)
    book = numbered([[int(size) for size in rng.integers(1, 40, 60)] for _ in range(3)])
    examples = Examples(book, Vocabulary.of_size(5000))
    drawn = examples.draw(np.random.default_rng(2), 400, length)
    ids = drawn.ids.copy()
    ids.ravel()[drawn.places] = drawn.targets
    ends = set(book.starts.tolist()) | set(book.documents.tolist())
    document = np.searchsorted(book.documents, np.arange(len(book.tokens)), side="right")
    for row, segments, random in zip(ids, drawn.segments, drawn.random, strict=True):
        middle, last = np.flatnonzero(row == SEP)
        assert row[0] == CLS and last == length - 1
        first, second = row[1:middle] - len(SPECIAL), row[middle + 1 : last] - len(SPECIAL)
        assert (
            (np.diff(first) == 1).all()
            and (np.diff(second) == 1).all()
            and min(len(first), len(second)) >= (length - 3) // 8
        )
        assert (segments == (np.arange(length) > middle)).all()
        assert first[-1] + 1 in ends and second[0] in ends
        assert (second[0] == first[-1] + 1) if random != RANDOM else (document[second[0]] != document[first[0]])
    assert 0.4 < drawn.random.mean() < 0.6


def test_masks_have_the_shares_of_the_paper(parts: tuple[Corpus, Corpus, Path]) -> None:
    examples = Examples(parts[0], Vocabulary.of_size(VOCABULARY))
    drawn = [examples.draw(np.random.default_rng(seed), 64, 64) for seed in range(20)]
    masked = sum(len(batch.places) for batch in drawn)
    assert abs(masked / (20 * 64 * 61) - 0.15) < 0.01
    now = np.concatenate([batch.ids.ravel()[batch.places] for batch in drawn])
    then = np.concatenate([batch.targets for batch in drawn])
    assert then.min() >= len(SPECIAL)
    assert abs((now == MASK).mean() - 0.8) < 0.02
    assert abs((now == then).mean() - 0.1) < 0.02
    same, other = (examples.draw(np.random.default_rng(seed), 64, 64) for seed in (0, 1))
    assert (same.ids == drawn[0].ids).all() and (same.ids != other.ids).any()


@pytest.mark.parametrize("length", [16, 32])
def test_negatives_of_the_same_document_change_nothing_else(length: int) -> None:
    rng = np.random.default_rng(1)
    book = numbered([[int(size) for size in rng.integers(1, 12, 80)] for _ in range(3)])
    other, same = (
        Examples(book, Vocabulary.of_size(5000), negatives).draw(np.random.default_rng(3), 500, length)
        for negatives in ("other_document", "same_document")
    )
    assert (
        (other.random == same.random).all()
        and (other.places == same.places).all()
        and (other.segments == same.segments).all()
    )
    changed = (other.ids != same.ids).any(axis=1)
    assert (changed <= (other.random == RANDOM)).all() and changed.sum() > 200
    first = np.where(other.segments == 0, other.ids, 0)
    kept = np.isin(np.arange(other.ids.size), other.places).reshape(other.ids.shape)
    assert (np.where(kept, 0, first) == np.where(kept, 0, np.where(same.segments == 0, same.ids, 0))).all()
    ids = same.ids.copy()
    ids.ravel()[same.places] = same.targets
    document = np.searchsorted(book.documents, np.arange(len(book.tokens)), side="right")
    for row in ids[same.random == RANDOM]:
        middle, last = np.flatnonzero(row == SEP)
        a, b = row[1:middle] - len(SPECIAL), row[middle + 1 : last] - len(SPECIAL)
        assert document[a[0]] == document[b[0]] and b[0] in book.starts
        assert abs(b[0] - a[-1] - 1) >= length - 3 and not set(a) & set(b)


def test_negatives_of_the_same_document_need_long_documents() -> None:
    book = numbered([[5] * 8 for _ in range(3)])
    with pytest.raises(UserError, match="same_document"):
        Examples(book, Vocabulary.of_size(500), "same_document").draw(np.random.default_rng(0), 4, 19)

"""Segment pairs with masked word pieces, drawn from flat token arrays: every row fills its length, so nothing is padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.pretraining.corpus import SPECIAL, Corpus
from src.errors import UserError

CLS, SEP, MASK = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
MASKED = 0.15  # share of the word pieces to predict; of them 80 % become [MASK], 10 % a random piece, 10 % stay
CONSECUTIVE, RANDOM = 0, 1  # classes of BERT's next-sentence head


@dataclass(frozen=True)
class Batch:
    """Rows of one length.

    Attributes
    ----------
    ids, segments : int64 arrays of (rows, tokens)
    places : int64 array of (masked,)
        Which of the rows * tokens positions are predicted.
    targets : int64 array of (masked,)
        The pieces that stood there.
    random : int64 array of (rows,)
        0 where the second segment follows the first, 1 where it comes from another document.
    """

    ids: np.ndarray
    segments: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    random: np.ndarray


class Examples:
    """Draws batches from a corpus. The same generator state gives the same batch.

    References
    ----------
    Devlin et al. (2019), BERT, appendix A.1 and A.2.
    """

    def __init__(self, corpus: Corpus, vocab_size: int) -> None:
        self.corpus = corpus
        self.vocab_size = vocab_size
        document = np.searchsorted(corpus.documents, corpus.starts, side="right") - 1
        self._before = corpus.starts - corpus.documents[document]
        self._after = corpus.documents[document + 1] - corpus.starts
        self._document = document
        self._fitting: dict[int, np.ndarray] = {}

    def draw(self, rng: np.random.Generator, rows: int, length: int) -> Batch:
        """Rows of `length` word pieces: [CLS] A [SEP] B [SEP], where B begins at a sentence and A ends before one."""
        starts = self.corpus.starts
        room = length - len(("[CLS]", "[SEP]", "[SEP]"))
        least = room // 8
        boundary = self._boundaries(rng, rows, room)
        other = self._elsewhere(rng, boundary, room)
        wanted = rng.integers(least, room - least, rows, endpoint=True)
        end = starts[boundary]
        begin = starts[np.searchsorted(starts, end - wanted)]
        # Where whole sentences leave too little, the first is cut in front, so that A still ends where B may begin.
        begin = np.where(begin > end - least, end - wanted, begin)
        random = rng.integers(0, 2, rows)
        follows = np.where(random == RANDOM, starts[other], end)
        return self._mask(rng, *self._lay_out(begin, end - begin, follows, length), random)

    def _boundaries(self, rng: np.random.Generator, rows: int, room: int) -> np.ndarray:
        """Sentences with enough text of their document on both sides."""
        if room not in self._fitting:
            fitting = np.flatnonzero((self._before >= room) & (self._after >= room))
            if len(np.unique(self._document[fitting])) < 2:
                raise UserError(f"rows of {room + 3} word pieces need two documents longer than that. Use shorter rows or longer texts.")
            self._fitting[room] = fitting
        return rng.choice(self._fitting[room], rows)

    def _elsewhere(self, rng: np.random.Generator, boundary: np.ndarray, room: int) -> np.ndarray:
        """A sentence of another document for each."""
        other = self._boundaries(rng, len(boundary), room)
        while len(same := np.flatnonzero(self._document[other] == self._document[boundary])):
            other[same] = self._boundaries(rng, len(same), room)
        return other

    def _lay_out(self, begin: np.ndarray, size: np.ndarray, follows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        column = np.arange(length)
        size = size[:, None]
        inside_first = (column >= 1) & (column <= size)
        inside_second = (column >= size + 2) & (column < length - 1)
        source = np.where(inside_first, begin[:, None] + column - 1, np.where(inside_second, follows[:, None] + column - size - 2, 0))
        ids = self.corpus.tokens[source].astype(np.int64)
        ids[:, 0] = CLS
        ids[~(inside_first | inside_second) & (column > 0)] = SEP
        return ids, (column >= size + 2).astype(np.int64), inside_first | inside_second

    def _mask(self, rng: np.random.Generator, ids: np.ndarray, segments: np.ndarray, content: np.ndarray, random: np.ndarray) -> Batch:
        chosen = content & (rng.random(ids.shape) < MASKED)
        places = np.flatnonzero(chosen)
        targets = ids.ravel()[places]
        fate = rng.random(len(places))
        anything = rng.integers(len(SPECIAL), self.vocab_size, len(places))
        ids.ravel()[places] = np.where(fate < 0.8, MASK, np.where(fate < 0.9, anything, targets))
        return Batch(ids, segments, places, targets, random)

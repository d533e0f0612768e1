"""Segment pairs with masked word pieces, drawn from flat token arrays: every row fills its length, so nothing is padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.pretraining.corpus import SPECIAL, Corpus
from experiments.pretraining.recipe import NEGATIVES
from src.errors import UserError

MASKED = 0.15  # share of the word pieces to predict; of them 80 % become [MASK], 10 % a random piece, 10 % stay
CONSECUTIVE, RANDOM = 0, 1  # classes of BERT's next-sentence head


@dataclass(frozen=True)
class Vocabulary:
    """What drawing rows needs to know of a tokenizer: ids of three special tokens, and of all pieces that are not special, ascending."""

    cls: int
    sep: int
    mask: int
    ordinary: np.ndarray

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """The vocabulary of a BERT tokenizer; UserError where it lacks a special token."""
        found = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if None in found:
            raise UserError("the tokenizer lacks one of [CLS], [SEP] and [MASK]: pre-training needs those of a BERT.")
        return cls(*found, np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids))

    @classmethod
    def own(cls, size: int) -> Vocabulary:
        """The vocabulary of a tokenizer that `corpus.train_tokenizer` made."""
        first, second, third = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
        return cls(first, second, third, np.arange(len(SPECIAL), size))


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
        0 where the second segment follows the first, 1 where it comes from elsewhere.
    """

    ids: np.ndarray
    segments: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    random: np.ndarray


class Examples:
    """Draws batches from a corpus. The same generator state gives the same batch.

    Where second segments that do not follow come from (`negatives`) changes nothing else: first segments, lengths, masks and which rows
    are consecutive are the same for either choice.

    References
    ----------
    Devlin et al. (2019), BERT, appendix A.1 and A.2.
    """

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, negatives: str = "other_document") -> None:
        assert negatives in NEGATIVES
        self.corpus = corpus
        self.vocabulary = vocabulary
        self.negatives = negatives
        document = np.searchsorted(corpus.documents, corpus.starts, side="right") - 1
        self._before = corpus.starts - corpus.documents[document]
        self._after = corpus.documents[document + 1] - corpus.starts
        self._document = document
        self._fitting: dict[int, np.ndarray] = {}
        self._far: dict[int, tuple[np.ndarray, ...]] = {}

    def draw(self, rng: np.random.Generator, rows: int, length: int) -> Batch:
        """Rows of `length` word pieces: [CLS] A [SEP] B [SEP], where B begins at a sentence and A ends before one."""
        starts = self.corpus.starts
        room = length - len(("[CLS]", "[SEP]", "[SEP]"))
        least = room // 8
        boundary = self._boundaries(rng, rows, room)
        other = self._elsewhere(rng, boundary, room)
        if self.negatives == "same_document":
            # A generator beside: it leaves all other draws as they are.
            other = self._farther(rng.spawn(1)[0], boundary, room)
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
                raise UserError(
                    f"rows of {room + 3} word pieces need two documents longer than that. Use shorter rows or longer texts."
                )
            self._fitting[room] = fitting
        return rng.choice(self._fitting[room], rows)

    def _elsewhere(self, rng: np.random.Generator, boundary: np.ndarray, room: int) -> np.ndarray:
        """A sentence of another document for each."""
        other = self._boundaries(rng, len(boundary), room)
        while len(same := np.flatnonzero(self._document[other] == self._document[boundary])):
            other[same] = self._boundaries(rng, len(same), room)
        return other

    def _farther(self, rng: np.random.Generator, boundary: np.ndarray, room: int) -> np.ndarray:
        """A sentence of the same document for each, a whole row's room before or after: neither segment's text can be met again."""
        if room not in self._far:
            fitting = self._fitting[room]
            document, place = self._document[fitting], self.corpus.starts[fitting]
            span = (
                int(self.corpus.documents[-1]) + 2 * room + 1
            )  # documents laid apart, so that one search finds places within one
            spread = place + document * span
            first, last = (np.searchsorted(document, document, side=side) for side in ("left", "right"))
            before = np.searchsorted(spread, spread - room, side="right")
            after = np.searchsorted(spread, spread + room, side="left")
            if ((before - first) + (last - after) <= 0).any():
                raise UserError(
                    f"rows of {room + 3} word pieces with schedule.negatives=same_document need documents of at least four rows' length. "
                    "Use shorter rows, longer texts or other_document."
                )
            self._far[room] = (first, before, after, last)
        fitting = self._fitting[room]
        first, before, after, last = (bound[np.searchsorted(fitting, boundary)] for bound in self._far[room])
        drawn = rng.integers(0, (before - first) + (last - after))
        return fitting[np.where(drawn < before - first, first + drawn, after + drawn - (before - first))]

    def _lay_out(
        self, begin: np.ndarray, size: np.ndarray, follows: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        column = np.arange(length)
        size = size[:, None]
        inside_first = (column >= 1) & (column <= size)
        inside_second = (column >= size + 2) & (column < length - 1)
        source = np.where(
            inside_first, begin[:, None] + column - 1, np.where(inside_second, follows[:, None] + column - size - 2, 0)
        )
        ids = self.corpus.tokens[source].astype(np.int64)
        ids[:, 0] = self.vocabulary.cls
        ids[~(inside_first | inside_second) & (column > 0)] = self.vocabulary.sep
        return ids, (column >= size + 2).astype(np.int64), inside_first | inside_second

    def _mask(
        self, rng: np.random.Generator, ids: np.ndarray, segments: np.ndarray, content: np.ndarray, random: np.ndarray
    ) -> Batch:
        chosen = content & (rng.random(ids.shape) < MASKED)
        places = np.flatnonzero(chosen)
        targets = ids.ravel()[places]
        fate = rng.random(len(places))
        ordinary = self.vocabulary.ordinary
        anything = ordinary[rng.integers(0, len(ordinary), len(places))]
        ids.ravel()[places] = np.where(fate < 0.8, self.vocabulary.mask, np.where(fate < 0.9, anything, targets))
        return Batch(ids, segments, places, targets, random)

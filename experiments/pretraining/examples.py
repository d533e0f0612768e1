"""Segment pairs with masked word pieces, drawn from flat token arrays; rows need no padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.pretraining.corpus import SPECIAL, Corpus
from experiments.pretraining.recipe import NEGATIVES
from src.errors import UserError

MASKED = 0.15  # share of the word pieces to predict: 80 % become [MASK], 10 % a random piece, 10 % stay
CONSECUTIVE, RANDOM = 0, 1  # classes of BERT's next-sentence head


@dataclass(frozen=True)
class Vocabulary:
    """Holds the ids of three special tokens and, ascending, of all pieces that are not special."""

    cls: int
    sep: int
    mask: int
    ordinary: np.ndarray

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """Return the vocabulary of a BERT tokenizer.

        Raises
        ------
        UserError
            The tokenizer lacks one of the three special tokens.
        """
        found = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if None in found:
            raise UserError("the tokenizer lacks one of [CLS], [SEP] and [MASK]: pre-training needs those of a BERT.")
        return cls(*found, np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids))

    @classmethod
    def of_size(cls, size: int) -> Vocabulary:
        """Return the vocabulary of a tokenizer of `size` pieces from `corpus.train_tokenizer`."""
        first, second, third = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
        return cls(first, second, third, np.arange(len(SPECIAL), size))


@dataclass(frozen=True)
class Batch:
    """Holds rows of one length.

    Attributes
    ----------
    ids, segments : int64 arrays of (rows, tokens)
    places : int64 array of (masked,)
        Predicted positions, counted over the flattened rows.
    targets : int64 array of (masked,)
        The pieces at these positions before masking.
    random : int64 array of (rows,)
        0 where the second segment follows the first, 1 where it comes from elsewhere.
    """

    ids: np.ndarray
    segments: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    random: np.ndarray


class Examples:
    """Draws batches from a corpus; the same generator state gives the same batch.

    `negatives` is the source of second segments that do not follow. Either choice gives the same
    first segments, lengths, masks and consecutive rows.

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
        """Return rows [CLS] A [SEP] B [SEP] of `length` pieces, where A ends a sentence."""
        starts = self.corpus.starts
        room = length - len(("[CLS]", "[SEP]", "[SEP]"))
        least = room // 8
        boundary = self._boundaries(rng, rows, room)
        other = self._from_other_document(rng, boundary, room)
        if self.negatives == "same_document":
            # A generator of its own, so that all other draws stay the same.
            other = self._from_same_document(rng.spawn(1)[0], boundary, room)
        wanted = rng.integers(least, room - least, rows, endpoint=True)
        end = starts[boundary]
        begin = starts[np.searchsorted(starts, end - wanted)]
        # If whole sentences leave too little, A is cut in front, so that it still ends a sentence.
        begin = np.where(begin > end - least, end - wanted, begin)
        random = rng.integers(0, 2, rows)
        follows = np.where(random == RANDOM, starts[other], end)
        return self._mask(rng, *self._lay_out(begin, end - begin, follows, length), random)

    def _boundaries(self, rng: np.random.Generator, rows: int, room: int) -> np.ndarray:
        """Draw sentences with at least `room` pieces of their document on both sides."""
        if room not in self._fitting:
            fitting = np.flatnonzero((self._before >= room) & (self._after >= room))
            if len(np.unique(self._document[fitting])) < 2:
                raise UserError(
                    f"rows of {room + 3} word pieces need two longer documents. Use shorter rows or longer texts."
                )
            self._fitting[room] = fitting
        return rng.choice(self._fitting[room], rows)

    def _from_other_document(self, rng: np.random.Generator, boundary: np.ndarray, room: int) -> np.ndarray:
        """Draw a sentence of another document for each boundary."""
        other = self._boundaries(rng, len(boundary), room)
        while len(same := np.flatnonzero(self._document[other] == self._document[boundary])):
            other[same] = self._boundaries(rng, len(same), room)
        return other

    def _from_same_document(self, rng: np.random.Generator, boundary: np.ndarray, room: int) -> np.ndarray:
        """Draw a sentence of the same document at least `room` pieces from each boundary."""
        if room not in self._far:
            fitting = self._fitting[room]
            document, place = self._document[fitting], self.corpus.starts[fitting]
            # An offset for each document, so that one search finds places within a document.
            span = int(self.corpus.documents[-1]) + 2 * room + 1
            spread = place + document * span
            first, last = (np.searchsorted(document, document, side=side) for side in ("left", "right"))
            before = np.searchsorted(spread, spread - room, side="right")
            after = np.searchsorted(spread, spread + room, side="left")
            if ((before - first) + (last - after) <= 0).any():
                raise UserError(
                    f"rows of {room + 3} word pieces with schedule.negatives=same_document need documents of "
                    "at least four rows' length. Use shorter rows, longer texts or other_document."
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

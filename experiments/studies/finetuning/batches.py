"""Tokenised rows and the batches that are made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.models.tokenizer import Tokens

WINDOW = 16  # batches within which rows are sorted by length, so that a batch needs little padding


@dataclass(frozen=True)
class TokenRows:
    """Holds the word pieces and labels of a split.

    Attributes
    ----------
    tokens : Tokens
    label : (rows,) int64 classes or float64 targets
    padding : int
        Id that fills a batch's shorter rows.
    """

    tokens: Tokens
    label: np.ndarray
    padding: int

    def take(self, chosen: np.ndarray) -> TokenRows:
        """Return the rows at these indices, in their order."""
        lengths = self.tokens.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.tokens.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        ids, segments, special = (
            array[places] for array in (self.tokens.ids, self.tokens.segments, self.tokens.special)
        )
        return TokenRows(Tokens(ids, segments, special, offsets, 0), self.label[chosen], self.padding)

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids, segments and mask of these rows, each of shape (rows, longest)."""
        lengths = self.tokens.lengths[chosen][:, None]
        within = np.arange(lengths.max())
        mask = within < lengths
        places = self.tokens.offsets[chosen][:, None] + np.minimum(within, lengths - 1)
        ids = np.where(mask, self.tokens.ids[places], self.padding).astype(np.int64)
        segments = np.where(mask, self.tokens.segments[places], 0).astype(np.int64)
        return torch.from_numpy(ids), torch.from_numpy(segments), torch.from_numpy(mask)


def shuffled_batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the row indices of an epoch: batches of rows of similar length, in random order.

    Parameters
    ----------
    lengths : (rows,) int
        Word pieces of each row.
    size : int
        Rows of a batch.
    """
    places = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(places), size * WINDOW):
        window = places[start : start + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[first : first + size] for first in range(0, len(window), size)]
    for number in rng.permutation(len(batches)):
        yield batches[number]

"""Tokenize a column of texts, or of pairs of texts, with a checkpoint's tokenizer."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint
from src.models.restricted_folder import restricted_folder
from src.models.wordpieces import row_blocks, set_lower_case, tokenizer_error, truncate_texts
from src.runtime.garbage import garbage_collection_paused

ROWS = 8192  # given to the tokenizer at once: bounds the memory of its Python objects

logging.getLogger("transformers").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Tokens:
    """The word pieces of a column: row i is ``ids[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    ids : int32 array (tokens,)
    segments : int8 array (tokens,)
        Token type ids.
    special : bool array (tokens,)
        True at the tokens that the tokenizer added.
    offsets : int64 array (rows + 1,)
    truncated : int
        Rows that were longer than the limit.
    """

    ids: np.ndarray
    segments: np.ndarray
    special: np.ndarray
    offsets: np.ndarray
    truncated: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, special tokens included, (rows,)."""
        return np.diff(self.offsets)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the arguments of `Encoder.forward` for some rows.

        Returns
        -------
        ids, segments, special : arrays (rows, tokens)
            Shorter rows are padded on the right with copies of their last token, which any model embeds.
        lengths : int64 array (rows,) or None
            Tokens of each row; None if all have the same number.
        """
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        longest = int(lengths.max())
        places = starts[:, None] + np.minimum(np.arange(longest), lengths[:, None] - 1)
        padded = None if lengths.min() == longest else lengths
        return self.ids[places], self.segments[places], self.special[places], padded


class Tokenizer:
    """A checkpoint's tokenizer, which truncates to a given limit and does not pad.

    Truncation and padding that the tokenizer's files state are overridden.
    """

    def __init__(self, checkpoint: Checkpoint, max_length: int) -> None:
        self.max_length = max_length
        self._label = checkpoint.label
        self._tokenizer = load_tokenizer(checkpoint)

    def __call__(self, text: Any, text_pair: Any | None) -> Tokens:
        """Tokenize a column.

        Parameters
        ----------
        text, text_pair : arrow arrays of strings of shape (rows,)
            A pair becomes ``[CLS] A [SEP] B [SEP]``; the longer side is truncated first.
        """
        with garbage_collection_paused():
            return self._tokenize(text, text_pair)

    def _tokenize(self, text: Any, text_pair: Any | None) -> Tokens:
        chunks = []
        truncated = 0
        for start, size in row_blocks(text, text_pair, ROWS):
            sides = [side.slice(start, size) for side in (text, text_pair) if side is not None]
            first = truncate_texts(self._tokenizer, sides[0], self.max_length, *sides[1:])
            second = truncate_texts(self._tokenizer, sides[1], self.max_length, sides[0]) if sides[1:] else None
            rows = self._encode(first, second, truncation=True)
            lengths = np.fromiter((len(ids) for ids in rows["input_ids"]), np.int64, len(first))
            truncated += self._count_truncated(first, second, np.flatnonzero(lengths == self.max_length))
            chunks.append(
                (
                    _flat(rows["input_ids"], np.int32),
                    _flat(rows.get("token_type_ids"), np.int8),
                    _flat(rows["special_tokens_mask"], np.bool_),
                    lengths,
                )
            )
        ids, segments, special, lengths = (np.concatenate(column) for column in zip(*chunks, strict=True))
        if not len(segments):
            segments = np.zeros(len(ids), np.int8)
        return Tokens(ids, segments, special, np.concatenate([[0], np.cumsum(lengths)]), truncated)

    def _count_truncated(self, first: list[str], second: list[str] | None, full: np.ndarray) -> int:
        """Return how many of the rows that fill the limit are longer than it."""
        if not len(full):
            return 0
        again = self._encode(
            [first[i] for i in full], None if second is None else [second[i] for i in full], truncation=False
        )
        return sum(len(ids) > self.max_length for ids in again["input_ids"])

    def _encode(self, text: list[str], text_pair: list[str] | None, *, truncation: bool) -> Any:
        try:
            return self._tokenizer(
                text,
                text_pair,
                truncation="longest_first" if truncation else False,
                max_length=self.max_length if truncation else None,
                padding=False,
                return_special_tokens_mask=True,
                return_attention_mask=False,
                verbose=False,
            )
        except Exception as error:  # the library passes on what its models raise
            raise tokenizer_error(self._label, error) from error


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Load a checkpoint's fast tokenizer, without the truncation and padding that its files state.

    Raises
    ------
    UserError
        The library cannot load it, or its casing is fixed and `model.do_lower_case` is set.
    """
    from transformers import AutoTokenizer

    try:
        if checkpoint.original is not None:
            tokenizer = checkpoint.original.tokenizer()
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                restricted_folder(checkpoint), trust_remote_code=False, local_files_only=True
            )
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_padding()
            backend.no_truncation()
        if checkpoint.lower_case is not None:
            set_lower_case(tokenizer, checkpoint.lower_case, checkpoint.label)
        return tokenizer
    except UserError:
        raise
    except Exception as error:  # the library passes on what its parsers raise
        reason, hint = explain_load_error(error) or (
            flatten(error, 160),
            "A model folder needs its tokenizer files beside the weights.",
        )
        raise UserError(f"the tokenizer of '{checkpoint.label}' cannot be loaded: {reason} {hint}") from error


def explain_load_error(error: Exception) -> tuple[str, str] | None:
    """Return reason and way out of an error whose message advises an argument of the library.

    None for other errors.
    """
    if "trust_remote_code" in str(error):
        return (
            "it needs code of its own, and a checkpoint's code is not run.",
            "Choose a model whose architecture transformers itself knows.",
        )
    if "ignore_mismatched_sizes" in str(error):
        return (
            "its weights have other shapes than config.json says.",
            "Get config.json and the weights of one checkpoint.",
        )
    return None


def _flat(rows: Sequence[Sequence[int]] | None, dtype: Any) -> np.ndarray:
    """Concatenate lists of numbers into one array, empty if there are no lists."""
    if rows is None:
        return np.zeros(0, dtype)
    return np.fromiter(itertools.chain.from_iterable(rows), dtype, sum(map(len, rows)))

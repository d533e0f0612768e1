"""Inspect a tokenizer's special tokens and casing, and cut long texts before it reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from src.errors import UserError, flatten

CASED_SHARE = 0.01  # share of pieces with capitals that only a cased vocabulary exceeds
SAMPLES = ("a", "the cat sat", "\u2603 x")  # the last holds a character that few vocabularies have
CHARACTERS_PER_PIECE = 32  # length of the first prefix that is tried; English has four to five
SPARE_PIECES = 16  # beyond the limit, so that the cut cannot change the pieces that are kept
MAX_CHARACTERS = 1 << 20  # longest prefix, of texts with few pieces (blanks, one long word)
BLOCK_CHARACTERS = 1 << 23  # characters given to the tokenizer at a time


@dataclass(frozen=True)
class TokenizerTraits:
    """What a tokenizer adds to a text and loses of it.

    Attributes
    ----------
    first : int or None
        The special token that it puts before every text; None if it puts none there.
    unknown : int or None
        The word piece that replaces what the vocabulary lacks.
    lowers_capitals : bool
        Whether it lower-cases although its vocabulary has pieces with capitals.
    """

    first: int | None
    unknown: int | None
    lowers_capitals: bool


def inspect_tokenizer(tokenizer: Any, label: str) -> TokenizerTraits:
    """Return the traits of a tokenizer, found by encoding a few texts.

    Raises
    ------
    UserError
        It cannot encode them: for example, its unknown piece is not in its vocabulary.
    """
    try:
        rows = [tokenizer(text, return_special_tokens_mask=True) for text in SAMPLES]
        rows.append(tokenizer(SAMPLES[0], SAMPLES[1], return_special_tokens_mask=True))
    except Exception as error:  # the library passes on what its models raise
        raise tokenizer_error(label, error) from error
    first = {row["input_ids"][0] if row["input_ids"] and row["special_tokens_mask"][0] else None for row in rows}
    unknown = tokenizer.unk_token_id
    return TokenizerTraits(
        first.pop() if len(first) == 1 else None, None if unknown is None else int(unknown), _lowers_capitals(tokenizer)
    )


def tokenizer_error(label: str, error: Exception) -> UserError:
    """Return the error for a tokenizer that cannot encode text."""
    return UserError(
        f"the tokenizer of '{label}' cannot encode text: {flatten(error, 160).rstrip('.')}.\n"
        "Its vocabulary and its settings may belong to different checkpoints: get its files again."
    )


def set_lower_case(tokenizer: Any, lower: bool, label: str) -> None:
    """Make a WordPiece tokenizer lower-case texts, or not.

    Accents are removed with the capitals, as in BERT's own tokenizer.

    Raises
    ------
    UserError
        The tokenizer has no normaliser like BERT's.
    """
    from tokenizers import normalizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = getattr(backend, "normalizer", None)
    if not isinstance(normalizer, normalizers.BertNormalizer):
        raise UserError(
            f"model.do_lower_case={str(lower).lower()}: '{label}' has no WordPiece tokenizer like BERT's, so that "
            "its casing is fixed. "
            "Leave it out."
        )
    normalizer.lowercase = lower
    normalizer.strip_accents = None


def _lowers_capitals(tokenizer: Any) -> bool:
    """Return whether a tokenizer lower-cases although its vocabulary has capitals."""
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normalizer is None or normalizer.normalize_str("Abc") != normalizer.normalize_str("abc"):
        return False
    special = set(tokenizer.all_special_tokens)
    pieces = [piece for piece in tokenizer.get_vocab() if piece not in special and not piece.startswith("[unused")]
    return sum(piece != piece.lower() for piece in pieces) > CASED_SHARE * len(pieces)


def count_rows_with_capitals(text: Any) -> int:
    """Return how many rows of an arrow array of strings hold a capital letter."""
    return int(pc.sum(pc.not_equal(pc.utf8_lower(text), text)).as_py() or 0)


def row_blocks(text: Any, text_pair: Any | None, rows: int) -> list[tuple[int, int]]:
    """Return slices (start, length) of at most `rows` rows and `BLOCK_CHARACTERS` characters.

    A row that is longer is a slice of its own.
    """
    sizes = pc.utf8_length(text)
    if text_pair is not None:
        sizes = pc.add(sizes, pc.utf8_length(text_pair))
    slices, start, total = [], 0, 0
    for row, size in enumerate(sizes.to_pylist()):
        if row > start and (row - start >= rows or total + size > BLOCK_CHARACTERS):
            slices.append((start, row - start))
            start, total = row, 0
        total += min(size, MAX_CHARACTERS)
    return [*slices, (start, len(text) - start)]


def truncate_texts(tokenizer: Any, text: pa.Array, limit: int, beside: pa.Array | None = None) -> list[str]:
    """Remove the end of long texts, which the tokenizer would truncate after reading it.

    A prefix ends at a blank and has at least `SPARE_PIECES` word pieces more than the limit. So the
    pieces that are kept are those of the whole text, and the row still counts as truncated. A text
    without blanks is kept up to `MAX_CHARACTERS` characters.

    Parameters
    ----------
    text : arrow array of strings of shape (rows,)
    limit : int
        Word pieces of a row.
    beside : arrow array of strings of shape (rows,), optional
        The other side of each pair. Truncation takes from the longer side. So a side is cut only if
        the other has fewer characters than the limit has pieces; else both keep `MAX_CHARACTERS`.
    """
    room = limit * CHARACTERS_PER_PIECE
    long = pc.greater(pc.utf8_length(text), room)
    rows: list[str] = text.to_pylist()
    if beside is not None:
        rows = [row if row is None or len(row) <= MAX_CHARACTERS else row[:MAX_CHARACTERS] for row in rows]
        long = pc.and_(long, pc.less(pc.utf8_length(beside), limit))
    if not pc.any(long).as_py():
        return rows
    for row in pc.indices_nonzero(long).to_pylist():
        rows[row] = _prefix(tokenizer, rows[row], limit, room)
    return rows


def _prefix(tokenizer: Any, text: str, limit: int, size: int) -> str:
    """Return a prefix of more than `limit` word pieces, tried with `size` characters first."""
    while size < min(len(text), MAX_CHARACTERS):
        blank = next((place for place in range(size, size // 2, -1) if text[place].isspace()), None)
        if blank is not None:
            found = tokenizer(text[:blank], add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            if len(found) >= limit + SPARE_PIECES:
                return text[:blank]
        size *= 2
    return text[:MAX_CHARACTERS]

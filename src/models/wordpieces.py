"""What a tokenizer adds to a text and loses of it: first token, unknown pieces, capitals; and how texts of any length are handed to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from src.errors import UserError, flatten

CAPITALS = 0.01  # share of a vocabulary's pieces with capitals from which it was made for them; uncased ones have a few by accident
PROBES = ("a", "the cat sat", "\u2603 x")  # the last holds a sign that few vocabularies know
ROOM = 32  # characters a word piece that a prefix is first tried with; English has four to five
SPARE = 16  # word pieces beyond the limit, so that where the text is cut cannot change the pieces that are kept
LONGEST = (
    1 << 20
)  # characters of a prefix: a text that gives too few pieces until there (blanks, one endless word) is cut there
BLOCK = 1 << 23  # characters handed to the tokenizer at once


@dataclass(frozen=True)
class Traits:
    """What is known of a tokenizer.

    Attributes
    ----------
    first : int or None
        The special token that it puts before every text; None where it puts none there.
    unknown : int or None
        The piece that stands for what the vocabulary lacks.
    lowers_capitals : bool
        Whether it lower-cases although its vocabulary has pieces with capitals.
    """

    first: int | None
    unknown: int | None
    lowers_capitals: bool


def traits(tokenizer: Any, label: str) -> Traits:
    """Try a tokenizer on a few texts.

    Raises
    ------
    UserError
        It cannot encode them, as where its unknown piece is not in its vocabulary.
    """
    try:
        rows = [tokenizer(text, return_special_tokens_mask=True) for text in PROBES]
        rows.append(tokenizer(PROBES[0], PROBES[1], return_special_tokens_mask=True))
    except Exception as error:  # the library raises whatever its models raise
        raise unusable(label, error) from error
    begins = {row["input_ids"][0] if row["input_ids"] and row["special_tokens_mask"][0] else None for row in rows}
    unknown = tokenizer.unk_token_id
    return Traits(
        begins.pop() if len(begins) == 1 else None,
        None if unknown is None else int(unknown),
        _lowers_capitals(tokenizer),
    )


def unusable(label: str, error: Exception) -> UserError:
    """The error for a tokenizer that fails at encoding."""
    return UserError(
        f"the tokenizer of '{label}' cannot encode text: {flatten(error, 160).rstrip('.')}.\n"
        "Its vocabulary and its settings may be of different checkpoints: get its files again."
    )


def set_lower_case(tokenizer: Any, lower: bool, label: str) -> None:
    """Let a WordPiece tokenizer lower-case, or not; accents are stripped with the capitals, as in BERT's own.

    Raises
    ------
    UserError
        The tokenizer is of another kind.
    """
    from tokenizers import normalizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = getattr(backend, "normalizer", None)
    if not isinstance(normalizer, normalizers.BertNormalizer):
        raise UserError(
            f"model.do_lower_case={str(lower).lower()}: '{label}' has no WordPiece tokenizer like BERT's, so that its casing is fixed. "
            "Leave it out."
        )
    normalizer.lowercase = lower
    normalizer.strip_accents = None


def _lowers_capitals(tokenizer: Any) -> bool:
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normalizer is None or normalizer.normalize_str("Abc") != normalizer.normalize_str("abc"):
        return False
    special = set(tokenizer.all_special_tokens)
    pieces = [piece for piece in tokenizer.get_vocab() if piece not in special and not piece.startswith("[unused")]
    return sum(piece != piece.lower() for piece in pieces) > CAPITALS * len(pieces)


def with_capitals(text: Any) -> int:
    """Rows of an arrow array of strings that hold a capital letter."""
    return int(pc.sum(pc.not_equal(pc.utf8_lower(text), text)).as_py() or 0)


def blocks(text: Any, text_pair: Any | None, rows: int) -> list[tuple[int, int]]:
    """Slices (start, length) of at most `rows` rows and, one long row apart, `BLOCK` characters."""
    sizes = pc.utf8_length(text)
    if text_pair is not None:
        sizes = pc.add(sizes, pc.utf8_length(text_pair))
    slices, start, total = [], 0, 0
    for row, size in enumerate(sizes.to_pylist()):
        if row > start and (row - start >= rows or total + size > BLOCK):
            slices.append((start, row - start))
            start, total = row, 0
        total += min(size, LONGEST)
    return [*slices, (start, len(text) - start)]


def cut(tokenizer: Any, text: pa.Array, limit: int, beside: pa.Array | None = None) -> list[str]:
    """Texts without the tail that no model of `limit` word pieces reads: a long text costs what its beginning costs.

    A prefix ends at a blank and is taken where it gives `SPARE` pieces more than the limit, so that the pieces kept are those of the
    whole text, and it still counts as truncated. A text without blanks is handed over whole, up to `LONGEST` characters.

    Parameters
    ----------
    beside : array of strings of shape (rows,), optional
        The other side of each pair. Which side is the longer decides what truncation takes from either, so a side is cut only where the
        other has fewer characters than the limit has pieces; else both are handed over whole, up to `LONGEST` characters each.
    """
    room = limit * ROOM
    long = pc.greater(pc.utf8_length(text), room)
    rows: list[str] = text.to_pylist()
    if beside is not None:
        rows = [row if row is None or len(row) <= LONGEST else row[:LONGEST] for row in rows]
        long = pc.and_(long, pc.less(pc.utf8_length(beside), limit))
    if not pc.any(long).as_py():
        return rows
    for row in pc.indices_nonzero(long).to_pylist():
        rows[row] = _prefix(tokenizer, rows[row], limit, room)
    return rows


def _prefix(tokenizer: Any, text: str, limit: int, room: int) -> str:
    size = room
    while size < min(len(text), LONGEST):
        blank = next((place for place in range(size, size // 2, -1) if text[place].isspace()), None)
        if blank is not None:
            found = tokenizer(text[:blank], add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            if len(found) >= limit + SPARE:
                return text[:blank]
        size *= 2
    return text[:LONGEST]

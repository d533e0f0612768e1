"""Warn of what a tokenizer loses of a column's texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from src.features.inputs import EncoderInput
from src.models.encoder_info import EncoderInfo
from src.models.tokenizer import Tokens
from src.models.wordpieces import count_rows_with_capitals

TRUNCATED_SHARE = 0.01  # share of the rows above which a warning is logged
UNKNOWN_SHARE = 0.05  # share of the word pieces above which a warning is logged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextLosses:
    """Counts of what tokenizing lost of a column."""

    truncated: int  # rows that were longer than the limit
    unknown: int  # word pieces that replace what the vocabulary lacks
    empty: int  # rows without a word piece
    lowered: int  # rows whose capitals were lowered although the vocabulary has capitals
    pieces: int  # word pieces without the special tokens


def count_losses(column: EncoderInput, tokens: Tokens, info: EncoderInfo) -> TextLosses:
    """Count what tokenizing lost of a column's texts."""
    content = np.zeros(len(tokens.special) + 1, np.int64)
    np.cumsum(~tokens.special, out=content[1:])
    sides = [side for side in (column.text, column.text_pair) if side is not None]
    unknown = info.unknown_token
    return TextLosses(
        truncated=tokens.truncated,
        unknown=0 if unknown is None else int(np.count_nonzero(tokens.ids == unknown)),
        empty=int(np.count_nonzero(np.diff(content[tokens.offsets]) == 0)),
        lowered=max(map(count_rows_with_capitals, sides)) if info.lowers_capitals else 0,
        pieces=int(content[-1]),
    )


def loss_warnings(losses: TextLosses, column: EncoderInput, info: EncoderInfo) -> Iterator[str]:
    """Yield a line for each kind of loss that is not rare."""
    rows = len(column)
    if losses.truncated > TRUNCATED_SHARE * rows:
        raised = f"model.max_length raises the limit, up to {info.positions}"
        more = raised if info.positions > info.max_length else "the model reads no more"
        yield (
            f"{column.label}: {losses.truncated:,} of {rows:,} rows ({losses.truncated / rows:.1%}) are longer than "
            f"{info.max_length} word pieces and were cut: {more}."
        )
    if losses.pieces and losses.unknown > UNKNOWN_SHARE * losses.pieces:
        yield (
            f"{column.label}: {losses.unknown:,} of {losses.pieces:,} word pieces "
            f"({losses.unknown / losses.pieces:.0%}) are unknown to the vocabulary: its language or casing may differ "
            "from that of the texts. Choose another model, or set model.do_lower_case."
        )
    if losses.lowered:
        yield (
            f"{column.label}: the tokenizer lower-cases, and the vocabulary has capitals: {losses.lowered:,} of "
            f"{rows:,} rows lost some. Set model.do_lower_case=false to keep them, or model.do_lower_case=true to "
            "lower-case without this warning."
        )
    if losses.empty:
        yield (
            f"{column.label}: {losses.empty:,} of {rows:,} rows hold no word piece; their features are those of the "
            "special tokens alone."
        )

"""The sentences that every system reads, and their word pieces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.parity.backends import Batch
from src.errors import UserError

SENTENCES: tuple[tuple[str, str | None], ...] = (
    ("The cat sat on the mat.", None),
    ("A dog barked", "and the cat ran away"),
    ("Nobody came, for the road was closed all day.", None),
    ("yes", None),
    ("It rained in the morning", "it rained all day"),
    ("Was the mat on the cat?", "yes!"),
)


def read_sentences(path: str | None) -> list[str]:
    """Return the lines of a text file, or `SENTENCES` without one.

    Raises
    ------
    UserError
        The file cannot be read or has no text.
    """
    if not path:
        return [" ".join(filter(None, pair)) for pair in SENTENCES]
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"sentences={path} cannot be read: {error}. Name a text file with a sentence a line."
        ) from error
    if not any(line.strip() for line in lines):
        raise UserError(f"sentences={path} holds no sentence. Name a text file with a sentence a line.")
    return [line for line in lines if line.strip()]


def tokenise(tokenizer: Any, first: list[str], config: Mapping[str, Any], second: list[str] | None = None) -> Batch:
    """Return the word pieces of sentences, or of pairs, padded to the longest."""
    rows = tokenizer(
        first,
        second,
        padding="longest",
        truncation=True,
        max_length=config["max_position_embeddings"],
        return_tensors="np",
    )
    return Batch(*(rows[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")))

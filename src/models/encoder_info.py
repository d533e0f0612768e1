"""Define what is known of a checkpoint once its model has been loaded, without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EncoderInfo:
    """Sizes, limits and diagnoses of a loaded encoder, stored so that later runs need not load it.

    Attributes
    ----------
    layers : int
        L, without the embeddings.
    width : int
        Dimensions of a hidden state.
    max_length : int
        Word pieces of a row, special tokens included.
    attention, kernel : str
        Implementations in use of attention and of the linear layers.
    pooler : dict
        Status and evidence, from `diagnose_pooler`.
    positions : int
        The largest `max_length` that the model allows.
    first_token : str or None
        Why the first token cannot represent the row; None if it can.
    unknown_token : int or None
        The word piece that replaces what the vocabulary lacks.
    lowers_capitals : bool
        Whether the tokenizer lower-cases although its vocabulary has capitals.
    """

    layers: int
    width: int
    max_length: int
    attention: str
    kernel: str
    pooler: dict[str, Any]
    positions: int
    first_token: str | None
    unknown_token: int | None
    lowers_capitals: bool

    @property
    def has_pooler(self) -> bool:
        """Whether the checkpoint holds a pooler that can be used."""
        return self.pooler["status"] in ("trained", "untrained")

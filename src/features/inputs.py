"""Turn a split into the columns that an encoder reads, and name what is pooled of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from src.data.dataset import Split
from src.storage.keys import content_key

PoolingTarget = tuple[str, int]  # pooling, and layer from 0 to L


@dataclass(frozen=True)
class EncoderInput:
    """One column of texts, or of pairs of texts that are read together.

    Attributes
    ----------
    text, text_pair : arrow arrays of strings of shape (rows,)
    digest : str
        Digest of the texts in row order.
    label : str
        Name in messages and in the progress bar.
    """

    text: Any
    text_pair: Any | None
    digest: str
    label: str

    def __len__(self) -> int:
        return len(self.text)


def encoder_inputs(split: Split, pairing: str, dataset: str) -> list[EncoderInput]:
    """Return the columns of a split: one, or both sides of its pairs.

    Parameters
    ----------
    pairing : str
        "joint": pairs are one column; "separate": each side is a column.
    dataset : str
        Name of the dataset, for labels.
    """
    label = f"{dataset}/{split.name}"
    if split.text_pair is None:
        return [EncoderInput(split.text, None, split.text_digest, label)]
    if pairing == "joint":
        digest = content_key({"a": split.text_digest, "b": split.text_pair_digest})
        return [EncoderInput(split.text, split.text_pair, digest, label)]
    return [
        EncoderInput(split.text, None, split.text_digest, f"{label} a"),
        EncoderInput(split.text_pair, None, str(split.text_pair_digest), f"{label} b"),
    ]

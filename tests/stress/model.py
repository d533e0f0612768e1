"""A small random BERT and its vocabulary of synthetic words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORDS = 2000
WIDTH, LAYERS = 32, 2


def vocabulary() -> list[str]:
    """Return special tokens and synthetic words of two to four syllables."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    rng = np.random.default_rng(0)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        words["".join(rng.choice(syllables, rng.integers(2, 5)))] = None
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]


def make_model(folder: Path) -> Path:
    """Write a random BERT with a WordPiece vocabulary in the Hugging Face layout."""
    import torch
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    from tests.helpers.tokenizers import save_tokenizer

    logging.disable_progress_bar()
    pieces = vocabulary()
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(pieces),
            hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=2 * WIDTH,
            max_position_embeddings=64,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)  # a pooler with a zero bias counts as untrained
    model.save_pretrained(folder)
    save_tokenizer(folder, pieces, 64)
    return folder

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
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    from transformers.utils import logging

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
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
        mask_token="[MASK]",
        model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder

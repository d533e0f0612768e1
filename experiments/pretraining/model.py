"""BERT with both pre-training heads: its initial weights, its loss and its checkpoint."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from transformers import BertConfig, BertForPreTraining

from experiments.files import make_folder
from experiments.pretraining.corpus import Corpus
from experiments.pretraining.embeddings import embeddings, sinusoids
from experiments.pretraining.forward import apply, read_states
from experiments.pretraining.recipe import Schedule, Shape
from src.errors import UserError
from src.models.checkpoint import Checkpoint
from src.models.restricted_folder import restricted_folder

# BERT-base's 0.02 at width 768, scaled by the width: 0.02 at a small width leaves attention flat
# for thousands of steps.
DEVIATION = 0.02 * math.sqrt(768)
IGNORED = -100  # target of rows without meaning


def new_model(shape: Shape, dropout: float, seed: int) -> BertForPreTraining:
    """Return a freshly initialised BERT of this shape with both heads."""
    torch.manual_seed(seed)
    return BertForPreTraining(
        BertConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
            max_position_embeddings=shape.positions,
            initializer_range=round(DEVIATION / math.sqrt(shape.width), 4),
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def load_start(start: Checkpoint, dropout: float, seed: int) -> BertForPreTraining:
    """Return a model with the weights of a BERT checkpoint.

    Heads that the checkpoint lacks, and its pooler, are initialised from the seed.

    Raises
    ------
    UserError
        The checkpoint is not a BERT, or it lacks a weight of the encoder.
    """
    if start.config.get("model_type") != "bert":
        raise UserError(
            f"model.path: '{start.label}' is of type {start.config.get('model_type')!r}. "
            "Pre-training continues BERT alone: name a BERT checkpoint."
        )
    torch.manual_seed(seed)
    loaded: Any = BertForPreTraining.from_pretrained(
        restricted_folder(start),
        output_loading_info=True,
        local_files_only=True,
        dtype="float32",
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model, info = loaded
    if missing := sorted(name for name in info["missing_keys"] if not name.startswith(("cls.", "bert.pooler."))):
        raise UserError(f"model.path: '{start.label}' lacks {', '.join(missing[:3])}: a whole BERT encoder is needed.")
    assert isinstance(model, BertForPreTraining)
    return model


def initialise_embeddings(model: BertForPreTraining, corpus: Corpus, shape: Shape, schedule: Schedule) -> None:
    """Set the word table from co-occurrences and the position table from sinusoids."""
    if schedule.embeddings == "random":
        return
    table = model.bert.embeddings
    words = embeddings(corpus, len(table.word_embeddings.weight), shape.width, schedule.deviation, schedule.seed)
    positions = sinusoids(shape.positions, shape.width, schedule.deviation)
    with torch.no_grad():
        table.word_embeddings.weight.copy_(torch.from_numpy(words))
        table.position_embeddings.weight.copy_(torch.from_numpy(positions))


def logits_and_losses(
    model: BertForPreTraining, ids: Tensor, segments: Tensor, places: Tensor, targets: Tensor, random: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the logits of both heads and their losses.

    The vocabulary is by far the widest matrix, so only masked places are predicted.

    Returns
    -------
    word_logits : (masked, vocabulary)
    pair_logits : (rows, 2)
    mlm_loss, nsp_loss : scalars, in nats
    """
    states, pooled = read_states(model, ids, segments, places)
    head = model.cls.predictions
    words = apply(head.decoder, head.transform(states))
    pairs = model.cls.seq_relationship(pooled)
    padded = pad(targets, (0, len(words) - len(targets)), value=IGNORED)
    mlm, nsp = cross_entropy(words.float(), padded, ignore_index=IGNORED), cross_entropy(pairs.float(), random)
    return words[: len(targets)], pairs, mlm, nsp


class Loss(nn.Module):
    """Computes the training loss of a batch, as one module whose gradients the workers average.

    With the objective "mlm", pooler and next-sentence head get no gradient and no weight decay.
    """

    def __init__(self, model: BertForPreTraining, objective: str) -> None:
        super().__init__()
        self.model = model
        self.with_pairs = objective == "mlm_nsp"
        for name, parameter in model.named_parameters():
            if name.startswith(("bert.pooler.", "cls.seq_relationship.")):
                parameter.requires_grad_(self.with_pairs)

    def forward(self, *batch: Tensor) -> Tensor:
        _, _, mlm, nsp = logits_and_losses(self.model, *batch)
        return mlm + nsp if self.with_pairs else mlm


def export(model: BertForPreTraining, tokenizer: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write model and tokenizer in the Hugging Face layout; the model itself stays as it is."""
    make_folder(folder)
    written = nn.Module.to(copy.deepcopy(model), "cpu", dtype)
    written.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

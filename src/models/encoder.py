"""Run a frozen encoder: one forward pass returns every layer, the mask and the pooler's output."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from src.errors import UserError, flatten
from src.models import hidden_states
from src.models.bert_forward import BertForward
from src.models.checkpoint import Checkpoint
from src.models.encoder_info import EncoderInfo
from src.models.forward import LibraryForward, choose_forward
from src.models.loading import load_model
from src.models.next_sentence import load_next_sentence_head, sentence_pairs
from src.models.options import EncodingOptions
from src.models.pooler import Pooler, diagnose_pooler
from src.models.tokenizer import load_tokenizer
from src.models.wordpieces import inspect_tokenizer
from src.pooling import EncoderOutput
from src.runtime.devices import resolve_device, synchronise

if TYPE_CHECKING:
    from torch import Tensor

INITIALIZER_RANGE = 0.02  # BERT's, for a configuration without one
RANDOM_POOLER_SEED = 0
MIN_LENGTH = 4  # word pieces: two texts beside [CLS] and [SEP]
NO_POSITION_TABLE = 10**6  # positions of a model that has no table of them


class Encoder:
    """A frozen Hugging Face encoder in eval mode.

    Attributes
    ----------
    info : EncoderInfo
    layers : int
        L, without the embeddings.
    pooler : Pooler
    warm : bool
        Whether a batch has been encoded: the first call pays for allocations.
    uses_segments : bool
        Whether the model takes token type ids.
    """

    def __init__(self, checkpoint: Checkpoint, options: EncodingOptions) -> None:
        import torch

        self.warm = False
        self.checkpoint = checkpoint
        self.device = resolve_device(options.device)
        self.model, report = load_model(checkpoint, options.dtype, options.attention)
        self.model.to(self.device)
        config = self.model.config
        width = int(config.hidden_size)
        self.layers = int(config.num_hidden_layers)
        self.pooler = _find_pooler(self.model, report["missing_keys"])
        self.uses_segments = getattr(config, "type_vocab_size", 0) > 1 and config.model_type != "distilbert"
        scale = getattr(config, "initializer_range", INITIALIZER_RANGE)
        random = np.random.default_rng(RANDOM_POOLER_SEED).standard_normal((width, width), dtype=np.float32) * scale
        self.random_weight = torch.from_numpy(random.astype(np.float32)).to(self.device)
        self.dtype = options.dtype
        self._forward: BertForward | LibraryForward = LibraryForward(self.model)
        self._check_hidden_states(width)
        self._forward, kernel = choose_forward(self.model, options, self.device)
        self._check_hidden_states(width)
        self.info = self._describe(width, kernel, options.max_length)

    def _describe(self, width: int, kernel: str, max_length: int | None) -> EncoderInfo:
        config, checkpoint = self.model.config, self.checkpoint
        attention = str(config._attn_implementation)
        tokenizer = load_tokenizer(checkpoint)
        positions = self._positions()
        max_length = self._max_length(max_length, positions, tokenizer.model_max_length)
        traits = inspect_tokenizer(tokenizer, checkpoint.label)
        first_token = self._first_token_defect(traits.first)
        pooler = diagnose_pooler(self.pooler, self._next_sentence_accuracy(tokenizer, max_length))
        if checkpoint.original is not None:
            pooler["evidence"] |= checkpoint.original.evidence(str(config.hidden_act))
        return EncoderInfo(
            self.layers, width, max_length, attention, kernel, pooler, positions, first_token, traits.unknown,
            traits.lowers_capitals and checkpoint.lower_case is None,
        )  # fmt: skip

    def _positions(self) -> int:
        """Return the number of word pieces that the model has positions for."""
        stated = getattr(self.model.config, "max_position_embeddings", None)
        table = int(NO_POSITION_TABLE if stated in (None, 0, -1) else stated)  # XLNet states -1
        positions = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding = getattr(positions, "padding_idx", None)
        if padding is not None:  # RoBERTa numbers positions from padding_idx + 1
            table -= padding + 1
        return table

    def _max_length(self, requested: int | None, table: int, stated: Any) -> int:
        """Return `model.max_length`, or the smaller of position table and tokenizer's limit."""
        if requested is not None:
            if requested > table:
                raise UserError(
                    f"model.max_length={requested}: '{self.checkpoint.label}' has positions for {table} word pieces. "
                    f"Use model.max_length={table} or less."
                )
            return requested
        if not isinstance(stated, int | float) or not min(table, stated) >= MIN_LENGTH:
            raise UserError(
                f"'{self.checkpoint.label}' has model_max_length={stated} in its tokenizer_config.json and positions "
                f"for {table} word pieces: {MIN_LENGTH} or more of both are needed. Set model.max_length."
            )
        return int(min(table, stated))

    def _first_token_defect(self, special: int | None) -> str | None:
        """Return why the first token cannot represent the row.

        None if it is a special token whose state depends on the last token of the row.
        """
        if special is None:
            return (
                "its tokenizer puts no special token before a text, so that the first token is an ordinary word piece"
            )
        table = self._vocabulary_size()
        ids = np.array([[special, 1 % table, 2 % table], [special, 1 % table, 3 % table]])
        first = self.forward(ids, np.zeros_like(ids), np.zeros_like(ids, dtype=bool)).hidden[-1][:, 0].float()
        self.warm = False  # a few tokens allocate too little
        if bool((first[0] == first[1]).all()):
            return (
                "its attention looks to the left only, so that the state of the first token does not depend on the text"
            )
        return None

    def _next_sentence_accuracy(self, tokenizer: Any, max_length: int) -> float | None:
        """Return the accuracy of the next-sentence head on `sentence_pairs`, None without a head."""
        import torch

        head = load_next_sentence_head(self.checkpoint)
        if head is None or self.pooler.tensor_weight is None:
            return None
        pairs, correct = sentence_pairs(), 0
        for first, second, consecutive in pairs:
            row = tokenizer(first, second, return_special_tokens_mask=True, truncation=True, max_length=max_length)
            ids, special = np.array([row["input_ids"]]), np.array([row["special_tokens_mask"]])
            self.check_ids(ids)
            output = self.forward(ids, np.array([row.get("token_type_ids", [0] * ids.shape[1])]), special)
            assert output.pooled is not None
            logits = output.pooled.float().cpu() @ head[0].T + head[1]
            correct += int((torch.argmax(logits).item() == 0) == consecutive)
        return correct / len(pairs)

    def _vocabulary_size(self) -> int:
        return int(self.model.get_input_embeddings().num_embeddings)

    def check_ids(self, ids: np.ndarray) -> None:
        """Refuse word pieces without an embedding: the tokenizer belongs to another model.

        Raises
        ------
        UserError
            A number in `ids` is not below the size of the embedding table.
        """
        table = self._vocabulary_size()
        if len(ids) and ids.max() >= table:
            raise UserError(
                f"the tokenizer of '{self.checkpoint.label}' gives word piece {ids.max()}, and its weights embed "
                f"{table} of them (0 to {table - 1}). Get tokenizer and weights of one checkpoint."
            )

    def synchronise(self) -> None:
        """Wait until the device has finished its queued work."""
        synchronise(self.device)

    def forward(
        self,
        ids: np.ndarray,
        segments: np.ndarray,
        special: np.ndarray,
        lengths: np.ndarray | None = None,
        layers: Collection[int] | None = None,
    ) -> EncoderOutput:
        """Run one forward pass over a batch.

        Parameters
        ----------
        ids, segments, special : arrays of shape (batch, tokens)
            Word pieces, token type ids, and True at special tokens.
        lengths : int array of shape (batch,), optional
            Real tokens of each row; None: no row is padded, and no mask is used.
        layers : collection of int, optional
            Layers that are needed, 0 to L; None: all. Others may be of size 0, and `pooled` is None
            if the last one is not among them.
        """
        import torch

        tokens = self._to_device(ids.astype(np.int64))
        mask = torch.ones(tokens.shape, dtype=torch.bool, device=self.device)
        if lengths is not None:
            real = self._to_device(lengths).unsqueeze(1)
            mask = torch.arange(tokens.shape[1], device=self.device) < real
        hidden, pooled = self._call(tokens, segments, None if lengths is None else mask, layers)
        self.warm = True
        return EncoderOutput(
            hidden=hidden,
            mask=mask,
            content=mask & ~self._to_device(special.astype(np.bool_)),
            pooled=pooled if self.pooler.tensor_weight is not None else None,
            pooler_weight=self.pooler.tensor_weight,
            pooler_bias=self.pooler.tensor_bias,
            random_weight=self.random_weight,
        )

    def _call(
        self, tokens: Tensor, segments: np.ndarray, mask: Tensor | None, layers: Collection[int] | None = None
    ) -> tuple[Any, Any]:
        """Return hidden states and the pooler's output."""
        import torch

        types = self._to_device(segments.astype(np.int64)) if self.uses_segments else None
        if self.device == "cuda":  # a setting of the process, which another encoder may have changed
            torch.backends.cuda.matmul.allow_tf32 = self.dtype == "tf32"
        with torch.inference_mode():
            return self._forward(tokens, types, mask, layers)

    def _to_device(self, array: np.ndarray) -> Tensor:
        """Return an array as tensor on the device; a GPU copies it without letting the CPU wait."""
        import torch

        tensor = torch.from_numpy(array)
        return (
            tensor.pin_memory().to(self.device, non_blocking=True) if self.device == "cuda" else tensor.to(self.device)
        )

    def _check_hidden_states(self, width: int) -> None:
        """Encode a tiny batch, and refuse a model whose hidden states cannot be pooled."""
        import torch

        try:
            ids, mask = hidden_states.trial_batch(self.model)
            tokens, real = (torch.from_numpy(array).to(self.device) for array in (ids, mask))
            found, _ = self._call(tokens, np.zeros_like(ids), real)
            reason = hidden_states.defect(found, self.layers, width, self.dtype)
        except Exception as error:  # a model may raise anything at inputs that it does not take
            reason = f"its forward pass over word pieces alone fails ({type(error).__name__}: {flatten(error, 120)})"
        if reason:
            raise UserError(
                f"'{self.checkpoint.label}' ({self.model.config.model_type}) cannot be pooled: {reason}.\nChoose a "
                "BERT-like model, or get config.json and the weights of one checkpoint."
                + (" Or use runtime.dtype=float32." if self.dtype == "mixed" else "")
            )


def _find_pooler(model: Any, missing: Sequence[str]) -> Pooler:
    """Return W and b of a BERT-like pooler (`pooler.dense`) or of ALBERT's (`pooler` itself).

    Parameters
    ----------
    missing : sequence of str
        Names of the weights that the checkpoint lacked.
    """
    from torch import nn

    module = getattr(model, "pooler", None)
    dense = getattr(module, "dense", module)
    if not isinstance(dense, nn.Linear) or dense.weight.shape[0] != dense.weight.shape[1]:
        return Pooler(model.config.model_type, None, None, missing=False)
    if any(str(key).startswith("pooler.") for key in missing):
        return Pooler(model.config.model_type, None, None, missing=True)
    return Pooler(model.config.model_type, dense.weight.detach(), dense.bias.detach(), missing=False)

"""Choose how a model's forward pass is computed: by the library, or by `BertForward`."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from src.models import hidden_states
from src.models.bert_forward import BertForward, is_bert_like
from src.models.kernels import VERSION, can_pack, convert_linear_layers, has_units
from src.models.options import EncodingOptions

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

PRODUCTS = {"float32": "float32", "tf32": "float32", "mixed": "bfloat16"}  # dtype of products and attention
UNITS = {"mixed": "bf16", "bfloat16": "bf16", "float16": "fp16"}  # of a CPU, without which a dtype is slow


class LibraryForward:
    """The forward pass of transformers.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    mixed : bool
        Whether products and attention are computed in bfloat16.
    """

    def __init__(self, model: Any, mixed: bool = False) -> None:
        self.model = model
        self.mixed = mixed

    def __call__(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
        needed: Collection[int] | None = None,
    ) -> tuple[Any, Any]:
        """Return all hidden states and the pooler's output; `BertForward` documents the parameters."""
        import torch

        inputs = {"input_ids": tokens}
        if mask is not None:
            inputs["attention_mask"] = mask.long()
        if segments is not None:
            inputs["token_type_ids"] = segments
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=self.mixed):
            output = self.model(**inputs, output_hidden_states=True)
        return output.hidden_states, getattr(output, "pooler_output", None)


def choose_forward(model: Any, options: EncodingOptions, device: str) -> tuple[BertForward | LibraryForward, str]:
    """Return the forward pass of a model, and the name of its kernels for keys and records.

    `BertForward` is used for a model that is built like BERT, if it gives the library's hidden
    states on a tiny batch. In other models, linear layers are exchanged where that is faster.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        On the device, in the dtype that `load_model` gave it. Its linear layers may be changed.
    options : EncodingOptions
    device : str
        cpu, cuda or mps.

    Returns
    -------
    forward : BertForward or LibraryForward
    kernel : str
        ``bert-`` for `BertForward`; then ``packed-VERSION`` or ``plain-VERSION``. ``plain`` if
        nothing of the library's is exchanged.
    """
    import torch

    units = UNITS.get(options.dtype)
    if units and device == "cpu" and not has_units(units):
        log.warning(
            "runtime.dtype=%s: this CPU has no %s units, so that it takes longer than float32", options.dtype, units
        )
    if options.dtype not in PRODUCTS:
        return LibraryForward(model), "plain"
    dtype = getattr(torch, PRODUCTS[options.dtype])
    rows = options.token_budget if can_pack(device, dtype) else None
    name = f"{'plain' if rows is None else 'packed'}-{VERSION}"
    if options.attention in (None, "sdpa") and is_bert_like(model):
        forward = BertForward(model, dtype, rows)
        if _agree(forward, LibraryForward(model), model, options.dtype):
            return forward, f"bert-{name}"
    if rows is None and dtype == torch.float32:
        return LibraryForward(model), "plain"
    convert_linear_layers(model, dtype, rows)
    return LibraryForward(model, options.dtype == "mixed"), name


def _agree(forward: BertForward, library: LibraryForward, model: Any, dtype: str) -> bool:
    """Return whether two forward passes give the same hidden states of the trial batch's real tokens."""
    import torch

    ids, mask = (torch.from_numpy(array).to(model.device) for array in hidden_states.trial_batch(model))
    with torch.inference_mode():
        found, expected = forward(ids, None, mask)[0], library(ids, None, mask)[0]
    limit = hidden_states.TOLERANCE[dtype]
    return all(
        bool((one[mask] - other[mask]).abs().max() <= limit * other[mask].abs().max())
        for one, other in zip(found, expected, strict=True)
    )

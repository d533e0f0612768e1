"""Exchange kernels of a float32 model on a CPU: packed linear layers, attention for short rows.

The modules stay transformers' own. Only the functions that they call are exchanged, and only where
measurements showed a gain. Torch is imported inside functions: `VERSION` is read without it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 2  # increase it with each change that changes a bit of the features
SHORT = 64  # tokens of a row; from here on torch's attention is faster
LANES = 16  # float32 values of a vector register; torch's softmax over fewer is not vectorised
ATTENTION = "sdpa_short_rows"
# Operators of oneDNN in torch.ops.mkldnn, which have no public names.
LINEAR, PACK = "_linear_pointwise", "_reorder_linear_weight"


def pack_linear_layers(model: Any, rows: int) -> str:
    """Pack a model's linear layers once for oneDNN, a fifth to a quarter faster than at each call.

    BERT's GELU is computed by the matrix product before it, while the results are in the cache.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    rows : int
        Rows of the input matrices that the packing is tuned to; others work too.

    Returns
    -------
    str
        ``packed-VERSION``, or ``plain`` if this build of torch has no oneDNN.
    """
    import torch
    from torch import nn

    linear, pack = (getattr(torch.ops.mkldnn, name, None) for name in (LINEAR, PACK))
    if not torch.backends.mkldnn.is_available() or linear is None or pack is None:
        return "plain"

    def forward(weight: Tensor, bias: Tensor | None, after: str, x: Tensor) -> Tensor:
        output: Tensor = linear(x, weight, bias, after, [], "none")
        return output

    fused = _remove_gelu(model)
    for module in model.modules():
        if type(module) is nn.Linear:
            packed = pack(module.weight.detach(), rows)
            bias = None if module.bias is None else module.bias.detach()
            after = "gelu" if module in fused else "none"
            module.forward = functools.partial(forward, packed, bias, after)  # type: ignore[method-assign]
    return f"packed-{VERSION}"


def _remove_gelu(model: Any) -> set[Any]:
    """Remove BERT's GELU modules; return the linear layers that have to compute it."""
    from torch import nn
    from transformers.activations import GELUActivation
    from transformers.models.bert.modeling_bert import BertIntermediate

    fused = set()
    for module in model.modules():
        activation = getattr(module, "intermediate_act_fn", None)
        if (
            type(module) is BertIntermediate
            and type(activation) is GELUActivation
            and activation.act is nn.functional.gelu
        ):
            fused.add(module.dense)
            module.intermediate_act_fn = nn.Identity()
    return fused


def use_short_row_attention(model: Any) -> None:
    """Let a BERT that uses torch's `scaled_dot_product_attention` use `attention` for short rows.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask
    from transformers.models.bert.modeling_bert import BertModel

    if type(model) is BertModel and not model.config.is_decoder and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(ATTENTION, attention)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        model.set_attn_implementation(ATTENTION)


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, **others: Any
) -> tuple[Tensor, None]:
    """Return the softmax of ``query @ key.T * scaling``, times ``value``.

    Rows that are long or masked are given to torch's own function.

    Parameters
    ----------
    query, key, value : tensors (batch, heads, tokens, width)

    Returns
    -------
    output : tensor (batch, tokens, heads, width)
    weights : None
        The attention weights, which are not used.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    batch, heads, tokens, width = query.shape
    if attention_mask is not None or tokens >= SHORT:
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
        return output
    padded = max(tokens, LANES)
    key = torch.nn.functional.pad(key, (0, 0, 0, padded - tokens)).reshape(-1, padded, width)
    scores = torch.bmm(query.reshape(-1, tokens, width) * scaling, key.transpose(1, 2))
    scores[:, :, tokens:] = float("-inf")
    mixed = torch.bmm(scores.softmax(dim=-1)[:, :, :tokens], value.reshape(-1, tokens, width))
    return mixed.view(batch, heads, tokens, width).transpose(1, 2), None

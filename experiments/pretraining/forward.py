"""Compute what both heads read: the library's values to rounding, in less time.

Two things save time. The last layer is computed at the places that a head reads alone: the masked
pieces and [CLS]. On a CPU, linear layers and their gradients are computed by oneDNN, because the
library's default, MKL, leaves AVX-512 unused on CPUs of other makers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import BertForPreTraining

from src.models.kernels import LINEAR, can_pack

# The number of rows that are read is rounded up to a multiple: oneDNN compiles a product for each.
MULTIPLE = 64


def read_states(model: BertForPreTraining, ids: Tensor, segments: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last hidden states at masked places, and the pooler's output.

    With dropout, or under autocast, the library's own forward pass is computed.

    Parameters
    ----------
    ids, segments : int64 (rows, tokens)
        Rows without padding.
    places : int64 (masked,)
        Positions over the flattened rows, ascending.

    Returns
    -------
    states : (at least masked, width)
        Those of `places`, then rows without meaning.
    pooled : (rows, width)
    """
    bert: Any = model.bert
    if not follows(model, ids.device.type):
        output = bert(input_ids=ids, token_type_ids=segments)
        return output.last_hidden_state.flatten(0, 1)[places], output.pooler_output
    states = bert.embeddings(input_ids=ids, token_type_ids=segments)
    *before, last = bert.encoder.layer
    for layer in before:
        query, key, value = project(states, layer.attention.self, ("query", "key", "value"))
        context = scaled_dot_product_attention(query, key, value)
        states = finish_layer(layer, context.transpose(1, 2).flatten(2), states)
    rows = len(ids)
    read = read_last_layer(last, states, places)
    pooled = bert.pooler(read[:rows, None])
    return read[rows:], pooled


def follows(model: BertForPreTraining, device: str) -> bool:
    """Return whether the fast pass computes what the library's does."""
    config = model.config
    dropout = model.training and (config.hidden_dropout_prob or config.attention_probs_dropout_prob)
    return not dropout and not torch.is_autocast_enabled(device)


def read_last_layer(layer: Any, states: Tensor, places: Tensor) -> Tensor:
    """Return the layer's output at the first place of each row, then at `places`, then padding.

    Parameters
    ----------
    states : (rows, tokens, width)

    Returns
    -------
    (rows + masked + padding, width)
    """
    rows, tokens, width = states.shape
    first = torch.arange(rows, device=states.device)
    row = torch.div(places, tokens, rounding_mode="floor")
    counts = torch.bincount(row, minlength=rows)
    # Each row has `widest` queries: [CLS], its masked places, and zeros that nobody reads.
    widest = 1 + int(counts.max())
    rank = torch.arange(len(places), device=states.device) - (counts.cumsum(0) - counts)[row]
    slots = torch.cat([first * widest, row * widest + 1 + rank])
    used = len(slots)
    padding = slots.new_zeros(-used % MULTIPLE)
    chosen = states.flatten(0, 1).index_select(0, torch.cat([first * tokens, places, padding]))
    attention = layer.attention.self
    key, value = project(states, attention, ("key", "value"))
    asked = product(chosen, attention.query.weight, attention.query.bias)
    queries = asked.new_zeros(rows * widest, width).index_copy(0, slots, asked[:used])
    query = queries.view(rows, widest, key.shape[1], -1).transpose(1, 2)
    context = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(rows * widest, width)
    return finish_layer(layer, context.index_select(0, torch.cat([slots, padding])), chosen)


def project(states: Tensor, attention: Any, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Return projections, computed as one product, each of shape (rows, heads, tokens, head's width)."""
    layers = [getattr(attention, name) for name in names]
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    found = product(states, weight, bias).unflatten(-1, (len(names), attention.num_attention_heads, -1))
    return tuple(each.transpose(1, 2) for each in found.unbind(2))


def finish_layer(layer: Any, context: Tensor, states: Tensor) -> Tensor:
    """Return a layer's output from the context of its attention and its input."""
    output, wide, narrow = layer.attention.output, layer.intermediate, layer.output
    attended = output.LayerNorm(apply(output.dense, context) + states)
    inner = wide.intermediate_act_fn(apply(wide.dense, attended))
    found: Tensor = narrow.LayerNorm(apply(narrow.dense, inner) + attended)
    return found


def apply(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return the output of a linear layer."""
    return product(x, layer.weight, layer.bias)


def product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``x @ weight.T + bias``, computed by oneDNN where that is possible."""
    if not can_pack(x.device.type, x.dtype):
        return linear(x, weight, bias)
    found: Tensor = Product.apply(x.flatten(0, -2), weight, bias)
    return found.unflatten(0, x.shape[:-1])


class Product(torch.autograd.Function):
    """Computes a linear layer and its gradients by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias`` of two-dimensional float32 tensors."""
        ctx.save_for_backward(x, weight)
        found: Tensor = getattr(torch.ops.mkldnn, LINEAR)(x, weight, bias, "none", [], "")
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of input, weight and bias."""
        x, weight = ctx.saved_tensors
        given = gradients[0]
        back: Tensor = getattr(torch.ops.mkldnn, LINEAR)(given, weight.T, None, "none", [], "")
        of_weight, of_bias = torch.ops.aten.mkldnn_linear_backward_weights(
            given.contiguous().to_mkldnn(), x.contiguous().to_mkldnn(), weight, True
        )
        return back, of_weight.to_dense(), of_bias.to_dense()

"""Forward pass of models that are built like BERT, with fewer and larger steps than the library's.

A layer computes query, key and value by one product and calls torch's operators directly. Products
can be in bfloat16 while the residual sums and the layer norms stay in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.models.kernels import gelu_algorithm, linear_function

if TYPE_CHECKING:
    from torch import Tensor

    Function = Callable[[Tensor], Tensor]

Names = dict[str, Any]  # of a module's children, each with the names of its own children
OUTPUT: Names = {"dense": {}, "LayerNorm": {}, "dropout": {}}
LAYER: Names = {
    "attention": {"self": {"query": {}, "key": {}, "value": {}, "dropout": {}}, "output": OUTPUT},
    "intermediate": {"dense": {}, "intermediate_act_fn": {}},
    "output": OUTPUT,
}
POOLER: Names = {"dense": {}, "activation": {}}


@dataclass(frozen=True)
class _Layer:
    """Functions of one layer; states are of shape (batch * tokens, width)."""

    heads: int
    qkv: Function  # query, key and value side by side, the query scaled
    after_attention: Function
    attention_norm: Function
    widen: Function  # with the activation
    narrow: Function
    output_norm: Function


class BertForward:
    """A forward pass over the weights of a model for which `is_bert_like` holds.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In float32; its modules are not changed.
    dtype : torch.dtype
        Of products and attention. The rest is float32.
    rows : int or None
        Rows of the matrices that packed weights are tuned to; None: weights are not packed.
    """

    def __init__(self, model: Any, dtype: Any, rows: int | None) -> None:
        self.embeddings = model.embeddings
        self.pooler = model.pooler
        self.dtype = dtype
        self.layers = [_read_layer(layer, dtype, rows) for layer in model.encoder.layer]

    def __call__(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
        needed: Collection[int] | None = None,
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Return hidden states and the pooler's output.

        Parameters
        ----------
        tokens, segments : int64 tensors (batch, tokens)
        mask : bool tensor (batch, tokens) or None
            True where a token is real; None: everywhere.
        needed : collection of int or None
            Layers to keep, 0 to L; None: all. Layers above the last one are not computed.

        Returns
        -------
        hidden : tuple of L+1 float32 tensors (batch, tokens, width)
            Of size 0 where a layer is not needed.
        pooled : float32 tensor (batch, width) or None
            None without a pooler, or if the last layer is not needed.
        """
        states = self.embeddings(input_ids=tokens, token_type_ids=segments)
        shape, last = states.shape, len(self.layers)
        kept = range(last + 1) if needed is None else needed
        visible = None if mask is None else mask[:, None, None, :]
        hidden = [states if 0 in kept else states.new_empty(0)]
        x = states.view(-1, shape[-1])
        for number, layer in enumerate(self.layers[: max(kept, default=0)], 1):
            x = self._apply(layer, x, shape, visible)
            hidden.append(x.view(shape) if number in kept else x.new_empty(0))
        hidden += [x.new_empty(0)] * (last + 1 - len(hidden))
        pooled = None if self.pooler is None or last not in kept else self.pooler(hidden[last])
        return tuple(hidden), pooled

    def _apply(self, layer: _Layer, x: Tensor, shape: Any, visible: Tensor | None) -> Tensor:
        """Return the output of a layer, (batch * tokens, width) float32."""
        batch, tokens, width = shape
        qkv = layer.qkv(x.to(self.dtype)).view(batch, tokens, 3, layer.heads, -1)
        context = _attention(qkv, visible).reshape(batch * tokens, width)
        x = layer.attention_norm(x + layer.after_attention(context))
        return layer.output_norm(x + layer.narrow(layer.widen(x.to(self.dtype))))


def is_bert_like(model: Any) -> bool:
    """Return whether a model's modules and settings are those of BERT's encoder.

    Models with other modules, with relative positions, a decoder's mask or an attention other than
    torch's `scaled_dot_product_attention` are not.
    """
    from torch import nn

    config, names = model.config, {name for name, _ in model.named_children()}
    layers = getattr(getattr(model, "encoder", None), "layer", None)
    return (
        {"embeddings", "encoder"} <= names <= {"embeddings", "encoder", "pooler"}
        and isinstance(layers, nn.ModuleList)
        and [name for name, _ in model.encoder.named_children()] == ["layer"]
        and hasattr(model, "pooler")
        and (model.pooler is None or _is_pooler(model.pooler))
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "add_cross_attention", False)
        and getattr(config, "position_embedding_type", "absolute") in (None, "absolute")
        and config._attn_implementation == "sdpa"
        and all(_is_layer(layer, config.hidden_size) for layer in layers)
    )


def _is_layer(layer: Any, width: int) -> bool:
    from torch import nn

    if _names(layer) != LAYER:
        return False
    attention = layer.attention.self
    projections = (attention.query, attention.key, attention.value)
    dense = (*projections, layer.attention.output.dense, layer.intermediate.dense, layer.output.dense)
    norms = (layer.attention.output.LayerNorm, layer.output.LayerNorm)
    return (
        all(type(each) is nn.Linear and each.bias is not None for each in dense)
        and all(type(each) is nn.LayerNorm for each in norms)
        and all(each.out_features == width for each in projections)
        and isinstance(getattr(attention, "num_attention_heads", None), int)
        and isinstance(getattr(attention, "scaling", None), float)
    )


def _is_pooler(pooler: Any) -> bool:
    from torch import nn

    return _names(pooler) == POOLER and type(pooler.dense) is nn.Linear and type(pooler.activation) is nn.Tanh


def _names(module: Any) -> Names:
    """Return the names of a module's children, each with those of its own children."""
    return {name: _names(child) for name, child in module.named_children()}


def _read_layer(layer: Any, dtype: Any, rows: int | None) -> _Layer:
    import torch

    attention = layer.attention.self
    projections = [attention.query, attention.key, attention.value]
    scales = (attention.scaling, 1.0, 1.0)
    weight = torch.cat([each.weight * scale for each, scale in zip(projections, scales, strict=True)])
    bias = torch.cat([each.bias * scale for each, scale in zip(projections, scales, strict=True)])

    def function(dense: Any, gelu: str | None = None) -> Function:
        return linear_function(dense.weight.detach().to(dtype), dense.bias.detach().to(dtype), rows, gelu)

    return _Layer(
        attention.num_attention_heads,
        linear_function(weight.detach().to(dtype), bias.detach().to(dtype), rows),
        function(layer.attention.output.dense),
        _norm(layer.attention.output.LayerNorm),
        _widen(layer.intermediate, function),
        function(layer.output.dense),
        _norm(layer.output.LayerNorm),
    )


def _widen(intermediate: Any, function: Callable[..., Function]) -> Function:
    """Return the function of a layer's first dense layer and its activation."""
    activation = intermediate.intermediate_act_fn
    gelu = gelu_algorithm(activation)
    dense = function(intermediate.dense, gelu)
    return dense if gelu is not None else lambda x: activation(dense(x))


def _norm(module: Any) -> Function:
    import torch

    shape, weight, bias, eps = module.normalized_shape, module.weight, module.bias, module.eps
    return lambda x: torch.nn.functional.layer_norm(x, shape, weight, bias, eps)


def _attention(qkv: Tensor, visible: Tensor | None) -> Tensor:
    """Return the attention's output, (batch, tokens, heads, width), of (batch, tokens, 3, heads, width)."""
    import torch

    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    output = torch.nn.functional.scaled_dot_product_attention(query, key, value, visible, scale=1.0)
    return output.transpose(1, 2)

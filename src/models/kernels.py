"""Compute linear layers with weights packed once for oneDNN, where the device allows it.

Torch is imported inside functions: `VERSION` is read without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    Function = Callable[[Tensor], Tensor]

VERSION = 3  # increase it with each change that changes a bit of the features
# Operators of oneDNN in torch.ops.mkldnn, which have no public names.
LINEAR, PACK = "_linear_pointwise", "_reorder_linear_weight"
ERF, TANH = "none", "tanh"  # algorithms of GELU, as torch names them


def can_pack(device: str, dtype: Any) -> bool:
    """Return whether linear layers can be packed: on a CPU, by a torch with oneDNN for the dtype."""
    import torch

    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in (LINEAR, PACK)):
        return False
    return dtype == torch.float32 or has_units("bf16")


def has_units(kind: str) -> bool:
    """Return whether this CPU has instructions for products in half precision, of kind ``bf16`` or ``fp16``."""
    import torch

    return any(bool(found) for name, found in torch.cpu.get_capabilities().items() if kind in name)


def gelu_algorithm(activation: Any) -> str | None:
    """Return the algorithm of an activation module that is a GELU, or None for another activation."""
    from torch import nn
    from transformers import activations

    if type(activation) is activations.GELUActivation and activation.act is nn.functional.gelu:
        return ERF
    if type(activation) is activations.GELUTanh or type(activation) is activations.NewGELUActivation:
        return TANH
    return None


def linear_function(weight: Tensor, bias: Tensor | None, rows: int | None, gelu: str | None = None) -> Function:
    """Return a function that computes ``x @ weight.T + bias``, and a GELU of it if one is named.

    Packing saves a fifth to a quarter of the time of a product. The GELU is computed by the product
    before it, while the results are in the cache.

    Parameters
    ----------
    weight, bias : tensors (out, in), (out,) or None
        Of the dtype that the product has.
    rows : int or None
        Rows of the input matrices that the packing is tuned to; others work too. None: do not pack.
    gelu : str or None
        `ERF` or `TANH`.
    """
    import torch

    if rows is None:

        def plain(x: Tensor) -> Tensor:
            output = torch.nn.functional.linear(x, weight, bias)
            return output if gelu is None else torch.nn.functional.gelu(output, approximate=gelu)

        return plain
    linear = getattr(torch.ops.mkldnn, LINEAR)
    matrix = getattr(torch.ops.mkldnn, PACK)(weight, rows)
    after = "none" if gelu is None else "gelu"

    def packed(x: Tensor) -> Tensor:
        output: Tensor = linear(x, matrix, bias, after, [], gelu or ERF)
        return output

    return packed


def convert_linear_layers(model: Any, dtype: Any, rows: int | None) -> None:
    """Let the linear layers of a float32 model compute in a dtype, with packed weights if possible.

    The pooler stays in float32.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; it keeps its own forward pass.
    dtype : torch.dtype
        Of products and of their results.
    rows : int or None
        As in `linear_function`.
    """
    import torch
    from torch import nn

    for name, module in model.named_modules():
        if type(module) is nn.Linear:
            own = torch.float32 if name.split(".")[0] == "pooler" else dtype
            weight, bias = (None if each is None else each.detach().to(own) for each in (module.weight, module.bias))
            forward: Any = _converted(linear_function(weight, bias, rows), own)
            module.forward = forward  # type: ignore[method-assign]


def _converted(function: Function, dtype: Any) -> Function:
    """Return a function of an input of any dtype, which autocast does not change."""
    import torch

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return function(x.to(dtype))

    return forward

"""Express poolings by modules of sentence-transformers, which stand after its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from src.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from src.models.encoder import Encoder

# The suite's poolings that are modes of the library's Pooling module.
MODES = {
    "cls": "cls", "mean": "mean", "max": "max", "mean_sqrt_len": "mean_sqrt_len_tokens",
    "weighted_mean": "weightedmean",
}  # fmt: skip
DENSE = ("pooler", "pooler_preactivation", "random_pooler", "cls_mean")  # a Dense module follows
LAYER_AVERAGES = ("first_last_mean", "last4_mean")  # their weights by layer stand before the Pooling module
REASONS = {
    "mean_content": "sentence-transformers pools special tokens with the others",
    "pooler_inverse": "sentence-transformers has no module for atanh (pooler_preactivation is the same up to rounding)",
}


def check_exportable(parts: Sequence[str]) -> None:
    """Check that a pooling can be expressed.

    Parameters
    ----------
    parts : sequence of str
        The pooling, or those that are concatenated.

    Raises
    ------
    UserError
        It cannot; the message names those that can.
    """
    allowed = (*MODES,) if len(parts) > 1 else (*MODES, *DENSE, *LAYER_AVERAGES)
    if refused := [name for name in parts if name not in allowed]:
        where = " in a concatenation" if len(parts) > 1 else ""
        reason = "a layer after it would act on all parts" if refused[0] in (*DENSE, *LAYER_AVERAGES) else None
        reason = reason or REASONS.get(refused[0], "sentence-transformers has no module for it")
        raise UserError(
            f"pooling '{refused[0]}' cannot be exported{where}: {reason}. Name a run with one of {', '.join(allowed)}."
        )


def reads_all_layers(parts: Sequence[str]) -> bool:
    """Return whether a pooling needs the hidden states of several layers."""
    return parts[0] in LAYER_AVERAGES


def pooling_modules(parts: Sequence[str], encoder: Encoder) -> list[Any]:
    """Return the modules that turn hidden states into the vectors of a pooling.

    Parameters
    ----------
    parts : sequence of str
        The pooling, or those that are concatenated; `check_exportable` accepts them.
    encoder : Encoder
        Its width, its layers and its pooler's weights are used.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling

    width, name = encoder.info.width, parts[0]
    if all(part in MODES for part in parts):
        return [Pooling(width, tuple(MODES[part] for part in parts))]
    if name in LAYER_AVERAGES:
        return [_layer_average(name, encoder), Pooling(width, "mean")]
    modes = ("cls", "mean") if name == "cls_mean" else ("cls",)
    return [Pooling(width, modes), _dense(name, encoder)]


def _layer_average(name: str, encoder: Encoder) -> Any:
    """Return the module that averages hidden states over layers."""
    import torch
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

    first = 1 if name == "first_last_mean" else encoder.layers - 3
    weights = torch.ones(encoder.layers + 1 - first)
    if name == "first_last_mean":
        weights[1:-1] = 0
    return WeightedLayerPooling(
        encoder.info.width, num_hidden_layers=encoder.layers, layer_start=first,
        layer_weights=torch.nn.Parameter(weights),
    )  # fmt: skip


def _dense(name: str, encoder: Encoder) -> Any:
    """Return the Dense module after [CLS], or after [CLS] and mean."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    bias: Tensor | None = None
    if name == "cls_mean":
        half = torch.eye(encoder.info.width) / 2
        weight = torch.cat([half, half], dim=1)
    elif name == "random_pooler":
        weight = encoder.random_weight
    else:
        pooler = encoder.pooler
        assert pooler.tensor_weight is not None
        assert pooler.tensor_bias is not None
        weight, bias = pooler.tensor_weight, pooler.tensor_bias.float().clone()
    linear = name in ("cls_mean", "pooler_preactivation")
    return Dense(
        weight.shape[1],
        weight.shape[0],
        bias=bias is not None,
        activation_function=torch.nn.Identity() if linear else torch.nn.Tanh(),
        init_weight=weight.float().clone(),
        init_bias=bias,
    )

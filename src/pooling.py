"""Define the poolings: functions that turn an encoder's output into one vector per row.

All poolings are computed from one forward pass. To add a pooling, add a decorated function here.
One that reads hidden states uses the tensors' own methods, so that `--help` lists it without torch.
One that follows from other poolings names them by `of` and takes their vectors as numpy arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from src.errors import UserError
from src.registry import Registry, function_sources

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray[Any, Any]
    Function = Callable[..., Any]  # of (EncoderOutput, layer), or of BaseVectors

CONCAT = "concat"  # the option; its poolings are put side by side, and it is no function of its own
SATURATED = 1 - 2**-24  # the largest float32 below one; tanh of anything above 9.02 rounds past it


@dataclass
class EncoderOutput:
    """The output of one forward pass on a batch, the argument of poolings of hidden states.

    Attributes
    ----------
    hidden : tuple of L+1 tensors (batch, tokens, width)
        0 is the embeddings, L the last layer.
    mask, content : bool tensors (batch, tokens)
        True where a token is real; True where it is real and not a special token.
    pooled : tensor (batch, width) or None
        The model's own pooler output.
    pooler_weight, pooler_bias : tensors (width, width), (width,) or None
        W and b of ``tanh(W h + b)``.
    random_weight : float32 tensor (width, width)
        R of `random_pooler`.
    """

    hidden: tuple[Tensor, ...]
    mask: Tensor
    content: Tensor
    pooled: Tensor | None
    pooler_weight: Tensor | None
    pooler_bias: Tensor | None
    random_weight: Tensor

    def base(self, names: Iterable[str], layer: int) -> BaseVectors:
        """Return the vectors of some poolings, from which others follow."""
        weights = (self.random_weight, self.pooler_weight, self.pooler_bias)
        vectors = {name: poolings[name].pool(self, layer) for name in names}
        lengths = self.mask.sum(dim=1).cpu().numpy()
        return BaseVectors(vectors, lengths, *(None if each is None else _to_numpy(each) for each in weights))


@dataclass(frozen=True)
class BaseVectors:
    """Vectors of some rows at one layer, from which other poolings follow.

    Attributes
    ----------
    vectors : dict of str to float32 array (rows, width)
        By pooling.
    lengths : int array (rows,)
        Real tokens of each row.
    pooler_weight, pooler_bias, random_weight : float32 arrays or None
        As in `EncoderOutput`.
    """

    vectors: Mapping[str, Array]
    lengths: Array
    random_weight: Any
    pooler_weight: Any = None
    pooler_bias: Any = None


@dataclass(frozen=True)
class Pooling:
    """A registered pooling, its layers and its requirements on the checkpoint.

    A pooling with `of` follows from the vectors of those poolings at the same layer. It is not
    stored but computed from them when it is read, and its function takes `BaseVectors`.
    """

    name: str
    function: Function
    layers: str  # "any"; "last": only the last layer; "own": the pooling chooses its layers itself
    needs_pooler: bool  # the checkpoint must hold a pooler
    at_least: int  # encoder layers
    needs_first: bool = False  # the first token must be special and attend to the whole row
    of: tuple[str, ...] = ()  # poolings of hidden states from whose vectors it follows

    @cached_property
    def code(self) -> str:
        """Return the digest of the source, with its helpers and the poolings from which it follows.

        It enters every feature's key, so that a changed pooling gets new features.
        """
        sources = [*function_sources(self.function), *(poolings[name].code for name in self.of)]
        return hashlib.sha256("\n".join(sources).encode()).hexdigest()

    def pool(self, output: EncoderOutput, layer: int) -> Array:
        """Return the vectors of a batch as float32 array (batch, width)."""
        if self.of:
            return self.derive(output.base(self.of, layer))
        return _to_numpy(self.function(output, layer))

    def derive(self, base: BaseVectors) -> Array:
        """Return the vectors that follow from others, float32 (rows, width)."""
        derived: Array = self.function(base)
        return derived

    def unsupported_reason(self, *, layers: int, pooler: bool, first: str | None = None) -> str | None:
        """Return why this pooling does not exist for an encoder, or None if it does.

        Parameters
        ----------
        layers : int
            Layers of the encoder.
        pooler : bool
            Whether the checkpoint holds a pooler.
        first : str or None
            Why the first token cannot represent the row; None if it can.
        """
        if self.needs_first and first is not None:
            return first
        if self.needs_pooler and not pooler:
            return "its checkpoint holds no pooler"
        if layers < self.at_least:
            return f"it has {layers} layers, and '{self.name}' needs {self.at_least}"
        return None

    def check_layer(self, layer: int) -> None:
        """Check a `layer=` before the number of layers is known.

        Raises
        ------
        UserError
            The pooling chooses its own layers, or exists only at the last layer.
        """
        if self.layers == "own" and layer != -1:
            raise UserError(
                f"pooling '{self.name}' chooses its own layers, got layer={layer}. "
                f"Leave layer out, or use pooling=mean layer={layer}."
            )
        if self.layers == "last" and layer < -1:
            raise self.layer_error(layer)

    def layer_error(self, layer: int) -> UserError:
        """Return the error for another layer than the last."""
        return UserError(
            f"pooling '{self.name}' exists at the last layer only, got layer={layer}. "
            f"Use pooling=cls for the [CLS] state of layer {layer}."
        )


poolings: Registry[Pooling] = Registry("pooling")


def parts_of(name: str) -> tuple[str, ...]:
    """Return the poolings that a concatenation puts side by side; for another pooling its own name.

    >>> parts_of("concat(cls,mean)"), parts_of("cls")
    (('cls', 'mean'), ('cls',))
    """
    listed = name.removeprefix(f"{CONCAT}(")
    return (name,) if listed == name else tuple(listed.removesuffix(")").split(","))


def needs_pooler(name: str) -> bool:
    """Return whether a pooling, or a part of a concatenation, passes through the pooler's weights."""
    return any(part in poolings and poolings[part].needs_pooler for part in parts_of(name))


def pooling(
    *,
    layers: str = "any",
    needs_pooler: bool = False,
    needs_first: bool = False,
    at_least: int = 1,
    of: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Register the decorated function under its own name; `Pooling` documents the parameters."""

    def register(function: Function) -> Function:
        name = function.__name__.rstrip("_")
        poolings.add(name, Pooling(name, function, layers, needs_pooler, at_least, needs_first, of))
        return function

    return register


@pooling(needs_first=True)
def cls(output: EncoderOutput, layer: int) -> Tensor:
    """Return the first token's hidden state, (batch, width) float32: [CLS] in BERT, <s> in RoBERTa.

    sentence-transformers calls it `cls`, bert-as-service `CLS_TOKEN`, SimCSE `cls_before_pooler`.
    """
    return output.hidden[layer][:, 0].float()


@pooling(layers="last", needs_pooler=True, needs_first=True, of=("cls",))
def pooler(base: BaseVectors) -> Array:
    """Return `pooler_output`, (rows, width) float32: ``tanh(W h + b)`` of the last layer's `cls`.

    References
    ----------
    Devlin et al. (2019), BERT; TF-Hub's `pooled_output`, bert-as-service's `CLS_POOLED`.
    """
    return _rounded("tanh", pooler_preactivation(base))


@pooling()
def mean(output: EncoderOutput, layer: int) -> Tensor:
    """Return the average of a layer's hidden states over the real tokens, [CLS] and [SEP] included.

    Parameters
    ----------
    output : EncoderOutput
        ``hidden[i]`` is (batch, tokens, width); ``mask`` is (batch, tokens), True where a token is real.
    layer : int
        0 is the embeddings, -1 the last layer.

    Returns
    -------
    Tensor of shape (batch, width), float32
        Summed in float32 whatever the encoder's precision.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, section 3.
    """
    return _average(output.hidden[layer], output.mask)


@pooling()
def max_(output: EncoderOutput, layer: int) -> Tensor:
    """Return the largest value of each dimension over the real tokens, (batch, width) float32."""
    padding = ~output.mask.unsqueeze(-1)
    return output.hidden[layer].float().masked_fill(padding, float("-inf")).amax(dim=1)


@pooling()
def mean_content(output: EncoderOutput, layer: int) -> Tensor:
    """Return the average over tokens but special ones, (batch, width) float32; zeros if none."""
    return _average(output.hidden[layer], output.content)


@pooling(of=("mean",))
def mean_sqrt_len(base: BaseVectors) -> Array:
    """Return the sum over the real tokens divided by the square root of their number.

    It is `mean_sqrt_len_tokens` of sentence-transformers.
    """
    roots: Array = (base.lengths**0.5).astype("float32")[:, None]
    return base.vectors["mean"] * roots


@pooling()
def weighted_mean(output: EncoderOutput, layer: int) -> Tensor:
    """Return the average over the real tokens, weighted by their position from 1 on.

    It is `weightedmean` of sentence-transformers.

    References
    ----------
    Muennighoff (2022), SGPT, section 3.
    """
    position = output.mask.long().cumsum(dim=1) * output.mask
    return _average(output.hidden[layer], position)


@pooling(needs_first=True, of=("cls", "mean"))
def cls_mean(base: BaseVectors) -> Array:
    """Return the average of `cls` and `mean`, (rows, width) float32."""
    return (base.vectors["cls"] + base.vectors["mean"]) / 2


@pooling(layers="own")
def first_last_mean(output: EncoderOutput, layer: int) -> Tensor:
    """Return the average of `mean` at layers 1 and L, (batch, width) float32.

    Layer 1 is the first transformer block, not the embeddings.

    References
    ----------
    Li et al. (2020), On the Sentence Embeddings from Pre-trained Language Models; Gao et al. (2021),
    SimCSE, whose `avg_first_last` reads ``hidden_states[1]`` too (simcse/models.py).
    """
    return (mean(output, 1) + mean(output, -1)) / 2


@pooling(layers="own", at_least=4)
def last4_mean(output: EncoderOutput, layer: int) -> Tensor:
    """Return the average of `mean` at the last four layers, (batch, width) float32."""
    return (mean(output, -1) + mean(output, -2) + mean(output, -3) + mean(output, -4)) / 4


@pooling(layers="last", needs_pooler=True, needs_first=True, of=("cls",))
def pooler_preactivation(base: BaseVectors) -> Array:
    """Return ``W h + b`` of `cls`, the pooler before its tanh, (rows, width) float32."""
    preactivation: Array = base.vectors["cls"] @ base.pooler_weight.T + base.pooler_bias
    return preactivation


@pooling(layers="last", needs_pooler=True, needs_first=True, of=("cls",))
def pooler_inverse(base: BaseVectors) -> Array:
    """Return ``atanh(pooler)``, (rows, width) float32: ``W h + b`` up to the tanh's rounding.

    Entries that tanh rounded to one in magnitude cannot be inverted. They become the largest finite
    value, ``atanh(SATURATED)``; `src.features.vectors.saturated` counts them.
    """
    return _rounded("arctanh", pooler(base).clip(-SATURATED, SATURATED))


@pooling(layers="last", needs_first=True, of=("cls",))
def random_pooler(base: BaseVectors) -> Array:
    """Return ``tanh(R h)`` with random weights R of the pooler's shape, (rows, width) float32.

    R has the checkpoint's initialiser range and a fixed seed.
    """
    return _rounded("tanh", base.vectors["cls"] @ base.random_weight.T)


def _average(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return states (batch, tokens, width) averaged by weights (batch, tokens), in float32."""
    weight = weight.unsqueeze(-1).float()
    return (hidden.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)


def _rounded(function: str, values: Array) -> Array:
    """Return numpy's function of float32 values, computed in float64 and rounded once."""
    import numpy as np

    rounded: Array = getattr(np, function)(values.astype(np.float64)).astype(np.float32)
    return rounded


def _to_numpy(tensor: Tensor) -> Array:
    """Return a tensor as float32 array on the CPU."""
    array: Array = tensor.float().cpu().numpy()
    return array

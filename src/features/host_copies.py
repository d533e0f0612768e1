"""Pool a batch on the device of the encoder, and copy the vectors to the CPU's memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from src.features.inputs import PoolingTarget
from src.pooling import EncoderOutput, poolings

if TYPE_CHECKING:
    from torch import Tensor


class HostCopy:
    """A copy of a tensor in the CPU's memory; a GPU makes it while it computes further batches.

    Parameters
    ----------
    tensor : float32 tensor of any shape, on any device
    """

    def __init__(self, tensor: Tensor) -> None:
        import torch

        self._event: Any = None
        if tensor.device.type == "cuda":
            self._values = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._values.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._values = tensor.cpu()

    def numpy(self) -> np.ndarray:
        """Return the copy, as soon as it is complete."""
        if self._event is not None:
            self._event.synchronize()
        values: np.ndarray = self._values.numpy()
        return values


def pool_batch(output: EncoderOutput, targets: Sequence[PoolingTarget]) -> HostCopy:
    """Return the copy of a batch's pooled vectors, (targets, batch, width) float32."""
    import torch

    return HostCopy(torch.stack([poolings[name].function(output, layer).float() for name, layer in targets]))


def needed_layers(targets: Sequence[PoolingTarget], layers: int) -> set[int]:
    """Return the numbers of the layers, 0 to L, whose hidden states some targets read.

    They are found by pooling a row of zeros. The last layer is always among them, because the
    pooler's output is computed from it.

    Parameters
    ----------
    layers : int
        L.
    """
    import torch

    states, ones = torch.zeros(1, 1, 1), torch.ones(1, 1)
    hidden = _RecordingTuple([states] * (layers + 1))
    output = EncoderOutput(hidden, ones.bool(), ones.bool(), states[0], ones, ones[0], ones)
    for name, layer in targets:
        poolings[name].function(output, layer)
    return {layers, *(index % (layers + 1) for index in hidden.read)}


class _RecordingTuple(tuple[Any, ...]):
    """A tuple that keeps the indices at which it was read."""

    read: set[int]

    def __new__(cls, values: Iterable[Any]) -> _RecordingTuple:
        """Make the tuple, of which nothing has been read."""
        made = super().__new__(cls, values)
        made.read = set()
        return made

    def __getitem__(self, index: Any) -> Any:
        """Return one entry or several, and keep their indices."""
        self.read.update(range(len(self))[index] if isinstance(index, slice) else [index])
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over all entries, and keep their indices."""
        self.read.update(range(len(self)))
        return super().__iter__()

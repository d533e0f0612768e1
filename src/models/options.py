"""Define the options of encoding that can change features, or their last bits."""

from __future__ import annotations

from dataclasses import dataclass

from src.errors import UserError

DTYPE_DEVICES = {"mixed": ("cpu", "cuda"), "tf32": ("cuda",)}  # of dtypes that not all devices offer
TOKEN_BUDGETS = {"cpu": 1024, "cuda": 16384, "mps": 4096}  # tokens of a batch, by device


@dataclass(frozen=True)
class EncodingOptions:
    """Options that enter the key of features, as resolved.

    Attributes
    ----------
    device : str
        cpu, cuda or mps; never auto.
    dtype : str
        float32, bfloat16 or float16; mixed: products and attention in bfloat16, the rest in
        float32; tf32: products in TF32, on CUDA.
    attention : str or None
        Implementation of attention; None: the library's default for the model.
    token_budget : int
        Tokens of a batch, special tokens included.
    max_length : int or None
        Word pieces of a row, special tokens included; None: the limit of the checkpoint.

    Raises
    ------
    UserError
        The device does not offer the dtype.
    """

    device: str = "cpu"
    dtype: str = "float32"
    attention: str | None = None
    token_budget: int = TOKEN_BUDGETS["cpu"]
    max_length: int | None = None

    @property
    def may_pad(self) -> bool:
        """Whether rows of different lengths may form a batch, padded: on accelerators."""
        return self.device != "cpu"

    def __post_init__(self) -> None:
        devices = DTYPE_DEVICES.get(self.dtype, (self.device,))
        if self.device not in devices:
            raise UserError(
                f"runtime.dtype={self.dtype} exists on {' and '.join(devices)}, and the device is {self.device}. Use "
                "runtime.dtype=float32."
            )

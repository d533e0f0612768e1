"""The rate of matrix products, against which the products of a forward pass are set.

The yardstick is the fastest of the products that this machine has: torch's own product of large
square matrices, and a layer's products at the sizes of a batch, by torch and packed for oneDNN.
Which of them is fastest depends on the CPU, since torch leaves its own products to another library.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from src.features.passes import use_one_thread
from src.models.forward import PRODUCTS
from src.models.kernels import can_pack, linear_function
from src.models.options import TOKEN_BUDGETS
from src.runtime.devices import synchronise
from src.runtime.provenance import cores

SIDES = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # rows and columns of large matrices
ROUNDS = 5  # whose median is taken
SECONDS = 0.05  # the least that a round takes
Product = Callable[[], object]


@dataclass(frozen=True)
class Layer:
    """Sizes of a layer.

    Attributes
    ----------
    width, inner : int
        Dimensions of a hidden state, and between the two products of the feed-forward part.
    """

    width: int
    inner: int

    @classmethod
    def of(cls, model: Any) -> Layer:
        """Return the sizes of the layers of a model of transformers."""
        width = int(model.config.hidden_size)
        return cls(width, int(getattr(model.config, "intermediate_size", 4 * width)))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each product: query, key and value; attention's output; feed-forward."""
        return (
            (self.width, 3 * self.width), (self.width, self.width), (self.width, self.inner), (self.inner, self.width),
        )  # fmt: skip

    @property
    def operations(self) -> int:
        """Floating-point operations of the products for one token."""
        return sum(2 * inputs * outputs for inputs, outputs in self.shapes)


def product_rates(layer: Layer, device: str, dtype: str = "float32") -> dict[str, float]:
    """Return the rate of each product in operations a second, on all cores or on the accelerator.

    Parameters
    ----------
    dtype : str
        A `runtime.dtype`: mixed stands for products in bfloat16.
    """
    import torch

    kind, tokens, side = getattr(torch, PRODUCTS.get(dtype, dtype)), TOKEN_BUDGETS[device], SIDES[device]
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    with tf32(device, dtype), torch.inference_mode():
        torch.set_num_threads(cores())
        large = [(lambda: torch.matmul(a, b), 1)]
        rates = {f"torch, {side:,} x {side:,}": _rate(large, 2 * side**3, device, 1)}
        packings = {"torch": None, "oneDNN, packed": tokens} if can_pack(device, kind) else {"torch": None}
        for library, rows in packings.items():
            workers = cores() if device == "cpu" else 1
            products = [(_layer_products(layer, kind, device, tokens, rows), tokens) for _ in range(workers)]
            rates[f"{library}, a layer's sizes"] = _rate(products, layer.operations, device, workers)
    return rates


def fastest(measured: Sequence[Mapping[str, float]]) -> tuple[str, float]:
    """Return name and rate of the product whose median over the measurements is the highest.

    >>> fastest([{"a": 1.0, "b": 2.0}, {"a": 9.0, "b": 2.5}, {"a": 1.5, "b": 2.2}])
    ('b', 2.2)
    """
    medians = {name: statistics.median(each[name] for each in measured) for name in measured[0]}
    name = max(medians, key=lambda each: medians[each])
    return name, medians[name]


def _layer_products(layer: Layer, dtype: Any, device: str, tokens: int, rows: int | None) -> Product:
    """Return a function that computes the products of a layer once, each on an input of its own."""
    import torch

    pairs = [
        (
            linear_function(torch.randn(outputs, inputs, device=device).to(dtype), None, rows),
            torch.randn(tokens, inputs, device=device).to(dtype),
        )
        for inputs, outputs in layer.shapes
    ]

    def compute() -> None:
        for function, x in pairs:
            function(x)

    return compute


def _rate(products: Sequence[tuple[Product, int]], operations: int, device: str, workers: int) -> float:
    """Return the median rate of products that run side by side.

    Parameters
    ----------
    products : sequence of (callable, int)
        For each worker a product, and how many times `operations` it takes.
    """
    import torch

    initializer = use_one_thread if workers > 1 else None
    with ThreadPoolExecutor(workers, initializer=initializer) as pool:

        def round_of(times: int) -> float:
            synchronise(device)
            began = time.perf_counter()
            list(pool.map(lambda each: _repeat(each[0], times), products))
            synchronise(device)
            return time.perf_counter() - began

        with torch.inference_mode():
            round_of(1)  # allocates memory and chooses kernels
            times = max(1, round(SECONDS / round_of(1)))
            seconds = statistics.median(round_of(times) for _ in range(ROUNDS))
    return times * operations * sum(number for _, number in products) / seconds


def _repeat(product: Product, times: int) -> None:
    import torch

    with torch.inference_mode():  # a setting of the thread
        for _ in range(times):
            product()


@contextmanager
def tf32(device: str, dtype: str) -> Iterator[None]:
    """Allow or forbid TF32 on a GPU, and restore the setting."""
    import torch

    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    if device == "cuda":
        matmul.allow_tf32 = dtype == "tf32"
    try:
        yield
    finally:
        if device == "cuda":
            matmul.allow_tf32 = before

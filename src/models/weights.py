"""Read the shapes of weights from safetensors headers, and limit a model's size to them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.storage.files import Unreadable, open_regular, parse_json, require_fields

Shapes = Mapping[str, tuple[int, ...]]  # name of a tensor: its shape

MAX_HEADER = 100 * 10**6  # bytes, the limit of the safetensors library
# A model may have more parameters than its file: a pooler, tied copies.
MAX_PARAMETERS_RATIO, EXTRA_PARAMETERS = 4, 1 << 24
MAX_MODULES_RATIO, EXTRA_MODULES = 50, 1000  # of modules to stored weights
MAX_BUFFER = 1 << 28  # numbers in a table that a model computes


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes from the header of a safetensors file.

    Raises
    ------
    OSError
        The file is missing, cannot be read or is no regular file.
    Unreadable
        The header is damaged, or the file is shorter than its header states.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
            raise Unreadable("no safetensors header: the file is damaged or cut short")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise Unreadable("no safetensors header")
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        entry = require_fields(entry, {"dtype": str, "shape": list, "data_offsets": list})
        numbers = [*entry["shape"], *entry["data_offsets"]]
        if any(type(number) is not int or number < 0 for number in numbers) or len(entry["data_offsets"]) != 2:
            raise Unreadable("a damaged safetensors header")
        if entry["data_offsets"][1] > size - 8 - length:
            raise Unreadable("shorter than its header says: it is damaged or cut short")
        found[name] = tuple(entry["shape"])
    return found


@contextmanager
def model_size_limited(shapes: Shapes, label: str) -> Iterator[None]:
    """Stop a model that is built in this block once it is larger than its weights can fill.

    The library builds on torch's meta device, so that no memory has been allocated by then.

    Raises
    ------
    UserError
        More parameters, modules or numbers in a buffer than the weights leave room for.
    """
    from torch.nn.modules import module as hooks

    limits = {
        "numbers": MAX_PARAMETERS_RATIO * sum(map(math.prod, shapes.values())) + EXTRA_PARAMETERS,
        "layers": MAX_MODULES_RATIO * len(shapes) + EXTRA_MODULES,
    }
    counts = dict.fromkeys(limits, 0)

    def fail(what: str) -> None:
        raise UserError(
            f"'{label}' cannot be loaded: config.json describes a larger model ({what}) than its {len(shapes)} "
            "stored weights can fill. "
            "Get config.json and the weights of one checkpoint."
        )

    def count(what: str, number: int) -> None:
        counts[what] += number
        if counts[what] > limits[what]:
            fail(what)

    def on_parameter(module: Any, name: str, value: Any) -> None:
        count("numbers", 0 if value is None else value.numel())

    def on_buffer(module: Any, name: str, value: Any) -> None:
        if value is not None and value.numel() > MAX_BUFFER:
            fail("positions")

    def on_module(module: Any, name: str, value: Any) -> None:
        count("layers", 1)

    handles = [
        hooks.register_module_parameter_registration_hook(on_parameter),
        hooks.register_module_buffer_registration_hook(on_buffer),
        hooks.register_module_module_registration_hook(on_module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

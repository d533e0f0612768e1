"""The weights of a checkpoint as their files' headers state them: names and shapes, read before any memory is asked for."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.storage.files import Unreadable, checked, open_regular, parse_json

Shapes = Mapping[str, tuple[int, ...]]  # name of a tensor: its shape

LONGEST_HEADER = 100 * 10**6  # bytes, the limit of the safetensors library
NUMBERS_SLACK, NUMBERS_TIMES = (
    1 << 24,
    4,
)  # parameters that a model may have beyond those of its file: a pooler, tied copies
MODULES_SLACK, MODULES_TIMES = 1000, 50
LARGEST_BUFFER = 1 << 28  # numbers in a table that a model computes for itself
BUFFERS = (
    "position_ids",
    "token_type_ids",
    "inv_freq",
    "masked_bias",
    "relative_position_index",
    "num_batches_tracked",
)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the header of a safetensors file.

    Raises
    ------
    OSError
        The file is missing, cannot be read or is no regular file.
    Unreadable
        The header is damaged, or the file is shorter than its header says.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, LONGEST_HEADER):
            raise Unreadable("no safetensors header: the file is damaged or cut short")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise Unreadable("no safetensors header")
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        entry = checked(entry, {"dtype": str, "shape": list, "data_offsets": list})
        numbers = [*entry["shape"], *entry["data_offsets"]]
        if any(type(number) is not int or number < 0 for number in numbers) or len(entry["data_offsets"]) != 2:
            raise Unreadable("a damaged safetensors header")
        if entry["data_offsets"][1] > size - 8 - length:
            raise Unreadable("shorter than its header says: it is damaged or cut short")
        found[name] = tuple(entry["shape"])
    return found


@contextmanager
def bounded(shapes: Shapes, label: str) -> Iterator[None]:
    """Stop a model that is built in this block once it is larger than its weights can fill, whatever its configuration asks for.

    The library builds on torch's meta device, so nothing has been allocated by then.

    Raises
    ------
    UserError
        More parameters, modules or numbers in a buffer than the weights leave room for.
    """
    from torch.nn.modules import module as hooks

    most_numbers = NUMBERS_TIMES * sum(map(math.prod, shapes.values())) + NUMBERS_SLACK
    most_modules = MODULES_TIMES * len(shapes) + MODULES_SLACK
    counted = {"numbers": 0, "modules": 0}

    def refuse(what: str) -> None:
        raise UserError(
            f"'{label}' cannot be loaded: config.json describes a larger model ({what}) than its {len(shapes)} stored weights can fill. "
            "Get config.json and the weights of one checkpoint."
        )

    def count(parameters: int, modules: int) -> None:
        counted["numbers"] += parameters
        counted["modules"] += modules
        if counted["numbers"] > most_numbers:
            refuse("numbers")
        if counted["modules"] > most_modules:
            refuse("layers")

    def parameter(module: Any, name: str, value: Any) -> None:
        count(0 if value is None else value.numel(), 0)

    def buffer(module: Any, name: str, value: Any) -> None:
        if value is not None and value.numel() > LARGEST_BUFFER:
            refuse("positions")

    def child(module: Any, name: str, value: Any) -> None:
        count(0, 1)

    handles = [
        hooks.register_module_parameter_registration_hook(parameter),
        hooks.register_module_buffer_registration_hook(buffer),
        hooks.register_module_module_registration_hook(child),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_single(names: Collection[str], prefix: str, label: str) -> None:
    """Refuse weights that hold one parameter under two names that load as one: with and without the prefix, or gamma and weight."""
    seen: dict[str, str] = {}
    for name in names:
        bare = name.removeprefix(prefix)
        bare = re.sub(r"(LayerNorm|layer_norm)\.(gamma|beta)$", lambda found: f"{found[1]}.{_NEW[found[2]]}", bare)
        if bare in seen:
            raise UserError(
                f"'{label}' cannot be loaded: its weights hold both {seen[bare]} and {name}, and which of them counts is undefined. "
                "Remove one of the two, and save again."
            )
        seen[bare] = name


_NEW = {"gamma": "weight", "beta": "bias"}


def unused(names: Collection[str], unexpected: Collection[str], model: Any) -> list[str]:
    """Weights of the encoder that the loaded model does not use; heads, poolers and tables that are computed anew are left out.

    A weight belongs to the encoder if it stands under the base model's prefix, or, in a file without that prefix, under one of the model's
    own parts, or if its name repeats the path of one of the encoder's inner modules.

    Parameters
    ----------
    names : names in the file
    unexpected : those that the library did not use
    model : the loaded base model
    """
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    carried = bool(prefix) and any(name.startswith(prefix) for name in names)
    parts = {name for name, child in model.named_children() if any(True for _ in child.parameters())} - {"pooler"}
    inner = {path for path in map(_numberless, (path for path, _ in model.named_modules())) if path.count(".") >= 2}
    buffers = {_numberless(name) for name, _ in model.named_buffers()}

    def of_encoder(name: str) -> bool:
        bare = name.removeprefix(prefix)
        first, *_, last = bare.split(".") if "." in bare else (bare, bare)
        if last in BUFFERS or _numberless(bare) in buffers or first == "pooler":
            return False
        if name.startswith(prefix) if carried else first in parts:
            return True
        steps = _numberless(name).split(".")
        return any(
            ".".join(steps[start:end]) in inner
            for start in range(len(steps))
            for end in range(start + 3, len(steps) + 1)
        )

    return sorted(filter(of_encoder, unexpected))


def reason_unused(names: Sequence[str], layers: int) -> str:
    """What the names of unused weights show of where they come from."""
    if any("lora_" in name or "adapter" in name for name in names):
        return "they belong to an adapter: merge it into its model (merge_and_unload) and save that"
    if any("distance_embedding" in name for name in names):
        return "its relative positions are no longer computed by transformers, so choose another checkpoint"
    numbers = [int(step) for name in names for step in name.split(".") if step.isdigit()]
    if numbers and max(numbers) >= layers:
        return f"config.json says {layers} layers, and the weights have more: get both of one checkpoint"
    return "its hidden states would not be those that were trained: get config.json and the weights of one checkpoint"


def misnamed(names: Collection[str], lost: Collection[str], prefix: str) -> tuple[str, str] | None:
    """What stands before the names in a file that the model lacks, ("remove", "module."), or what they lack, ("add", "encoder.").

    None where missing and present names do not match up to one prefix.
    """
    for way, longer, shorter in (("remove", names, lost), ("add", lost, names)):
        ends = set(shorter)
        found: Counter[str] = Counter()
        for name in longer:
            steps = name.split(".")
            found.update(".".join(steps[:cut]) + "." for cut in range(1, len(steps)) if ".".join(steps[cut:]) in ends)
        if found:
            best, times = found.most_common(1)[0]
            if 2 * times >= len(lost):
                return way, best.removesuffix(prefix) if prefix and best != prefix else best
    return None


def _numberless(name: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "0", name)

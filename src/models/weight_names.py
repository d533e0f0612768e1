"""Compare the names of stored weights with those of the loaded model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from src.errors import UserError

# Last parts of the names of tables that a model computes and some files hold.
BUFFERS = (
    "position_ids",
    "token_type_ids",
    "inv_freq",
    "masked_bias",
    "relative_position_index",
    "num_batches_tracked",
)
NEW_NAMES = {"gamma": "weight", "beta": "bias"}


def check_duplicates(names: Collection[str], prefix: str, label: str) -> None:
    """Refuse two names that load as one parameter, such as LayerNorm.gamma and LayerNorm.weight.

    Parameters
    ----------
    names : collection of str
        Names in the file.
    prefix : str
        The base model's prefix with its dot, or "".

    Raises
    ------
    UserError
        Two names load as one parameter.
    """
    seen: dict[str, str] = {}
    for name in names:
        stripped = name.removeprefix(prefix)
        stripped = re.sub(
            r"(LayerNorm|layer_norm)\.(gamma|beta)$", lambda found: f"{found[1]}.{NEW_NAMES[found[2]]}", stripped
        )
        if stripped in seen:
            raise UserError(
                f"'{label}' cannot be loaded: its weights hold both {seen[stripped]} and {name}, which load as one "
                "parameter. Remove one of the two, and save again."
            )
        seen[stripped] = name


def unused_weights(names: Collection[str], unexpected: Collection[str], model: Any) -> list[str]:
    """Return the weights of the encoder that the loaded model does not use, sorted by name.

    A weight belongs to the encoder if its name begins with the base model's prefix. In a file
    without that prefix, it begins with a part of the model. It also belongs to the encoder if it
    contains the path of an inner module. Heads, poolers and computed tables do not count.

    Parameters
    ----------
    names : collection of str
        Names in the file.
    unexpected : collection of str
        Names that the library did not use.
    model : torch.nn.Module
        The loaded base model.
    """
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    has_prefix = bool(prefix) and any(name.startswith(prefix) for name in names)
    parts = {name for name, child in model.named_children() if any(True for _ in child.parameters())} - {"pooler"}
    inner = {
        path for path in map(_without_numbers, (path for path, _ in model.named_modules())) if path.count(".") >= 2
    }
    buffers = {_without_numbers(name) for name, _ in model.named_buffers()}

    def belongs_to_encoder(name: str) -> bool:
        stripped = name.removeprefix(prefix)
        first, *_, last = stripped.split(".") if "." in stripped else (stripped, stripped)
        if last in BUFFERS or _without_numbers(stripped) in buffers or first == "pooler":
            return False
        if name.startswith(prefix) if has_prefix else first in parts:
            return True
        steps = _without_numbers(name).split(".")
        return any(
            ".".join(steps[start:end]) in inner
            for start in range(len(steps))
            for end in range(start + 3, len(steps) + 1)
        )

    return sorted(filter(belongs_to_encoder, unexpected))


def unused_reason(names: Sequence[str], layers: int) -> str:
    """Return why weights are unused, as far as their names show it, and the way out."""
    if any("lora_" in name or "adapter" in name for name in names):
        return "they belong to an adapter: merge it into its model (merge_and_unload) and save that"
    if any("distance_embedding" in name for name in names):
        return "its relative positions are no longer computed by transformers, so choose another checkpoint"
    numbers = [int(step) for name in names for step in name.split(".") if step.isdigit()]
    if numbers and max(numbers) >= layers:
        return f"config.json says {layers} layers, and the weights have more: get both of one checkpoint"
    return "its hidden states would not be those that were trained: get config.json and the weights of one checkpoint"


def find_prefix_mismatch(names: Collection[str], missing: Collection[str], prefix: str) -> tuple[str, str] | None:
    """Return the prefix by which the names in a file differ from the model's, or None.

    Returns
    -------
    tuple of str or None
        ``("remove", "module.")``: the file's names have this prefix in excess.
        ``("add", "encoder.")``: they lack it.
    """
    for way, longer, shorter in (("remove", names, missing), ("add", missing, names)):
        ends = set(shorter)
        found: Counter[str] = Counter()
        for name in longer:
            steps = name.split(".")
            found.update(".".join(steps[:cut]) + "." for cut in range(1, len(steps)) if ".".join(steps[cut:]) in ends)
        if found:
            best, times = found.most_common(1)[0]
            if 2 * times >= len(missing):
                return way, best.removesuffix(prefix) if prefix and best != prefix else best
    return None


def _without_numbers(name: str) -> str:
    """Return a dotted name with 0 in place of each number."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "0", name)

"""Measure a checkpoint's next-sentence head: evidence that its pooler fits its encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

PASSAGES = (
    (
        "The ferry left the harbour a little after six in the morning.",
        "Most of its passengers went below to sleep through the crossing.",
        "A few stayed on deck and watched the lights of the town grow small.",
        "By the time the sun was up, there was nothing around the ship but water.",
        "The first island came into sight shortly before noon.",
    ),
    (
        "My grandmother kept her bees at the end of the orchard.",
        "Every spring she walked out to see how many hives had lived through the winter.",
        "When a hive was empty, she cleaned it and waited for a new swarm.",
        "She never wore gloves, and the bees seldom stung her.",
        "In August she carried the full combs into the kitchen and cut them open.",
    ),
    (
        "The judge asked the witness to repeat what she had seen that night.",
        "She answered that two men had run out of the bank.",
        "One of them had carried a heavy bag over his shoulder.",
        "The lawyer for the defence wanted to know how she could be sure in the dark.",
        "She pointed to the street lamp on the photograph beside her.",
    ),
    (
        "To make the dough, mix the flour with salt and a little yeast.",
        "Pour in the warm water slowly and stir until nothing sticks to the bowl.",
        "Cover it with a cloth and let it rest for two hours.",
        "After that it should have doubled in size.",
        "Shape it into a loaf and bake it until the crust is brown.",
    ),
)


def sentence_pairs() -> list[tuple[str, str, bool]]:
    """Return pairs of sentences, and whether the second follows the first.

    These are all pairs of consecutive sentences of `PASSAGES`, and as many pairs across passages.
    """
    pairs = []
    for number, passage in enumerate(PASSAGES):
        other = PASSAGES[(number + 1) % len(PASSAGES)]
        for place in range(len(passage) - 1):
            pairs += [(passage[place], passage[place + 1], True), (passage[place], other[place + 1], False)]
    return pairs


def load_next_sentence_head(checkpoint: Checkpoint) -> tuple[Tensor, Tensor] | None:
    """Return weight (2, width) and bias (2,) of the next-sentence head, or None if there is none."""
    from safetensors import safe_open

    weight, bias = "cls.seq_relationship.weight", "cls.seq_relationship.bias"
    if checkpoint.original is not None:
        heads = checkpoint.original.parameters(heads=True)
        return (heads[weight], heads[bias]) if weight in heads else None
    for name in checkpoint.weights:
        with safe_open(checkpoint.folder / name, framework="pt") as file:
            if {weight, bias} <= set(file.keys()):
                return file.get_tensor(weight).float(), file.get_tensor(bias).float()
    return None

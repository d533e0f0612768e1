"""Is the pooler real? What a checkpoint's W and b show of whether anything ever trained them.

transformers fills a pooler that a checkpoint lacks with fresh random weights, so a `pooler_output` can be noise without anybody being told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torch import Tensor

EDGE_SLACK = 4.0  # Tracy-Widom: the largest eigenvalue of n x n noise strays from the edge by a few n^(-2/3)
DISTANCE = 6.0  # Kolmogorov distance to the law times the width: noise of 8 to 768 columns stays under 4


@dataclass(frozen=True)
class Pooler:
    """W (width, width) and b (width,) of a checkpoint's pooler, None where it has none.

    ``missing`` says that the architecture has a pooler whose weights the checkpoint lacks.
    """

    model_type: str
    tensor_weight: Tensor | None
    tensor_bias: Tensor | None
    missing: bool

    @property
    def weight(self) -> np.ndarray | None:
        return None if self.tensor_weight is None else self.tensor_weight.cpu().double().numpy()

    @property
    def bias(self) -> np.ndarray | None:
        return None if self.tensor_bias is None else self.tensor_bias.cpu().double().numpy()


def diagnose(pooler: Pooler, next_sentence: float | None) -> dict[str, Any]:
    """The pooler's status with its evidence, as it stands in every record.

    `untrained` needs both signs, a bias of zeros and the spectrum of a fresh random matrix; one alone is evidence.
    """
    weight, bias = pooler.weight, pooler.bias
    if weight is None or bias is None:
        return {"status": "missing" if pooler.missing else "absent", "evidence": {"model_type": pooler.model_type}}
    broken = int(np.count_nonzero(~np.isfinite(weight)) + np.count_nonzero(~np.isfinite(bias)))
    if broken:
        return {"status": "missing", "evidence": {"model_type": pooler.model_type, "not_finite": broken}}
    spectrum = marchenko_pastur(weight)
    zero_bias = not bias.any()
    evidence = {
        "bias_is_zero": zero_bias,
        "spectrum_is_random": spectrum["is_random"],
        **spectrum,
        "next_sentence_accuracy": next_sentence,
        "fit_to_encoder": "unknown: weights cannot show whether the encoder was tuned later without its pooler"
        if next_sentence is None
        else "see next_sentence_accuracy (0.5 is chance)",
    }
    del evidence["is_random"]
    return {"status": "untrained" if zero_bias and spectrum["is_random"] else "trained", "evidence": evidence}


def marchenko_pastur(weight: np.ndarray) -> dict[str, Any]:
    """Hold the singular values of a square matrix against those of a matrix of independent entries of the same variance.

    Parameters
    ----------
    weight : array of shape (width, width)

    Returns
    -------
    dict
        ``entry_std``; ``singular_max`` and the ``singular_edge`` (2 std sqrt(width)) that noise does not pass; ``distance``, the largest
        gap between the two distribution functions; ``is_random``, whether both agree with noise.

    References
    ----------
    Marchenko and Pastur (1967), Distribution of eigenvalues for some sets of random matrices.
    """
    width = len(weight)
    std = float(weight.std())
    if std == 0:
        return {"entry_std": 0.0, "singular_max": 0.0, "singular_edge": 0.0, "distance": 1.0, "is_random": False}
    singular = np.sort(np.linalg.svd(weight, compute_uv=False))
    expected = quarter_circle(singular / (std * np.sqrt(width)))
    steps = np.arange(width + 1) / width
    distance = float(np.maximum(np.abs(expected - steps[1:]), np.abs(expected - steps[:-1])).max())
    edge = 2 * std * np.sqrt(width)
    is_random = singular[-1] <= edge * (1 + EDGE_SLACK * width ** (-2 / 3) / 2) and distance <= DISTANCE / width
    return {
        "entry_std": std,
        "singular_max": float(singular[-1]),
        "singular_edge": float(edge),
        "distance": distance,
        "is_random": bool(is_random),
    }


def quarter_circle(values: np.ndarray) -> np.ndarray:
    """Distribution function of the singular values of square noise, in units of std sqrt(width): the Marchenko-Pastur law for ratio one.

    >>> quarter_circle(np.array([0.0, 2.0])).tolist()
    [0.0, 1.0]
    """
    x = np.clip(values, 0, 2)
    return (x * np.sqrt(4 - x**2) / 2 + 2 * np.arcsin(x / 2)) / np.pi


def refuse(pooling: str, label: str, pooler: dict[str, Any]) -> UserError:
    """The error for a pooling that needs a pooler where the checkpoint holds none."""
    if broken := pooler["evidence"].get("not_finite"):
        return UserError(
            f"encoder '{label}' has no pooler that can be used: {broken} of its weights are no finite numbers.\nChoose another pooling "
            f"than '{pooling}' (cls or mean), or get the checkpoint again."
        )
    if pooler["status"] == "missing":
        return UserError(
            f"encoder '{label}' has no trained pooler: pooler.dense.weight is missing from its checkpoint, and random "
            "weights would stand in for it.\n"
            f"Choose another pooling than '{pooling}' (cls, mean, or random_pooler to measure just that), or a "
            "checkpoint saved with its pooler."
        )
    return UserError(
        f"encoder '{label}' ({pooler['evidence']['model_type']}) has no pooler: its architecture has none.\nChoose "
        f"another pooling than '{pooling}': cls or mean."
    )


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
    """Pairs of sentences, and whether the second follows the first: all consecutive ones of our passages, and as many across passages."""
    pairs = []
    for number, passage in enumerate(PASSAGES):
        other = PASSAGES[(number + 1) % len(PASSAGES)]
        for place in range(len(passage) - 1):
            pairs += [(passage[place], passage[place + 1], True), (passage[place], other[place + 1], False)]
    return pairs

"""Diagnose from its weights whether a checkpoint's pooler was ever trained.

transformers fills a pooler that a checkpoint lacks with random weights and does not raise an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from src.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

EDGE_SLACK = 4.0  # Tracy-Widom: the largest eigenvalue of n x n noise exceeds the edge by a few n^(-2/3)
MAX_DISTANCE = 6.0  # Kolmogorov distance to the law, times the width; noise of 8 to 768 columns stays under 4


@dataclass(frozen=True)
class Pooler:
    """The pooler of a checkpoint.

    Attributes
    ----------
    model_type : str
    tensor_weight, tensor_bias : tensors (width, width), (width,) or None
        W and b of ``tanh(W h + b)``; None if the checkpoint has no pooler.
    missing : bool
        Whether the architecture has a pooler, and the checkpoint lacks its weights.
    """

    model_type: str
    tensor_weight: Tensor | None
    tensor_bias: Tensor | None
    missing: bool

    @property
    def weight(self) -> np.ndarray | None:
        """W, float64 (width, width)."""
        return None if self.tensor_weight is None else self.tensor_weight.cpu().double().numpy()

    @property
    def bias(self) -> np.ndarray | None:
        """b, float64 (width,)."""
        return None if self.tensor_bias is None else self.tensor_bias.cpu().double().numpy()


def diagnose_pooler(pooler: Pooler, next_sentence: float | None) -> dict[str, Any]:
    """Return the pooler's status and the evidence for it, as every record states them.

    `untrained` needs both signs: a bias of zeros, and the spectrum of a fresh random matrix.

    Parameters
    ----------
    next_sentence : float or None
        Accuracy of the checkpoint's next-sentence head; None if it has none.
    """
    weight, bias = pooler.weight, pooler.bias
    if weight is None or bias is None:
        return {"status": "missing" if pooler.missing else "absent", "evidence": {"model_type": pooler.model_type}}
    not_finite = int(np.count_nonzero(~np.isfinite(weight)) + np.count_nonzero(~np.isfinite(bias)))
    if not_finite:
        return {"status": "missing", "evidence": {"model_type": pooler.model_type, "not_finite": not_finite}}
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
    """Compare the singular values of a square matrix with those of independent random entries.

    Parameters
    ----------
    weight : array of shape (width, width)

    Returns
    -------
    dict
        ``entry_std``; ``singular_max``; ``singular_edge``, 2 std sqrt(width), which noise does not
        exceed; ``distance``, the largest difference between the two distribution functions;
        ``is_random``, whether both agree with noise of the same variance.

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
    is_random = singular[-1] <= edge * (1 + EDGE_SLACK * width ** (-2 / 3) / 2) and distance <= MAX_DISTANCE / width
    return {
        "entry_std": std,
        "singular_max": float(singular[-1]),
        "singular_edge": float(edge),
        "distance": distance,
        "is_random": bool(is_random),
    }


def quarter_circle(values: np.ndarray) -> np.ndarray:
    """Return the distribution function of the singular values of square noise.

    This is the Marchenko-Pastur law for ratio one; the values are in units of std sqrt(width).

    >>> quarter_circle(np.array([0.0, 2.0])).tolist()
    [0.0, 1.0]
    """
    x = np.clip(values, 0, 2)
    return (x * np.sqrt(4 - x**2) / 2 + 2 * np.arcsin(x / 2)) / np.pi


def pooler_error(pooling: str, label: str, pooler: dict[str, Any]) -> UserError:
    """Return the error for a pooling that needs a pooler, if the checkpoint holds none.

    Parameters
    ----------
    label : str
        The checkpoint's.
    pooler : dict
        From `diagnose_pooler`.
    """
    if not_finite := pooler["evidence"].get("not_finite"):
        return UserError(
            f"encoder '{label}' has no usable pooler: {not_finite} of its weights are NaN or infinite.\nChoose "
            "another pooling "
            f"than '{pooling}' (cls or mean), or get the checkpoint again."
        )
    if pooler["status"] == "missing":
        return UserError(
            f"encoder '{label}' has no trained pooler: pooler.dense.weight is missing from its checkpoint, and "
            "random "
            "weights would take its place.\n"
            f"Choose another pooling than '{pooling}' (cls, mean, or random_pooler to measure exactly that), or a "
            "checkpoint saved with its pooler."
        )
    return UserError(
        f"encoder '{label}' ({pooler['evidence']['model_type']}) has no pooler: its architecture has none.\nChoose "
        f"another pooling than '{pooling}': cls or mean."
    )

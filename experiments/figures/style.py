"""What every figure shares: each pooling's colour and label, by name, and a look that does not depend on the machine."""

from __future__ import annotations

from typing import Any

from src.pooling import poolings

# Okabe and Ito's palette, which colour-blind readers can tell apart; the same colour for a pooling in every figure.
COLOURS = {
    "cls": "#0072B2",
    "pooler": "#D55E00",
    "mean": "#009E73",
    "max": "#CC79A7",
    "cls_mean": "#56B4E9",
    "mean_content": "#E69F00",
    "pooler_preactivation": "#F0E442",
    "random_pooler": "#999999",
}
LABELS = {
    "cls": "[CLS]",
    "pooler": "pooler",
    "mean": "mean",
    "max": "max",
    "pooler_preactivation": "W h + b",
    "random_pooler": "random pooler",
}
METRICS = {"mcc": "Matthews correlation", "f1": "F1", "accuracy": "accuracy", "pearson": "Pearson correlation"}
OTHER = "#000000"


def label(pooling: str, pooler: str) -> str:
    """A pooling's name in a legend; a pooler that was never trained is called so wherever it appears."""
    name = LABELS.get(pooling, pooling)
    needs_pooler = pooling in poolings and poolings[pooling].needs_pooler
    return f"{name} (untrained)" if needs_pooler and pooler == "untrained" else name


def figure(width: float, height: float, columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A figure of rows x columns axes, sizes in inches, with the project's type and lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "probes"}
    )
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False)

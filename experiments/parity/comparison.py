"""Largest differences between the systems, as one record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.parity.options import FIXTURE, Options
from experiments.parity.systems import (
    PyTorchSystems,
    System,
    read_recorded,
    run_pytorch,
    run_tensorflow,
    tensorflow_version,
)
from src.errors import UserError

POINTS = 240  # values of pooled_output and of [CLS] in the figure
SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")


def compare(options: Options) -> dict[str, Any]:
    """Run all systems that are available and return the record of their differences."""
    recorded = None if options.checkpoint or options.sentences else read_recorded(Path(options.folder))
    local = run_pytorch(options, recorded)
    given, batch = local.given, local.batch
    theirs, absent = run_tensorflow(options, given, batch, recorded)
    reference = theirs[0] if theirs else local.systems[-1]
    real = batch.mask.astype(bool)
    first = reference.outputs.sequence[:, 0]
    picked = np.linspace(0, first.size - 1, min(POINTS, first.size)).astype(int)
    return {
        "model": options.name or _model_name(given.label, options),
        "weights": given.weights,
        "shape": {name: given.config[name] for name in SHAPE},
        "sentences": len(batch.ids),
        "tokens": int(batch.mask.sum()),
        "tensorflow": tensorflow_version(recorded),
        "reference": reference.title,
        "largest": {
            "sequence_output": float(np.abs(reference.outputs.sequence[real]).max()),
            "pooled_output": float(np.abs(first).max()),
        },
        "systems": [differences(system, reference, real, local) for system in [*theirs, *local.systems]],
        "absent": absent,
        "values": {
            "cls": [float(f"{value:.6g}") for value in first.reshape(-1)[picked]],
            "pooled": [float(f"{value:.6g}") for value in reference.outputs.pooled.reshape(-1)[picked]],
        },
    }


def _model_name(label: str, options: Options) -> str:
    if options.checkpoint is not None:
        return label
    folder = Path(options.folder).resolve()
    return "random" if folder == FIXTURE else folder.name


def differences(system: System, reference: System, real: np.ndarray, local: PyTorchSystems) -> dict[str, Any]:
    """Return the largest differences of a system.

    They are to the reference, to the pooler's formula, and between its pooled_output and [CLS].
    `real` marks the tokens that are not padding, (rows, tokens) bool.
    """
    sequence, pooled = system.outputs.sequence, system.outputs.pooled
    first = sequence[:, 0].astype(np.float64)
    return {
        "system": system.name,
        "title": system.title,
        "interface": system.outputs.interface,
        "hidden_act": system.hidden_act,
        "recorded": system.recorded,
        "shapes": {"sequence_output": list(sequence.shape), "pooled_output": list(pooled.shape)},
        "sequence_output": _largest(sequence[real], reference.outputs.sequence[real]),
        "pooled_output": _largest(pooled, reference.outputs.pooled),
        "pooler_formula": _largest(pooled, np.tanh(first @ local.weight.T + local.bias)),
        "pooled_against_cls": _largest(pooled, first),
        "correlation_with_cls": float(np.corrcoef(pooled.reshape(-1), first.reshape(-1))[0, 1]),
    }


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        raise UserError(
            f"the systems give vectors of shapes {a.shape} and {b.shape}: they hold different models. "
            "Name forms of one model."
        )
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())

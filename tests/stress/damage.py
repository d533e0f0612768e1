"""Damage: changed, truncated, missing and strange files in the store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.stress.harness import Harness, features_digest


def flip(path: Path, rng: np.random.Generator) -> None:
    """Change one random bit of a file."""
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def damage(harness: Harness, rows: int) -> None:
    """Check that damage to a stored file is detected, reported and repaired."""
    expected = harness.expected_digest(rows)
    store, output = harness.folder / "store", harness.folder / "whole"
    # An extraction reads the requested features, the tokens and the facts about the model.
    requested = next(path.parent for path in store.glob("features/*/*/values.npy") if _holds(path, output))
    used = [requested, *store.glob("tokens/*/*"), *store.glob("facts/*/*")]
    files = sorted(path for folder in used for path in folder.iterdir())

    def check(name: str, harm: Callable[[], object], detected: bool = True) -> None:
        harm()
        finished = harness.extract(rows, store, output).wait()
        warned = "is damaged" in finished.error
        same = features_digest(output) == expected
        good = finished.status == 0 and warned == detected and same and "Traceback" not in finished.error
        harness.report(
            "damage",
            good,
            f"{name}: {'reported' if warned else 'not reported'}, features {'the same' if same else 'DIFFER'}",
        )

    for path in files:
        for _ in range(3 if path.name == "values.npy" else 1):
            check(
                f"a bit of {path.relative_to(store).parts[0]}/{path.name} flipped",
                lambda path=path: flip(path, harness.rng),  # type: ignore[misc]
            )
    values = requested / "values.npy"
    check("values.npy cut to half", lambda: os.truncate(values, values.stat().st_size // 2))
    check("values.npy empty", lambda: os.truncate(values, 0))
    check("values.npy deleted", values.unlink)
    check("meta.json deleted", (requested / "meta.json").unlink)
    check(
        "a strange file beside the values", lambda: (requested / "strange.npy").write_bytes(b"garbage"), detected=False
    )
    check("strange files in the store", lambda: _strange(store), detected=False)


def _holds(path: Path, output: Path) -> bool:
    """Return whether a stored array is the one that the extraction wrote out."""
    values = np.load(path)
    return (output / "train.safetensors").read_bytes().endswith(values.tobytes())


def _strange(store: Path) -> None:
    """Put a strange file into every folder of the store."""
    for place in ("features", "tokens", "partial", "tmp", "locks", "."):
        (store / place).mkdir(exist_ok=True)
        (store / place / "strange").write_bytes(b"garbage")

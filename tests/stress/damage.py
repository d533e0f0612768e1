"""Damage: changed, truncated, missing and strange files in the store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.stress.harness import Harness, features_digest


def flip(path: Path, rng: np.random.Generator, part: tuple[float, float] = (0, 1)) -> None:
    """Change one random bit of a file, in the given part of it."""
    data = bytearray(path.read_bytes())
    first, end = (int(share * len(data)) for share in part)
    data[int(rng.integers(first, end))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def damage(harness: Harness, rows: int) -> None:
    """Check that damage to a stored file is detected, reported and repaired."""
    expected = harness.expected_digest(rows)
    store, output = harness.folder / "store", harness.folder / "whole"
    # An extraction reads the requested features, the tokens and the facts about the model.
    requested, part = next(found for path in store.glob("features/*/*/meta.json") if (found := _read(path, output)))
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
        check(
            f"a bit of {path.relative_to(store).parts[0]}/{path.name} flipped",
            lambda path=path: flip(path, harness.rng),  # type: ignore[misc]
        )

    def shard() -> Path:
        return Path(harness.rng.choice(sorted(map(str, store.glob("passes/*/*.npy")))))

    for _ in range(3):
        check("a bit of a shard flipped", lambda: flip(shard(), harness.rng, part))
    check("a shard cut to half", lambda: os.truncate(path := shard(), path.stat().st_size // 2))
    check("a shard empty", lambda: os.truncate(shard(), 0))
    check("a shard deleted", lambda: shard().unlink())
    check("meta.json deleted", (requested / "meta.json").unlink)
    check(
        "a strange file beside the values", lambda: (requested / "strange.npy").write_bytes(b"garbage"), detected=False
    )
    check("strange files in the store", lambda: _strange(store), detected=False)


def _read(path: Path, output: Path) -> tuple[Path, tuple[float, float]] | None:
    """Return the folder of a stored value and its part of each shard, if the extraction wrote it out."""
    where = json.loads(path.read_text())["meta"]
    (first, *_) = sorted((path.parents[3] / "passes" / where["shards"]).glob("*.npy"))
    vectors, written = np.load(first)[where["place"]], (output / "train.safetensors").read_bytes()
    if not all(row.tobytes() in written for row in vectors[:8]):
        return None
    return path.parent, ((where["place"] + 0.1) / where["targets"], (where["place"] + 0.9) / where["targets"])


def _strange(store: Path) -> None:
    """Put a strange file into every folder of the store."""
    for place in ("features", "tokens", "passes", "tmp", "locks", "."):
        (store / place).mkdir(exist_ok=True)
        (store / place / "strange").write_bytes(b"garbage")

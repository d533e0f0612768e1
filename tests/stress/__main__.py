"""Check what the store withstands: ``python -m tests.stress``.

Each check runs the commands as a user does, in processes of their own on a store of its own, with a
small random BERT and synthetic sentences. It prints a line with its figures and ``ok`` or
``FAILED``; the exit status is 1 if a check failed.

``part`` runs one part alone. ``kills`` is how often an extraction of ``pass_rows`` rows is killed;
``rows`` is the size whose peak memory is compared with that of a tenth of it; ``crowd_rows`` is the
size for concurrent processes and for damage; ``disk`` is the size of the small disk in MB; ``seed``
draws the moments of the kills and the damaged bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.cli import command
from src.errors import UserError
from tests.stress.concurrency import crowd
from tests.stress.damage import damage
from tests.stress.disk import disk
from tests.stress.harness import Harness
from tests.stress.kills import kills
from tests.stress.memory import memory


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    part: Literal["all", "kills", "crowd", "memory", "damage", "disk"] = "all"
    kills: int = 20
    pass_rows: int = 250_000
    rows: int = 600_000
    crowd_rows: int = 20_000
    disk: int = 40  # MB
    seed: int = 0


@command(Options)
def main(options: Options) -> None:
    """Run the requested parts."""
    parts: dict[str, Callable[[Harness], None]] = {
        "kills": lambda harness: kills(harness, options.pass_rows, options.kills),
        "crowd": lambda harness: crowd(harness, options.crowd_rows),
        "memory": lambda harness: memory(harness, options.rows),
        "damage": lambda harness: damage(harness, options.crowd_rows),
        "disk": lambda harness: disk(harness, options.disk),
    }
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        harness = Harness(Path(folder), options.seed)
        for name, part in parts.items():
            if options.part in ("all", name):
                part(harness)
    if harness.failures:
        raise UserError(f"{harness.failures} checks failed.")


if __name__ == "__main__":
    main()

"""The options of fine-tuning and the schedule that they describe."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.cli import ModelPath, at_least, required

HEADS = ("cls", "pooler", "mean")


@dataclass(frozen=True)
class Runtime:
    """Settings of processes and folders."""

    threads: int | None = at_least(1, None)  # worker processes, of one thread each; unset: the cores
    cache_dir: str | None = None
    progress: bool = True


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = required("the folder of the records")
    model: ModelPath = ModelPath("embedded:bert-books")
    dataset: tuple[str, ...] = ("demo_sentiment", "demo_coherence")
    pooling: tuple[str, ...] = HEADS
    seeds: tuple[int, ...] = at_least(0, (0, 1, 2))
    rate: tuple[float, ...] = (0.0003,)  # peak learning rate; of several, each dataset and pooling takes its best
    epochs: int = at_least(1, 3)
    batch: int = at_least(1, 32)  # rows
    rows: int | None = at_least(10, None)  # most training rows of a dataset, drawn once; unset: all
    resamples: int = at_least(100, 10000)
    data_root: str | None = None
    runtime: Runtime = Runtime()


@dataclass(frozen=True)
class Schedule:
    """Describes AdamW with a linear warm-up and a linear decay to zero."""

    epochs: int
    batch: int  # rows
    rows: int | None  # most training rows
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.01  # of matrices; biases and layer norms do not decay
    clip: float = 1.0  # largest norm of the gradient

    def steps(self, rows: int) -> int:
        """Return the steps of all epochs over this many rows."""
        return self.epochs * -(-rows // self.batch)

    def rate_share(self, step: int, steps: int) -> float:
        """Return the share of the peak rate at a step, counted from 0."""
        rising = max(1, math.ceil(self.warmup * steps))
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising + 1))

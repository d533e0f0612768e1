"""What decides a pre-training: start, shape, schedule, pace. Free of torch, so that every key can be printed and checked at once."""

from __future__ import annotations

from dataclasses import dataclass, field

OBJECTIVES = ("mlm_nsp", "mlm")
NEGATIVES = ("other_document", "same_document")
DTYPES = ("float32", "bfloat16")


@dataclass
class Start:
    """Where the weights begin."""

    path: str | None = (
        None  # hub id or folder of a BERT checkpoint to go on from, with its tokenizer; unset: fresh weights of `shape`
    )


@dataclass
class Shape:
    """The encoder's shape; the intermediate layer is four times the width, as in BERT."""

    layers: int = 3
    width: int = 192
    heads: int = 6
    positions: int = 256
    vocab_size: int = 8192


@dataclass
class Schedule:
    """What is learnt from, in which order and how fast."""

    objective: str = (
        "mlm_nsp"  # masked words and next sentences, or masked words alone (mlm): then the pooler stays as it was
    )
    negatives: str = (
        "other_document"  # where second segments that do not follow come from: other_document or same_document
    )
    dtype: str = (
        "float32"  # of products and attention: float32, or bfloat16 (autocast; weights and their updates stay float32)
    )
    steps: int = 8000
    tokens: int = 4096  # a step, over all workers
    lengths: dict[int, float] = field(
        default_factory=lambda: {64: 0.15, 128: 0.65, 256: 0.2}
    )  # word pieces a row: share of the steps
    rate: float = 1e-3  # learning rate after the warm-up
    warmup: int = 400  # steps of linear rise
    decay: int = 5750  # last steps of linear fall to zero; between them the rate stays
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    dropout: float = 0.0
    embeddings: str = (
        "svd"  # where the tables begin: svd (co-occurrences of the training text; sinusoidal places) or random
    )
    deviation: float = 0.05  # standard deviation of both tables at the start, where they are not random
    seed: int = 0


@dataclass
class Pace:
    """How often something is written, and where the work is done."""

    evaluate: int = 500  # steps
    held_out_rows: int = 2048
    held_out_length: int = 128
    save: int = 250  # steps between states that a killed run goes on from
    prepared: str | None = (
        None  # folder of the tokenised text, which several trainings may share; unset: below the output
    )
    snapshots: list[int] = field(default_factory=list)  # steps whose model is kept
    workers: int | None = None  # processes, of one thread each on a CPU; unset: the cores, or the GPUs
    threads: int | None = None  # of a single worker on a CPU; unset: the cores
    device: str = "auto"  # auto, cpu, cuda
    progress: bool = True


def rate_at(step: int, schedule: Schedule) -> float:
    """Learning rate of a step: a linear rise, a plateau, a linear fall."""
    rise = min(1.0, (step + 1) / max(1, schedule.warmup))
    fall = min(1.0, (schedule.steps - step) / max(1, schedule.decay))
    return schedule.rate * min(rise, fall)

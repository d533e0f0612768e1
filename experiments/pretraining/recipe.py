"""The settings of a pre-training; no torch is imported, so that a bad key ends at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from src.config.schema import TrackerConfig

OBJECTIVES = ("mlm_nsp", "mlm")
NEGATIVES = ("other_document", "same_document")
DTYPES = ("float32", "bfloat16")
EMBEDDINGS = ("svd", "random")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Start:
    """Settings of the initial weights."""

    # Hub id or folder of a BERT checkpoint with its tokenizer; unset: fresh weights of `shape`.
    path: str | None = None


@dataclass(frozen=True)
class Shape:
    """Shape of the encoder; the intermediate layer is four times the width, as in BERT."""

    layers: int = 3
    width: int = 192
    heads: int = 6
    positions: int = 256
    vocab_size: int = 8192


@dataclass(frozen=True)
class Schedule:
    """Settings of objectives, batches and optimiser."""

    objective: str = "mlm_nsp"  # both losses, or mlm: masked words alone; the pooler is not trained
    negatives: str = "other_document"  # source of second segments that do not follow
    dtype: str = "float32"  # of products and attention; bfloat16 by autocast, weights stay float32
    steps: int = 8000
    tokens: int = 4096  # a step, over all workers
    # Word pieces a row: share of the steps, or 0. Hydra merges what is given into these: schedule.lengths.64=0;
    # a new length takes +schedule.lengths.32=0.1.
    lengths: dict[int, float] = field(default_factory=lambda: {64: 0.15, 128: 0.65, 256: 0.2})
    rate: float = 1e-3  # learning rate after the warm-up
    warmup: int = 400  # steps of linear rise
    decay: int = 5750  # last steps, of linear fall to zero; between them the rate is constant
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    dropout: float = 0.0
    embeddings: str = "svd"  # initial tables: svd of co-occurrences and sinusoids, or random
    deviation: float = 0.05  # standard deviation of both initial tables, unless random
    seed: int = 0


@dataclass(frozen=True)
class Pace:
    """Settings of evaluation, files and devices."""

    evaluate: int = 500  # steps
    held_out_rows: int = 2048
    held_out_length: int = 128
    save: int = 250  # steps between states from which an interrupted training continues
    prepared: str | None = None  # folder of the tokenised text, to share it; unset: below the output
    snapshots: list[int] = field(default_factory=list)  # steps after which the model is saved
    workers: int | None = None  # processes, of one thread each on a CPU; unset: the cores, or the GPUs
    threads: int | None = None  # of a single worker on a CPU; unset: the cores
    device: str = "auto"
    progress: bool = True


@dataclass(frozen=True)
class Pretraining:
    """All settings of one pre-training."""

    text: str | None = None  # folder of .txt files
    output: str = "outputs/pretrain"
    held_out: float = 0.02  # last part of every document, never trained on
    model: Start = field(default_factory=Start)
    shape: Shape = field(default_factory=Shape)
    schedule: Schedule = field(default_factory=Schedule)
    pace: Pace = field(default_factory=Pace)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)


def rate_at(step: int, schedule: Schedule) -> float:
    """Return the learning rate of a step: a linear rise, a plateau, a linear fall."""
    rise = min(1.0, (step + 1) / max(1, schedule.warmup))
    fall = min(1.0, (schedule.steps - step) / max(1, schedule.decay))
    return schedule.rate * min(rise, fall)

"""Workers that share each step's rows: one process a CPU core, with one thread each, or one a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from experiments.pretraining import corpus
from experiments.pretraining.loop import train
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.checkpoint import Checkpoint
from src.models.finding import find_checkpoint

if TYPE_CHECKING:
    from experiments.pretrain import Pretraining


def run(config: Pretraining, output: Path, log: Callable[[dict[str, Any]], None]) -> None:
    """Train with as many workers as asked; this process is the first of them, so that the others end with it."""
    import torch
    from filelock import FileLock, Timeout

    device = config.pace.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    workers = config.pace.workers or (torch.cuda.device_count() if device == "cuda" else len(os.sched_getaffinity(0)))
    config.pace = replace(config.pace, device=device, workers=workers)
    given = None if config.model.path is None else find_checkpoint(ModelConfig(path=config.model.path))
    positions = config.shape.positions if given is None else given.config.get("max_position_embeddings", 0)
    asked = [config.pace.held_out_length, *(length for length, share in config.schedule.lengths.items() if share)]
    if max(asked) > positions:
        raise UserError(
            f"schedule.lengths={config.schedule.lengths}, pace.held_out_length={config.pace.held_out_length}: the model has "
            f"{positions} positions, so rows of at most that many word pieces are allowed."
        )
    lock = FileLock(output / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"output={output}: another process is pre-training there. Wait for it, or name another output."
        ) from error
    with lock, TemporaryDirectory() as meeting:
        work = Path(config.pace.prepared) if config.pace.prepared else output
        place = corpus.prepare(Path(str(config.text)), work, config.shape.vocab_size, config.held_out, given)
        context = torch.multiprocessing.get_context("spawn")
        arguments = (config, output, place, str(Path(meeting) / "store"), given)
        others = [context.Process(target=join, args=(rank, *arguments), daemon=True) for rank in range(1, workers)]
        for other in others:
            other.start()
        try:
            join(0, *arguments, log=log)
        finally:
            for other in others:
                other.join(timeout=5)
                other.kill()


def join(
    rank: int,
    config: Pretraining,
    output: Path,
    place: Path,
    store: str,
    given: Checkpoint | None,
    log: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """One worker's part; `place` is the prepared text, `store` the file where the workers meet, `given` the checkpoint to go on from."""
    import torch
    import torch.distributed as dist

    shape, pace = config.shape, config.pace
    device, workers = pace.device, pace.workers or 1
    if device == "cuda":
        device = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    elif workers > 1 or pace.threads:
        torch.set_num_threads(1 if workers > 1 else pace.threads or 1)
    if workers > 1:
        backend = "nccl" if pace.device == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=workers)
    train_part, held_out, tokenizer = corpus.opened(place)
    from transformers import AutoTokenizer

    positions = shape.positions if given is None else int(given.config["max_position_embeddings"])
    train(
        output,
        (train_part, held_out),
        AutoTokenizer.from_pretrained(tokenizer, model_max_length=positions),
        shape,
        config.schedule,
        pace,
        device=device,
        given=given,
        worker=rank,
        log=log,
    )
    if workers > 1:
        dist.destroy_process_group()

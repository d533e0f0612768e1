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
from src.errors import UserError

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
    lock = FileLock(output / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"output={output}: another process is pre-training there. Wait for it, or name another output.") from error
    with lock, TemporaryDirectory() as meeting:
        place = corpus.prepare(Path(str(config.text)), output, config.shape.vocab_size, config.held_out)
        context = torch.multiprocessing.get_context("spawn")
        arguments = (config, output, place, str(Path(meeting) / "store"))
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
    rank: int, config: Pretraining, output: Path, place: Path, store: str, log: Callable[[dict[str, Any]], None] = lambda row: None
) -> None:
    """One worker's part; `place` is the prepared text, `store` the file where the workers meet."""
    import torch
    import torch.distributed as dist

    shape, pace = config.shape, config.pace
    device, workers = pace.device, pace.workers or 1
    if device == "cuda":
        device = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    elif workers > 1:
        torch.set_num_threads(1)
    if workers > 1:
        backend = "nccl" if pace.device == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=workers)
    train_part, held_out, tokenizer = corpus.opened(place)
    from transformers import BertTokenizer

    train(
        output,
        (train_part, held_out),
        BertTokenizer.from_pretrained(tokenizer, model_max_length=shape.positions),
        shape,
        config.schedule,
        pace,
        device=device,
        worker=rank,
        log=log,
    )
    if workers > 1:
        dist.destroy_process_group()

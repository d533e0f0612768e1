"""Workers that share each step's rows: a single-threaded process per core, or one per GPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.pretraining.corpus import load_prepared, prepare
from experiments.pretraining.recipe import Pace, Pretraining
from experiments.pretraining.training import train
from experiments.pretraining.validation import used_lengths
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.checkpoint import Checkpoint
from src.models.finding import find_checkpoint


def run_workers(config: Pretraining, output: Path, log: Callable[[dict[str, Any]], None]) -> None:
    """Train with as many workers as requested; this process is the first of them.

    Parameters
    ----------
    output : Path
        Folder of the checkpoint and of the state; it exists.
    log : function
        Gets each row of ``training.csv`` as it is made.

    Raises
    ------
    UserError
        Another process trains in this folder, or rows are longer than the model's positions.
    """
    from filelock import FileLock, Timeout
    from torch.multiprocessing import get_context

    config = replace(config, pace=resolve_pace(config.pace))
    start = None if config.model.path is None else find_checkpoint(ModelConfig(path=config.model.path))
    check_positions(config, start)
    lock = FileLock(output / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"output={output}: another process is pre-training there. Wait for it, or name another output."
        ) from error
    with lock, TemporaryDirectory() as rendezvous:
        work = Path(config.pace.prepared) if config.pace.prepared else output
        text = prepare(Path(str(config.text)), work, config.shape.vocab_size, config.held_out, start)
        arguments = (config, output, text, str(Path(rendezvous) / "store"), start)
        context, ranks = get_context("spawn"), range(1, config.pace.workers or 1)
        others = [context.Process(target=run_worker, args=(rank, *arguments), daemon=True) for rank in ranks]
        for other in others:
            other.start()
        try:
            run_worker(0, *arguments, log=log)
        finally:
            for other in others:
                other.join(timeout=5)
                other.kill()


def resolve_pace(pace: Pace) -> Pace:
    """Return the pace with a device and a number of workers that this machine has."""
    import torch

    device = pace.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    available = torch.cuda.device_count() if device == "cuda" else len(os.sched_getaffinity(0))
    return replace(pace, device=device, workers=pace.workers or available)


def check_positions(config: Pretraining, start: Checkpoint | None) -> None:
    """Raise UserError if a row is longer than the model's positions."""
    positions = config.shape.positions if start is None else start.config.get("max_position_embeddings", 0)
    if max(used_lengths(config)) > positions:
        raise UserError(
            f"schedule.lengths={config.schedule.lengths}, pace.held_out_length={config.pace.held_out_length}: "
            f"the model has {positions} positions, so rows of at most that many word pieces are allowed."
        )


def run_worker(
    rank: int,
    config: Pretraining,
    output: Path,
    text: Path,
    store: str,
    start: Checkpoint | None,
    log: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """Train as one of the workers.

    Parameters
    ----------
    text : Path
        Folder of the prepared text.
    store : str
        File by which torch.distributed connects the workers.
    """
    import torch
    import torch.distributed as dist
    from transformers import AutoTokenizer

    pace = config.pace
    device, workers = pace.device, pace.workers or 1
    if device == "cuda":
        device = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    elif workers > 1 or pace.threads:
        torch.set_num_threads(1 if workers > 1 else pace.threads or 1)
    if workers > 1:
        backend = "nccl" if pace.device == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=workers)
    train_part, held_out, folder = load_prepared(text)
    positions = config.shape.positions if start is None else int(start.config["max_position_embeddings"])
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=positions)
    train(
        output, (train_part, held_out), tokenizer, config.shape, config.schedule, pace,
        device=device, start=start, worker=rank, log=log,
    )  # fmt: skip
    if workers > 1:
        dist.destroy_process_group()

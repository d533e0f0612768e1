"""The training loop, resumable to the same weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers import BertForPreTraining

from experiments.files import write_csv
from experiments.pretraining.corpus import Corpus
from experiments.pretraining.evaluation import evaluate, to_tensors
from experiments.pretraining.examples import Batch, Examples, Vocabulary
from experiments.pretraining.model import Loss, export, initialise_embeddings, load_start, new_model
from experiments.pretraining.recipe import Pace, Schedule, Shape, rate_at
from experiments.pretraining.state import TrainingState, training_identity
from src.errors import UserError
from src.models.checkpoint import Checkpoint

COLUMNS = (
    "step", "tokens", "seconds", "rate", "train_loss", "mlm_loss", "mlm_perplexity", "mlm_accuracy", "nsp_accuracy",
)  # fmt: skip


def draw(examples: Examples, schedule: Schedule, step: int, worker: int, workers: int) -> Batch:
    """Return the batch of a step; it depends on seed, step and worker alone."""
    lengths = list(schedule.lengths)
    weights = np.array([schedule.lengths[length] for length in lengths])
    length = int(np.random.default_rng([schedule.seed, step]).choice(lengths, p=weights / weights.sum()))
    rows = max(1, schedule.tokens // (length * workers))
    return examples.draw(np.random.default_rng([schedule.seed, step, worker]), rows, length)


def make_optimiser(model: BertForPreTraining, schedule: Schedule) -> torch.optim.Optimizer:
    """Return AdamW in which biases and layer norms do not decay, as in BERT."""
    trained = [value for value in model.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in trained if value.ndim >= 2], "weight_decay": schedule.weight_decay},
        {"params": [value for value in trained if value.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


def train(
    output: Path,
    corpora: tuple[Corpus, Corpus],
    tokenizer: Any,
    shape: Shape,
    schedule: Schedule,
    pace: Pace,
    *,
    device: str,
    start: Checkpoint | None = None,
    worker: int = 0,
    log: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """Train the model of a folder from its last state to the schedule's end.

    Every worker calls this; only the first one writes files.

    Parameters
    ----------
    output : Path
        Folder of the checkpoint, the state and ``training.csv``.
    corpora : training part and held-out part
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    start : Checkpoint, optional
        Weights to continue from. None: fresh weights of `shape`.
    worker : int
        Rank of this process, 0 for the first.
    log : function
        Gets each row of ``training.csv`` as it is made.

    Raises
    ------
    UserError
        The folder holds a training with other settings, or its state is damaged.
    """
    trainer = Trainer(output, corpora, tokenizer, shape, schedule, pace, device, start, worker, log)
    with tqdm(
        total=schedule.steps,
        initial=trainer.progress["step"],
        unit="step",
        disable=worker > 0 or not pace.progress,
        dynamic_ncols=True,
        smoothing=0.01,
    ) as bar:
        for step in range(trainer.progress["step"], schedule.steps):
            trainer.take_step(step)
            bar.update()
            if worker == 0:
                trainer.write_step(step + 1, bar)


class Trainer:
    """Holds the model, optimiser and progress of one worker; `train` documents the parameters."""

    def __init__(
        self, output: Path, corpora: tuple[Corpus, Corpus], tokenizer: Any, shape: Shape, schedule: Schedule,
        pace: Pace, device: str, start: Checkpoint | None, worker: int, log: Callable[[dict[str, Any]], None],
    ) -> None:  # fmt: skip
        self.output, self.tokenizer, self.schedule, self.pace = output, tokenizer, schedule, pace
        self.device, self.worker, self.log = device, worker, log
        self.workers = pace.workers or 1
        self.examples, self.held_out = (
            Examples(corpus, Vocabulary.of(tokenizer), schedule.negatives) for corpus in corpora
        )
        self.export_dtype = torch.float16 if start is None else torch.float32
        self.state = TrainingState(output)
        self.model = self._initial_model(shape, corpora[0], start)
        self.loss: nn.Module = Loss(self.model, schedule.objective)
        self.optimiser = make_optimiser(self.model, schedule)
        identity = training_identity(shape, schedule, corpora[0], self.workers, start)
        self.progress: dict[str, Any] = {"step": 0, "seconds": 0.0, "tokens": 0, "rows": [], "identity": identity}
        if self.state.path.is_file():
            self.progress = self.state.read(self.model, self.optimiser, identity)
        self.model.train()
        if self.workers > 1:
            self.loss = DistributedDataParallel(self.loss, find_unused_parameters=False)
        self.began = time.perf_counter() - self.progress["seconds"]
        self.losses: list[float] = []

    def _initial_model(self, shape: Shape, corpus: Corpus, start: Checkpoint | None) -> BertForPreTraining:
        schedule = self.schedule
        if start is not None:
            model = load_start(start, schedule.dropout, schedule.seed)
        else:
            pieces = len(self.tokenizer)  # fewer than shape.vocab_size if the text is small
            model = new_model(replace(shape, vocab_size=pieces), schedule.dropout, schedule.seed)
            if not self.state.path.is_file():
                initialise_embeddings(model, corpus, shape, schedule)
        nn.Module.to(model, self.device)
        if self.device == "cpu" and schedule.dtype == "bfloat16":
            # The fused kernel's backward pass takes more time in bfloat16 than all the rest.
            model.set_attn_implementation("eager")
        return model

    def autocast(self) -> torch.autocast:
        """Return the context in which products have the schedule's dtype."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.schedule.dtype == "bfloat16")

    def take_step(self, step: int) -> None:
        """Update the weights on the batch of a step, counted from 0."""
        schedule = self.schedule
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(step, schedule)
        batch = draw(self.examples, schedule, step, self.worker, self.workers)
        if schedule.dropout:
            # Seeded by the step, so that a continued training drops what an undisturbed one would.
            torch.manual_seed(schedule.seed * 1_000_003 + step * self.workers + self.worker)
        with self.autocast():
            loss = self.loss(*to_tensors(batch, self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), schedule.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        value = float(loss.detach())  # waits for the device, so it comes last
        if not math.isfinite(value):
            raise self._diverged(f"the loss of step {step + 1} is {value}")
        self.losses.append(value)
        self.progress["step"] = step + 1
        self.progress["tokens"] += batch.ids.size * self.workers

    def _diverged(self, reason: str) -> UserError:
        return UserError(
            f"{reason}: the training diverged. The last state is kept in {self.output}; use a smaller schedule.rate "
            "in another output."
        )

    def write_step(self, done: int, bar: tqdm[Any]) -> None:
        """Evaluate, export and save what is due after `done` steps.

        Raises
        ------
        UserError
            A weight or a held-out loss is not finite; nothing is written then.
        """
        last = done == self.schedule.steps
        exported, saved = last or done in self.pace.snapshots, last or done % self.pace.save == 0
        # A loss is that of the weights before its step, so it cannot tell.
        if (exported or saved) and not all(bool(each.isfinite().all()) for each in self.model.parameters()):
            raise self._diverged(f"weights are not finite after step {done}")
        if last or done % self.pace.evaluate == 0:
            self._evaluate(done, bar)
        if exported:
            folder = self.output if last else self.output / "snapshots" / f"{done:06d}"
            export(self.model, self.tokenizer, folder, self.export_dtype)
        if saved:
            self.progress["seconds"] = time.perf_counter() - self.began
            self.state.write(self.model, self.optimiser, self.progress)

    def _evaluate(self, done: int, bar: tqdm[Any]) -> None:
        pace = self.pace
        with self.autocast():
            found: dict[str, Any] = dict(
                evaluate(
                    self.model, self.held_out, rows=pace.held_out_rows, length=pace.held_out_length, device=self.device
                )
            )
        if not all(map(math.isfinite, found.values())):
            raise self._diverged(f"held-out text has no finite loss after step {done}")
        if self.schedule.objective == "mlm":
            found["nsp_accuracy"] = None  # the head is untrained
        seconds = self.progress["seconds"] = time.perf_counter() - self.began
        row = {
            "step": done,
            "tokens": self.progress["tokens"],
            "seconds": round(seconds, 1),
            "rate": rate_at(done - 1, self.schedule),
            "train_loss": float(np.mean(self.losses)),
            **found,
        }
        self.losses = []
        self.progress["rows"].append(row)
        write_csv(self.output / "training.csv", COLUMNS, self.progress["rows"], digits=6)
        self.log(row)
        pairs = "" if found["nsp_accuracy"] is None else f" NSP {found['nsp_accuracy']:.3f}"
        bar.set_postfix_str(f"MLM {found['mlm_accuracy']:.3f}{pairs}")

"""Trials: one fine-tuning each, run in this process or in several."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from tqdm import tqdm

from experiments.studies.finetuning.batches import shuffled_batches
from experiments.studies.finetuning.datasets import TokenisedDataset, open_dataset
from experiments.studies.finetuning.model import PooledModel, parameter_groups, predict
from experiments.studies.finetuning.options import Options
from src.errors import UserError
from src.runtime.clock import Clock
from src.runtime.provenance import cores


@dataclass(frozen=True)
class Trial:
    """Describes one fine-tuning; `holdout` predicts held-out training rows, not test rows."""

    dataset: str
    pooling: str
    rate: float
    seed: int
    holdout: bool = False


@dataclass(frozen=True)
class TrialResult:
    """Holds what a trial computed.

    Attributes
    ----------
    decisions : dict
        (rows, outputs) float64 by role, in the labels' units.
    head : dict
        ``weight`` and ``bias``.
    seconds : dict
        By phase.
    """

    decisions: dict[str, np.ndarray]
    head: dict[str, np.ndarray]
    seconds: dict[str, float]


class DivergenceError(UserError):
    """A trial's loss is not finite."""


def run_trials(options: Options, trials: Sequence[Trial]) -> Generator[TrialResult, None, None]:
    """Yield the results of the trials in their order; `runtime.threads` trials run at once."""
    workers = min(options.runtime.threads or cores(), len(trials))
    quiet = None if options.runtime.progress else True
    with tqdm(total=len(trials), unit="trial", disable=quiet, dynamic_ncols=True) as bar:
        pool = ProcessPoolExecutor(workers, get_context("spawn")) if workers > 1 else None
        try:
            results = (pool.map if pool else map)(partial(run_trial, options), trials)
            for trial, result in zip(trials, results, strict=True):
                bar.set_description_str(f"{trial.dataset}, {trial.pooling}", refresh=False)
                bar.update()
                yield result
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)


def run_trial(options: Options, trial: Trial) -> TrialResult:
    """Fine-tune and predict on one thread, so that the result depends on the seed alone.

    Where held-out rows are predicted, a loss that is not finite gives no decisions: another rate may do.

    Raises
    ------
    UserError
        The loss is not finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        dataset, clock = open_dataset(options, trial.dataset), Clock()
        held = dataset.holdout_mask() if trial.holdout else np.zeros(len(dataset.chosen), dtype=bool)
        with clock.phase("fit"):
            try:
                model, scale, shift = fit(dataset, trial, dataset.chosen[~held])
            except DivergenceError:
                if trial.holdout:
                    return TrialResult({}, {}, {})
                raise
        with clock.phase("encode"):
            if trial.holdout:
                roles = {"train": dataset.train.take(dataset.chosen[held])}
            else:
                roles = {role: dataset.roles[role] for role in dataset.scored}
            decisions = {role: predict(model, rows) * scale + shift for role, rows in roles.items()}
    finally:
        torch.set_num_threads(threads)
    head = {name: getattr(model.head, name).detach().numpy() for name in ("weight", "bias")}
    return TrialResult(decisions, head, clock.seconds())


def fit(dataset: TokenisedDataset, trial: Trial, rows: np.ndarray) -> tuple[PooledModel, float, float]:
    """Fine-tune a copy of the encoder under a new head on these training rows.

    Returns
    -------
    model : PooledModel, in evaluation mode
    scale, shift : float
        Turn its outputs into the labels' units; 1 and 0 for classes.
    """
    schedule, label, classes = dataset.schedule, dataset.train.label, len(dataset.data.classes)
    scale, shift = (1.0, 0.0) if classes else (float(label[rows].std()) or 1.0, float(label[rows].mean()))
    target = torch.from_numpy(label if classes else ((label - shift) / scale).astype(np.float32))
    torch.manual_seed(trial.seed)
    segments = dataset.extractor.encoder.uses_segments
    model = PooledModel(dataset.new_encoder(), trial.pooling, classes or 1, segments=segments)
    optimiser = torch.optim.AdamW(parameter_groups(model, schedule.weight_decay), lr=trial.rate, fused=True)
    steps, step = schedule.steps(len(rows)), 0
    model.train()
    for epoch in range(schedule.epochs):
        rng = np.random.default_rng([trial.seed, epoch])
        for places in shuffled_batches(dataset.train.tokens.lengths[rows], schedule.batch, rng):
            for group in optimiser.param_groups:
                group["lr"] = trial.rate * schedule.rate_share(step, steps)
            output = model(*dataset.train.batch(rows[places]))
            loss = checked_loss(output, target[rows[places]], classes, trial, f"step {step} of {steps}")
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
    return model.eval(), scale, shift


def checked_loss(output: Tensor, target: Tensor, classes: int, trial: Trial, when: str) -> Tensor:
    """Return the loss of a batch; raise `DivergenceError` if it is not finite."""
    loss = cross_entropy(output, target) if classes else mse_loss(output[:, 0], target)
    if not torch.isfinite(loss):
        raise DivergenceError(
            f"{trial.dataset}, {trial.pooling}: the loss is not finite at {when}. Lower rate={trial.rate:g}."
        )
    return loss

"""The training loop: masked language modelling and next-sentence prediction together, resumable to the same weights."""

from __future__ import annotations

import copy
import csv
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers import BertConfig, BertForPreTraining

from experiments.pretraining.corpus import Corpus
from experiments.pretraining.embeddings import embeddings, waves
from experiments.pretraining.examples import Batch, Examples, Vocabulary
from experiments.pretraining.recipe import Pace, Schedule, Shape, rate_at
from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint
from src.models.restricted_folder import restricted_folder
from src.storage.files import Unreadable, checked, parse_json

# BERT-base's 0.02 at width 768, kept in proportion: at a small width 0.02 leaves attention flat for thousands of steps.
DEVIATION = 0.02 * math.sqrt(768)
COLUMNS = (
    "step",
    "tokens",
    "seconds",
    "rate",
    "train_loss",
    "mlm_loss",
    "mlm_perplexity",
    "mlm_accuracy",
    "nsp_accuracy",
)


def build(shape: Shape, dropout: float, seed: int) -> BertForPreTraining:
    """A freshly initialised BERT of this shape with both heads."""
    torch.manual_seed(seed)
    return BertForPreTraining(
        BertConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
            max_position_embeddings=shape.positions,
            initializer_range=round(DEVIATION / math.sqrt(shape.width), 4),
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def go_on(given: Checkpoint, dropout: float, seed: int) -> BertForPreTraining:
    """The weights of a BERT checkpoint; heads that it lacks, and its pooler, are initialised from the seed.

    Raises
    ------
    UserError
        Another architecture, or a weight of the encoder that the file lacks.
    """
    if given.config.get("model_type") != "bert":
        raise UserError(
            f"model.path: '{given.label}' is of type {given.config.get('model_type')!r}, and pre-training goes on from BERT alone."
        )
    torch.manual_seed(seed)
    loaded: Any = BertForPreTraining.from_pretrained(
        restricted_folder(given),
        output_loading_info=True,
        local_files_only=True,
        dtype="float32",
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model, info = loaded
    if missing := sorted(name for name in info["missing_keys"] if not name.startswith(("cls.", "bert.pooler."))):
        raise UserError(f"model.path: '{given.label}' lacks {', '.join(missing[:3])}: a whole BERT encoder is needed.")
    assert isinstance(model, BertForPreTraining)
    return model


def objective(
    model: BertForPreTraining, ids: Tensor, segments: Tensor, places: Tensor, targets: Tensor, random: Tensor
) -> tuple[Tensor, ...]:
    """Logits of the masked places alone, (masked, vocabulary), and of the pairs, (rows, 2), with their losses.

    The vocabulary is by far the widest matrix, so nothing is predicted where nothing was masked.
    """
    output = model.bert(input_ids=ids, token_type_ids=segments)
    words = model.cls.predictions(output.last_hidden_state.flatten(0, 1)[places])
    pairs = model.cls.seq_relationship(output.pooler_output)
    return words, pairs, cross_entropy(words.float(), targets), cross_entropy(pairs.float(), random)


def tensors(batch: Batch, device: str) -> tuple[Tensor, ...]:
    return tuple(
        torch.from_numpy(array).to(device)
        for array in (batch.ids, batch.segments, batch.places, batch.targets, batch.random)
    )


def draw(examples: Examples, schedule: Schedule, step: int, worker: int, workers: int) -> Batch:
    """The batch of a step: a function of seed, step and worker alone, so that a resumed run sees what the first would have."""
    lengths = list(schedule.lengths)
    weights = np.array([schedule.lengths[length] for length in lengths])
    length = int(np.random.default_rng([schedule.seed, step]).choice(lengths, p=weights / weights.sum()))
    rows = max(1, schedule.tokens // (length * workers))
    return examples.draw(np.random.default_rng([schedule.seed, step, worker]), rows, length)


def evaluate(
    model: BertForPreTraining, examples: Examples, *, rows: int, length: int, device: str, seed: int = 0
) -> dict[str, float]:
    """Held-out figures on pairs drawn once: `mlm_loss` in nats, its perplexity, `mlm_accuracy`, `nsp_accuracy`."""
    rng = np.random.default_rng([seed, length])
    model.eval()
    right = pairs_right = masked = 0
    loss = 0.0
    with torch.inference_mode():
        for start in range(0, rows, 32):
            batch = tensors(examples.draw(rng, min(32, rows - start), length), device)
            words, pairs, mean, _ = objective(model, *batch)
            loss += float(mean) * len(batch[3])
            masked += len(batch[3])
            right += int((words.argmax(-1) == batch[3]).sum())
            pairs_right += int((pairs.argmax(-1) == batch[4]).sum())
    model.train()
    return {
        "mlm_loss": loss / masked,
        "mlm_perplexity": math.exp(loss / masked),
        "mlm_accuracy": right / masked,
        "nsp_accuracy": pairs_right / rows,
    }


class Objective(nn.Module):
    """What is learnt, as one module, which is what gradients are averaged over between workers.

    Of masked words alone, pooler and next-sentence head get no gradient and no decay: they stay as they were.
    """

    def __init__(self, model: BertForPreTraining, learnt: str) -> None:
        super().__init__()
        self.model = model
        self.pairs = learnt == "mlm_nsp"
        for name, parameter in model.named_parameters():
            if name.startswith(("bert.pooler.", "cls.seq_relationship.")):
                parameter.requires_grad_(self.pairs)

    def forward(self, *batch: Tensor) -> Tensor:
        _, _, words, pairs = objective(self.model, *batch)
        return words + pairs if self.pairs else words


class State:
    """What a killed run goes on from: weights, optimiser, step and the rows of the log, in one file written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.safetensors"

    def write(self, model: BertForPreTraining, optimiser: torch.optim.Optimizer, facts: Mapping[str, Any]) -> None:
        held = {f"weight.{name}": value.detach().contiguous() for name, value in model.named_parameters()}
        for name, parameter in model.named_parameters():
            for key, value in optimiser.state.get(parameter, {}).items():
                held[f"optimiser.{key}.{name}"] = value.contiguous()
        half = self.path.with_suffix(".half")
        save_file(held, half, metadata={"facts": json.dumps(facts)})
        os.replace(half, self.path)

    def read(
        self, model: BertForPreTraining, optimiser: torch.optim.Optimizer, identity: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Take weights and optimiser up again.

        Raises
        ------
        UserError
            The folder holds the state of another recipe.
        """
        with safe_open(self.path, "pt") as file:
            try:
                kinds = {"identity": dict, "step": int, "seconds": float, "rows": list}
                facts = checked(parse_json((file.metadata() or {})["facts"]), kinds)
            except (Unreadable, KeyError) as error:
                raise UserError(
                    f"{self.path} is damaged ({flatten(error, 120)}). Remove it, and the training begins anew."
                ) from error
            if differing := [key for key in identity if facts["identity"].get(key) != identity[key]]:
                what = " and ".join(differing)
                raise UserError(
                    f"output={self.path.parent} holds a training of another {what}. Name another output, or ask for the same."
                )
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(file.get_tensor(f"weight.{name}"))
                    if not parameter.requires_grad:
                        continue
                    optimiser.state[parameter] = {
                        key: file.get_tensor(f"optimiser.{key}.{name}").to(parameter.device if key != "step" else "cpu")
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
        return facts


def train(
    output: Path,
    corpora: tuple[Corpus, Corpus],
    tokenizer: Any,
    shape: Shape,
    schedule: Schedule,
    pace: Pace,
    *,
    device: str,
    given: Checkpoint | None = None,
    worker: int = 0,
    log: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """Train, or go on with, the model of a folder; every worker calls this, and the first writes."""
    workers = pace.workers or 1
    examples, held_out = (Examples(corpus, Vocabulary.of(tokenizer), schedule.negatives) for corpus in corpora)
    state = State(output)
    identity = _identity(shape, schedule, corpora[0], workers, given)
    facts: dict[str, Any] = {"step": 0, "seconds": 0.0, "tokens": 0, "rows": [], "identity": identity}
    if given is not None:
        model = go_on(given, schedule.dropout, schedule.seed)
    else:
        model = build(
            replace(shape, vocab_size=len(tokenizer)), schedule.dropout, schedule.seed
        )  # fewer pieces where the text is small
        if not state.path.is_file():
            _begin(model, corpora[0], shape, schedule)
    nn.Module.to(model, device)
    if device == "cpu" and schedule.dtype == "bfloat16":
        model.set_attn_implementation(
            "eager"
        )  # the fused kernel's backward pass takes more time in bfloat16 than all the rest
    wrapped: nn.Module = Objective(model, schedule.objective)
    optimiser = _optimiser(model, schedule)
    if state.path.is_file():
        facts = state.read(model, optimiser, identity)
    model.train()
    if workers > 1:
        wrapped = DistributedDataParallel(wrapped, find_unused_parameters=False)
    amp = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=schedule.dtype == "bfloat16")
    began = time.perf_counter() - facts["seconds"]
    losses = []
    bar = tqdm(
        total=schedule.steps,
        initial=facts["step"],
        unit="step",
        disable=worker > 0 or not pace.progress,
        dynamic_ncols=True,
        smoothing=0.01,
    )
    for step in range(facts["step"], schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, schedule)
        batch = draw(examples, schedule, step, worker, workers)
        if schedule.dropout:
            torch.manual_seed(
                schedule.seed * 1_000_003 + step * workers + worker
            )  # a run that goes on drops what the first would have
        with amp:
            loss = wrapped(*tensors(batch, device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        facts["step"] = done = step + 1
        facts["tokens"] += batch.ids.size * workers
        bar.update()
        if worker > 0:
            continue
        if done % pace.evaluate == 0 or done == schedule.steps:
            with amp:
                found: dict[str, Any] = dict(
                    evaluate(model, held_out, rows=pace.held_out_rows, length=pace.held_out_length, device=device)
                )
            if schedule.objective == "mlm":
                found["nsp_accuracy"] = None  # nothing learnt it
            facts["seconds"] = time.perf_counter() - began
            row = {
                "step": done, "tokens": facts["tokens"], "seconds": round(facts["seconds"], 1), "rate": rate_at(step, schedule),
                "train_loss": float(np.mean(losses)), **found,
            }  # fmt: skip
            losses = []
            facts["rows"].append(row)
            _write_csv(output / "training.csv", facts["rows"])
            log(row)
            pairs = "" if found["nsp_accuracy"] is None else f" NSP {found['nsp_accuracy']:.3f}"
            bar.set_postfix_str(f"MLM {found['mlm_accuracy']:.3f}{pairs}")
        if done in pace.snapshots or done == schedule.steps:
            place = output if done == schedule.steps else output / "snapshots" / f"{done:06d}"
            export(model, tokenizer, place, torch.float16 if given is None else torch.float32)
        if done % pace.save == 0 or done == schedule.steps:
            facts["seconds"] = time.perf_counter() - began
            state.write(model, optimiser, facts)
    bar.close()


def _begin(model: BertForPreTraining, corpus: Corpus, shape: Shape, schedule: Schedule) -> None:
    """Let the two tables begin where the text's own statistics and the order of places put them."""
    if schedule.embeddings == "random":
        return
    table = model.bert.embeddings
    words = embeddings(corpus, len(table.word_embeddings.weight), shape.width, schedule.deviation, schedule.seed)
    with torch.no_grad():
        table.word_embeddings.weight.copy_(torch.from_numpy(words))
        table.position_embeddings.weight.copy_(
            torch.from_numpy(waves(shape.positions, shape.width, schedule.deviation))
        )


def _identity(
    shape: Shape, schedule: Schedule, corpus: Corpus, workers: int, given: Checkpoint | None
) -> dict[str, Any]:
    """What a run that goes on must have in common with the one before; the schedule's end may be moved."""
    kept = {key: value for key, value in asdict(schedule).items() if key not in ("steps", "decay", "rate")}
    kept["lengths"] = {str(length): share for length, share in schedule.lengths.items()}
    start = {"shape": asdict(shape)} if given is None else {"weights": given.weights}
    return {**start, "schedule": kept, "text": corpus.digest, "workers": workers}


def export(model: BertForPreTraining, tokenizer: Any, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write model and tokenizer in the Hugging Face layout."""
    folder.mkdir(parents=True, exist_ok=True)
    written = nn.Module.to(copy.deepcopy(model), "cpu", dtype)
    written.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _optimiser(model: BertForPreTraining, schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW; biases and layer norms do not decay, as in BERT."""
    learnt = [value for value in model.parameters() if value.requires_grad]
    plain = [value for value in learnt if value.ndim < 2]
    decayed = [value for value in learnt if value.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: (f"{value:.6g}" if isinstance(value, float) else value) for key, value in row.items()} for row in rows
        )

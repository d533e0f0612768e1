"""Do the poolings differ once the encoder is tuned? ``python -m experiments.finetune output=FOLDER [dataset=sst2,rte] [pooling=cls,mean]``.

A control to the frozen probes: a linear head on one pooling, all weights tuned with it (the pooler's where the head reads the pooler), by
one schedule for all heads and without a look at the test rows. A dataset and a pooling are one cell and one record; its seeds, which draw
the head's first weights and the order of the rows, are its draws. Finished cells are not done again. Several rates, as in
``rate=0.0001,0.0003,0.001 tune=mrpc``, are tried on a part held out of that task's training rows, and the best is used throughout.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from tqdm import tqdm
from transformers import AutoModel

from experiments.options import read
from src.cli.application import exit_with_error, print_text
from src.config.schema import CONF, Config, DatasetConfig, ModelConfig, PoolingConfig, RuntimeConfig
from src.data import dataset as data
from src.data.dataset import Dataset
from src.data.splits import RowSplitter
from src.errors import UserError
from src.evaluation import metrics
from src.features.batching import plan
from src.features.extractor import FeatureExtractor, texts
from src.models.encoder import EncoderOutput, Tokens
from src.pipeline import run as pipeline
from src.pooling import poolings
from src.probes.fitting import decided, losses
from src.registry import unknown
from src.results.result import RECORD, SCHEMA, Result, summary
from src.runtime import provenance
from src.runtime.clock import PHASES, Clock
from src.storage.atomic import replace_files
from src.storage.files import read_json
from src.storage.keys import content_key
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import find_jobs
from src.sweeps.rendering import render

HEADS = ("cls", "pooler", "mean")
DEFAULTS = {
    "model": {"path": "embedded:bert-books"},
    "dataset": "demo_sentiment,demo_coherence",
    "pooling": ",".join(HEADS),
    "seeds": "0,1,2",
    "rate": 0.0003,  # peak learning rate; several are chosen from on `tune`
    "tune": None,  # task on whose held-out training rows the rate is chosen
    "epochs": 3,
    "batch": 32,
    "rows": None,  # most training rows of a task, drawn once; unset: all
    "resamples": 10000,
    "data_root": None,
    "output": None,
    "runtime": {
        "threads": None,  # processes that tune, one thread each
        "cache_dir": None,
        "progress": True,
    },
}
RATES = "rates.json"
WINDOW = 16  # batches within which rows are sorted by length, so that a batch needs next to no padding
PREDICT_TOKENS = 4096  # a batch of equal lengths
HELD = 0.2  # of the training rows, where the rate is chosen


@dataclass(frozen=True)
class Schedule:
    """How every head is tuned: AdamW, the rate rising over `warmup` of the steps and falling linearly to zero."""

    epochs: int
    batch: int  # rows
    rows: int | None  # most training rows
    warmup: float = 0.1
    weight_decay: float = 0.01  # of matrices; biases and layer norms do not decay
    clip: float = 1.0  # norm of the gradient

    def steps(self, rows: int) -> int:
        return self.epochs * -(-rows // self.batch)

    def share(self, step: int, steps: int) -> float:
        """The part of the peak rate that a step is taken with."""
        rising = max(1, math.ceil(self.warmup * steps))
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising + 1))


class Model(nn.Module):
    """An encoder, one of the suite's poolings, and a linear head: (batch, tokens) word pieces to (batch, outputs)."""

    def __init__(self, encoder: Any, pooling: str, outputs: int, *, segments: bool) -> None:
        super().__init__()
        config = encoder.config
        self.encoder, self.pooling, self.segments = encoder, poolings[pooling].function, segments
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", None) or 0.0)
        self.head = nn.Linear(config.hidden_size, outputs)
        nn.init.normal_(self.head.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        inputs = {"input_ids": ids}
        if not mask.all():
            inputs["attention_mask"] = mask.long()
        if self.segments:
            inputs["token_type_ids"] = segments
        output = self.encoder(**inputs, output_hidden_states=True)
        pooled = getattr(output, "pooler_output", None)
        vectors = self.pooling(EncoderOutput(output.hidden_states, mask, mask, pooled, None, None, ids), -1)
        logits: Tensor = self.head(self.dropout(vectors))
        return logits


@dataclass(frozen=True)
class Rows:
    """Word pieces and labels of a split; `padding` is the id that fills a batch's shorter rows."""

    tokens: Tokens
    label: np.ndarray
    padding: int

    def take(self, chosen: np.ndarray) -> Rows:
        """These rows alone."""
        lengths = self.tokens.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.tokens.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        ids, segments, special = (
            array[places] for array in (self.tokens.ids, self.tokens.segments, self.tokens.special)
        )
        return Rows(Tokens(ids, segments, special, offsets, 0), self.label[chosen], self.padding)

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, segments and mask of these rows, each (rows, longest)."""
        lengths = self.tokens.lengths[chosen][:, None]
        within = np.arange(lengths.max())
        mask = within < lengths
        places = self.tokens.offsets[chosen][:, None] + np.minimum(within, lengths - 1)
        ids = np.where(mask, self.tokens.ids[places], self.padding).astype(np.int64)
        segments = np.where(mask, self.tokens.segments[places], 0).astype(np.int64)
        return torch.from_numpy(ids), torch.from_numpy(segments), torch.from_numpy(mask)


@dataclass
class Task:
    """A dataset read, tokenised and ready to be trained on; `chosen` are the numbers of its training rows in use."""

    prepared: pipeline.PreparedRun
    schedule: Schedule
    roles: dict[str, Rows]
    chosen: np.ndarray

    @property
    def data(self) -> Dataset:
        return self.prepared.data

    @property
    def extractor(self) -> FeatureExtractor:
        return self.prepared.extractor

    @property
    def train(self) -> Rows:
        return self.roles["train"]

    @property
    def scored(self) -> list[str]:
        """The roles whose rows are predicted."""
        return [role for role in self.roles if role not in ("train", "development")]

    @cached_property
    def encoder(self) -> Any:
        """The checkpoint's weights in float32, to be copied and tuned; the suite's own load has found them whole."""
        folder = self.extractor.encoder.checkpoint.view()
        return AutoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )

    def copy(self) -> Any:
        return copy.deepcopy(self.encoder)

    def held(self) -> np.ndarray:
        """Which training rows are held out where the rate is chosen, (rows of train,) bool."""
        read = self.data
        groups, mixed = read.together, read.group is not None
        return RowSplitter(
            read.train.label, 0, fraction=HELD, groups=groups, mixed=mixed, regression=not read.classes
        ).held()

    def identity(self) -> dict[str, Any]:
        """What decides the numbers of any tuning on this task, as resolved."""
        checkpoint, facts = self.extractor.checkpoint, self.extractor.facts
        encoder = {"model": checkpoint.identity, "tokenizer": checkpoint.tokenizer, "max_length": facts.max_length}
        return {
            "schema": SCHEMA,
            "kind": "finetune",
            "encoder": encoder,
            "schedule": asdict(self.schedule),
            **self.data.identity(),
        }


@dataclass(frozen=True)
class Job:
    """One tuning; `held` keeps the held-out training rows from it and predicts them in place of the test rows."""

    task: str
    pooling: str
    rate: float
    seed: int
    held: bool = False


@dataclass(frozen=True)
class Tuned:
    """What comes of a tuning: decision values (rows, outputs) by role, in the labels' own units; the head's arrays; seconds by phase."""

    decisions: dict[str, np.ndarray]
    head: dict[str, np.ndarray]
    seconds: dict[str, float]


def main(arguments: list[str]) -> None:
    """Tune what the words ask for and print the comparison; bad input ends with a line or two and status 1."""
    try:
        options = read(DEFAULTS, arguments, __doc__)
        run(options)
    except UserError as error:
        exit_with_error(str(error))
    except KeyboardInterrupt:
        exit_with_error("stopped. Finished cells are kept: the same command goes on from there.", 130)
    print_text(
        render(
            compare_records(find_jobs(Path(options.output))), width=shutil.get_terminal_size((100, 24)).columns
        ).rstrip()
    )


def run(options: DictConfig) -> None:
    """Every dataset with every head, one folder each below `output`; all input is checked before the first is tuned."""
    if not options.output:
        raise UserError("output is not set. Name the folder of the records: output=FOLDER.")
    heads, names = listed(options.pooling), listed(options.dataset)
    seeds = [int(each) for each in numbers("seeds", options.seeds, whole=True)]
    rates = numbers("rate", options.rate)
    for head in heads:
        if head not in HEADS:
            raise unknown("pooling", head, HEADS)
    for key, least in (("epochs", 1), ("batch", 1), ("rows", 10), ("resamples", 100), ("runtime.threads", 1)):
        value = OmegaConf.select(options, key)
        if not (type(value) is int and value >= least) and not (value is None and key in ("rows", "runtime.threads")):
            raise UserError(f"{key}={value}: a whole number of at least {least} is needed.")
    if (len(rates) > 1) != (options.tune is not None):
        raise UserError(
            f"rate={options.rate}, tune={options.tune}: several rates and the task to choose among them go together, as in "
            "rate=0.0001,0.0003,0.001 tune=mrpc."
        )
    words, output = json.dumps(OmegaConf.to_container(options)), Path(options.output)
    tasks = {name: opened(words, name) for name in dict.fromkeys([*names, *([options.tune] if options.tune else [])])}
    for task in tasks.values():
        for head in heads:
            task.extractor.check(head, -1)
    choice: dict[str, Any] = {"dataset": None, "value": rates[0], "grid": []}
    if options.tune:
        choice = choose(tasks[options.tune], rates, words, output)
    cells = [
        Cell(tasks[name], head, choice, tuple(seeds), options.resamples, output / f"{name}-{head}")
        for name in names
        for head in heads
    ]
    todo = [cell for cell in cells if not cell.done()]
    jobs = [Job(cell.task.data.name, cell.pooling, choice["value"], seed) for cell in todo for seed in seeds]
    with closing(tunings(words, jobs)) as found:
        for cell in todo:
            cell.write([next(found) for _ in seeds])


def listed(value: Any) -> list[str]:
    """The words of an option: ``a,b`` or ``[a,b]``, each once."""
    words = list(value) if isinstance(value, ListConfig) else str(value).split(",")
    return list(dict.fromkeys(str(word).strip() for word in words if str(word).strip()))


def numbers(key: str, value: Any, *, whole: bool = False) -> list[float]:
    """The numbers of an option: positive ones, or whole ones from 0 on."""
    try:
        found = [int(word) if whole else float(word) for word in listed(value)]
    except ValueError:
        found = []
    if not found or any(number < 0 or (not whole and not 0 < number < 1) for number in found):
        raise UserError(
            f"{key}={value}: {'whole numbers from 0 on' if whole else 'numbers between 0 and 1'} are needed, with commas between."
        )
    return found


def dataset_config(name: str) -> DatasetConfig:
    """A task of conf/dataset by its name."""
    known = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml") if path.stem != "files")
    if name not in known:
        raise unknown("dataset", name, known)
    merged = OmegaConf.merge(OmegaConf.structured(DatasetConfig), OmegaConf.load(CONF / "dataset" / f"{name}.yaml"))
    config = OmegaConf.to_object(merged)
    assert isinstance(config, DatasetConfig)
    return config


@cache
def opened(words: str, name: str) -> Task:
    """Read and tokenise a task, once in a process; `words` are the command's options as JSON."""
    options = json.loads(words)
    config = Config(
        model=ModelConfig(path=options["model"]["path"]), dataset=dataset_config(name), pooling=PoolingConfig("cls"),
        runtime=RuntimeConfig(**options["runtime"], device="cpu"), data_root=options["data_root"],
    )  # fmt: skip
    prepared = pipeline.opened(config, check)
    padding = prepared.extractor.checkpoint.config.get("pad_token_id") or 0
    roles = {}
    for role, split in prepared.data.roles.items():
        [text] = texts(prepared.data.splits[split], "joint", name)
        tokens = prepared.extractor.tokens(text)
        prepared.extractor.encoder.check(tokens.ids)
        roles[role] = Rows(tokens, prepared.data.splits[split].label, padding)
    schedule = Schedule(options["epochs"], options["batch"], options["rows"])
    chosen = np.arange(len(prepared.data.train))
    if schedule.rows is not None and schedule.rows < len(chosen):
        chosen = np.sort(np.random.default_rng(0).permutation(len(chosen))[: schedule.rows])
    return Task(prepared, schedule, roles, chosen)


def check(config: Config, read: Dataset) -> None:
    """Refuse a task that is scored in folds of its own training rows, each of which would be a tuning of its own."""
    if read.selection == "nested":
        raise UserError(
            f"{read.name} is scored in folds of train. Name tasks with a test split of their own, such as sst2 or rte."
        )
    data.check_probe(read)


def order(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Places of one epoch's rows, batch by batch: rows of about equal length together, batches in random order.

    Parameters
    ----------
    lengths : (rows,) word pieces of each row
    size : rows of a batch
    """
    places = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(places), size * WINDOW):
        window = places[start : start + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[first : first + size] for first in range(0, len(window), size)]
    for number in rng.permutation(len(batches)):
        yield batches[number]


def work(words: str, job: Job) -> Tuned:
    """One tuning on one thread, so that equal seeds give equal weights however many run beside it; scores no row.

    Raises
    ------
    UserError
        The loss is no finite number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        task, clock = opened(words, job.task), Clock()
        held = task.held() if job.held else np.zeros(len(task.train.label), dtype=bool)
        with clock.phase("fit"):
            model, scale, shift = train(task, job, task.chosen[~held[task.chosen]])
        with clock.phase("encode"):
            roles = (
                {"train": task.train.take(task.chosen[held[task.chosen]])}
                if job.held
                else {role: task.roles[role] for role in task.scored}
            )
            decisions = {role: predict(model, rows) * scale + shift for role, rows in roles.items()}
    finally:
        torch.set_num_threads(threads)
    head = {name: getattr(model.head, name).detach().numpy() for name in ("weight", "bias")}
    return Tuned(decisions, head, clock.seconds())


def tunings(words: str, jobs: Sequence[Job]) -> Generator[Tuned, None, None]:
    """What becomes of the jobs, in their order: in this process, or in several where `runtime.threads` and the jobs allow."""
    options = json.loads(words)["runtime"]
    workers = min(options["threads"] or provenance.cores(), len(jobs))
    with tqdm(total=len(jobs), unit="tuning", disable=None if options["progress"] else True, dynamic_ncols=True) as bar:
        pool = ProcessPoolExecutor(workers, get_context("spawn")) if workers > 1 else None
        try:
            for job, tuned in zip(jobs, (pool.map if pool else map)(partial(work, words), jobs), strict=True):
                bar.set_description_str(f"{job.task}, {job.pooling}", refresh=False)
                bar.update()
                yield tuned
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)


def train(task: Task, job: Job, rows: np.ndarray) -> tuple[Model, float, float]:
    """Tune a copy of the encoder under a new head on these training rows.

    Returns
    -------
    Model; scale and shift that turn its outputs into the labels' own units, 1 and 0 for classes.
    """
    schedule, label, classes = task.schedule, task.train.label, len(task.data.classes)
    scale, shift = (1.0, 0.0) if classes else (float(label[rows].std()) or 1.0, float(label[rows].mean()))
    target = torch.from_numpy(label if classes else ((label - shift) / scale).astype(np.float32))
    torch.manual_seed(job.seed)
    model = Model(task.copy(), job.pooling, classes or 1, segments=task.extractor.encoder.uses_segments)
    optimiser = torch.optim.AdamW(_groups(model, schedule.weight_decay), lr=job.rate, fused=True)
    steps, step = schedule.steps(len(rows)), 0
    model.train()
    for epoch in range(schedule.epochs):
        for places in order(task.train.tokens.lengths[rows], schedule.batch, np.random.default_rng([job.seed, epoch])):
            for group in optimiser.param_groups:
                group["lr"] = job.rate * schedule.share(step, steps)
            output = model(*task.train.batch(rows[places]))
            wanted = target[rows[places]]
            loss = cross_entropy(output, wanted) if classes else mse_loss(output[:, 0], wanted)
            if not torch.isfinite(loss):
                raise UserError(
                    f"{job.task}, {job.pooling}: the loss is no finite number at step {step} of {steps}. Lower rate={job.rate:g}."
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
    return model.eval(), scale, shift


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    parameters = list(model.parameters())
    return [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]


def predict(model: Model, rows: Rows) -> np.ndarray:
    """Outputs of the head for every row, (rows, outputs) float64, in batches of equal length."""
    found = np.empty((len(rows.label), model.head.out_features))
    with torch.inference_mode():
        for chosen in plan(rows.tokens.lengths, PREDICT_TOKENS):
            found[chosen] = model(*rows.batch(chosen)).double().numpy()
    return found


def choose(task: Task, rates: Sequence[float], words: str, output: Path) -> dict[str, Any]:
    """The rate with the least loss on the held-out training rows, averaged over all heads that the checkpoint has; kept in `output`.

    Returns
    -------
    dict
        ``dataset``, ``value``, ``heads``, and ``grid``: per rate its mean log-loss or squared error, ``{value, loss, converged}``.
    """
    heads = [head for head in HEADS if not poolings[head].needs_pooler or task.extractor.facts.has_pooler]
    key = content_key({"rates": list(rates), "heads": heads, **task.identity()})
    try:
        kept = read_json(output / RATES)
        if kept["key"] == key:
            return dict(kept["choice"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # chosen anew below
    out = task.chosen[task.held()[task.chosen]]
    jobs = [Job(task.data.name, head, rate, 0, held=True) for rate in rates for head in heads]
    found = [
        losses(tuned.decisions["train"], task.train.label[out], len(task.data.classes)).mean()
        for tuned in tunings(words, jobs)
    ]
    means = np.reshape(found, (len(rates), len(heads))).mean(axis=1)
    grid = [{"value": rate, "loss": float(loss), "converged": None} for rate, loss in zip(rates, means, strict=True)]
    choice = {"dataset": task.data.name, "value": rates[int(means.argmin())], "heads": heads, "grid": grid}
    try:
        output.mkdir(parents=True, exist_ok=True)
        replace_files(
            output, {RATES: (json.dumps({"key": key, "choice": choice}, indent=1, sort_keys=True) + "\n").encode()}
        )
    except OSError as error:
        raise UserError(f"cannot write into output={output}: {error.strerror}. Name another folder.") from error
    return choice


@dataclass(frozen=True)
class Cell:
    """One task under one head, tuned once for every seed: one record."""

    task: Task
    pooling: str
    choice: Mapping[str, Any]
    seeds: tuple[int, ...]
    resamples: int
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """The tuning as its record tells it: the rate and how it was chosen, the schedule, the seeds."""
        choice = self.choice
        rule = (
            f"least mean loss of {', '.join(choice['heads'])} on {HELD:.0%} of its training rows"
            if choice["dataset"]
            else None
        )
        rates = [entry["value"] for entry in choice["grid"]] or [choice["value"]]
        chosen = {
            "learning_rate": choice["value"],
            "grid": {"learning_rate": rates},
            "chosen_on": choice["dataset"],
            "chosen_by": rule,
        }
        named = {"name": "finetune", "optimiser": "AdamW", "seeds": list(self.seeds), "resamples": self.resamples}
        return {**named, **chosen, **asdict(self.task.schedule)}

    @property
    def key(self) -> str:
        identity = {"pooling": self.pooling, "code": poolings[self.pooling].code, "settings": self.settings}
        return content_key({**self.task.identity(), **identity})

    def done(self) -> bool:
        """Whether the record is there; a UserError where the folder holds another tuning's."""
        if not (self.folder / RECORD).is_file():
            return False
        if Result.read(self.folder).key != self.key:
            raise UserError(
                f"{self.folder} holds the record of another tuning. Name another output, or ask for the same."
            )
        return True

    def write(self, tuned: Sequence[Tuned]) -> None:
        """Score the test rows, once, and write the record."""
        clock = Clock()
        for each in tuned:
            for phase in ("fit", "encode"):
                clock.add(phase, each.seconds[phase])
        with clock.phase("score"):
            scores = self._scores(tuned)
        seconds = clock.seconds()
        timing = {**seconds, "total": sum(seconds[phase] for phase in PHASES), "cache": "miss"}
        arrays = {name: array for role in self.task.scored for name, array in self._arrays(role, tuned).items()}
        heads = {f"head.{name}": np.stack([each.head[name] for each in tuned]) for name in ("weight", "bias")}
        result = self._result(scores, timing)
        result.write(
            self.folder, arrays, heads, {"incomplete": "the heads of each seed alone: the tuned encoders are not kept"}
        )
        print_text(summary(result))

    def _scores(self, tuned: Sequence[Tuned]) -> dict[str, Any]:
        """Every metric of the task with its interval, the seeds as draws; splits beside test carry their role in the name."""
        read, found = self.task.data, {}
        classes = len(read.classes)
        for role in self.task.scored:
            label, drawn = self.task.roles[role].label, [decided(each.decisions[role], classes) for each in tuned]
            for name in read.metrics:
                estimates = [
                    metrics.evaluate(name, label, each, classes=classes, resamples=self.resamples) for each in drawn
                ]
                score = asdict(estimates[0]) if len(estimates) == 1 else pipeline.over_draws(name, estimates)
                found[name if role == "test" else f"{name}_{role}"] = score
        return found

    def _arrays(self, role: str, tuned: Sequence[Tuned]) -> dict[str, np.ndarray]:
        """A role's rows as predictions.safetensors holds them: (rows,) of one seed, (seeds, rows) of several."""
        split = self.task.data.splits[self.task.data.roles[role]]
        decisions = [each.decisions[role] for each in tuned]
        predictions = [decided(each, len(self.task.data.classes)) for each in decisions]
        one, prefix = len(tuned) == 1, "" if role == "test" else f"{role}."
        return {
            f"{prefix}row": split.row_digests(),
            f"{prefix}fold": np.full(len(split), -1),
            f"{prefix}label": split.label,
            f"{prefix}prediction": predictions[0] if one else np.stack(predictions),
            f"{prefix}decision": (decisions[0] if one else np.stack(decisions)).astype(np.float32),
        }

    def _result(self, scores: dict[str, Any], timing: dict[str, Any]) -> Result:
        task, read, extractor, facts = self.task, self.task.data, self.task.extractor, self.task.extractor.facts
        metric, checkpoint = read.metrics[0], extractor.checkpoint
        constant = metrics.best_constant(metric, read.train.label[task.chosen], read.test.label, len(read.classes))
        why = None if constant is not None else "a constant has no correlation"
        grid = self.choice["grid"]
        edges = {entry["value"]: edge for entry, edge in zip(grid[:1] + grid[-1:], ("first", "last"), strict=False)}
        named = {
            "parameter": "learning_rate",
            "value": self.choice["value"],
            "at_edge": edges.get(self.choice["value"]),
        }
        tokens = task.train.tokens.lengths[task.chosen].sum() + task.roles["test"].tokens.lengths.sum()
        return Result(
            schema=SCHEMA,
            key=self.key,
            model=checkpoint.label,
            dataset=read.name,
            pooling=self.pooling,
            probe="finetune",
            layer=facts.layers,
            pairing="joint",
            seed=self.seeds[0],
            draws=len(self.seeds),
            config={
                "model": {"path": checkpoint.label, "revision": None, "max_length": facts.max_length},
                "dataset": {"task": read.task, "metrics": list(read.metrics), "classes": list(read.classes)},
                "probe": self.settings,
                "runtime": {"dtype": "float32"},
            },
            score={"metric": metric, **scores[metric]},
            metrics=scores,
            baseline={"constant": {"metric": metric, "value": constant, "reason": why}},
            counts={
                "train": len(task.chosen),
                "test": len(read.test),
                "classes": len(read.classes),
                "width": facts.width,
                "tokens": int(tokens),
                "truncated": task.train.tokens.truncated + task.roles["test"].tokens.truncated,
                "test_in_train": read.test_in_train(),
            },
            chosen={**named, "grid": grid, "converged": None, "separable": None},
            pooler=dict(facts.pooler),
            timing=timing,
            provenance=provenance.collect(
                device="cpu",
                threads=1,
                dtype="float32",
                attention=str(task.encoder.config._attn_implementation),
                model={"path": checkpoint.label, "weights": checkpoint.weights, "tokenizer": checkpoint.tokenizer},
                data=read.source,
            ),
        )


if __name__ == "__main__":
    main(sys.argv[1:])

"""Records of fine-tuning: one for each dataset and pooling, over all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.studies.finetuning.datasets import HELD_OUT, TokenisedDataset
from experiments.studies.finetuning.trials import TrialResult
from src.cli.messages import print_text
from src.errors import UserError
from src.evaluation.estimates import best_constant, evaluate
from src.pooling import poolings
from src.probes.decisions import predict_from_scores
from src.probes.protocols.scores import over_draws
from src.results.display import result_summary
from src.results.result import RECORD, SCHEMA, Result
from src.runtime import provenance
from src.runtime.clock import PHASES, Clock
from src.storage.keys import content_key


@dataclass(frozen=True)
class Cell:
    """Describes the record of one dataset and pooling; the seeds are its draws.

    Parameters
    ----------
    choice : mapping
        The learning rate, as `rates.choose_rates` returns it.
    resamples : int
        Of the bootstrap intervals.
    folder : Path
        Folder of the record.
    """

    dataset: TokenisedDataset
    pooling: str
    choice: Mapping[str, Any]
    seeds: tuple[int, ...]
    resamples: int
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """The rate and how it was chosen, the schedule and the seeds, as the record holds them."""
        choice = self.choice
        rule = f"least loss on {HELD_OUT:.0%} of its training rows" if choice["grid"] else None
        return {
            "name": "finetune",
            "optimiser": "AdamW",
            "seeds": list(self.seeds),
            "resamples": self.resamples,
            "learning_rate": choice["value"],
            "grid": {"learning_rate": [entry["value"] for entry in choice["grid"]] or [choice["value"]]},
            "chosen_on": self.dataset.data.name if rule else None,
            "chosen_by": rule,
            **asdict(self.dataset.schedule),
        }

    @property
    def key(self) -> str:
        """The record's content key."""
        identity = {"pooling": self.pooling, "code": poolings[self.pooling].code, "settings": self.settings}
        return content_key({**self.dataset.identity(), **identity})

    def is_done(self) -> bool:
        """Return whether the record is there.

        Raises
        ------
        UserError
            The folder holds a record with another key.
        """
        if not (self.folder / RECORD).is_file():
            return False
        if Result.read(self.folder).key != self.key:
            raise UserError(
                f"{self.folder} holds the record of another tuning. Name another output, or use the same options."
            )
        return True

    def write(self, trials: Sequence[TrialResult]) -> None:
        """Score the test rows and write the record, which has one trial per seed."""
        clock = Clock()
        for trial in trials:
            for phase in ("fit", "encode"):
                clock.add(phase, trial.seconds[phase])
        with clock.phase("score"):
            scores = self._scores(trials)
        seconds = clock.seconds()
        timing = {**seconds, "total": sum(seconds[phase] for phase in PHASES), "cache": "miss"}
        arrays = {name: array for role in self.dataset.scored for name, array in self._arrays(role, trials).items()}
        heads = {f"head.{name}": np.stack([trial.head[name] for trial in trials]) for name in ("weight", "bias")}
        result = self._result(scores, timing)
        result.write(
            self.folder, arrays, heads, {"incomplete": "the heads of each seed alone: the tuned encoders are not kept"}
        )
        print_text(result_summary(result))

    def _scores(self, trials: Sequence[TrialResult]) -> dict[str, Any]:
        """Return every metric with its interval; the name ends with the role unless it is test."""
        data, found = self.dataset.data, {}
        classes = len(data.classes)
        for role in self.dataset.scored:
            label = self.dataset.roles[role].label
            predictions = [predict_from_scores(trial.decisions[role], classes) for trial in trials]
            for name in data.metrics:
                estimates = [
                    evaluate(name, label, each, classes=classes, resamples=self.resamples) for each in predictions
                ]
                score = asdict(estimates[0]) if len(estimates) == 1 else over_draws(name, estimates)
                found[name if role == "test" else f"{name}_{role}"] = score
        return found

    def _arrays(self, role: str, trials: Sequence[TrialResult]) -> dict[str, np.ndarray]:
        """Return a role's arrays for predictions.safetensors; (seeds, rows) for several."""
        split = self.dataset.data.splits[self.dataset.data.roles[role]]
        decisions = [trial.decisions[role] for trial in trials]
        predictions = [predict_from_scores(each, len(self.dataset.data.classes)) for each in decisions]
        one, prefix = len(trials) == 1, "" if role == "test" else f"{role}."
        return {
            f"{prefix}row": split.row_digests(),
            f"{prefix}fold": np.full(len(split), -1),
            f"{prefix}label": split.label,
            f"{prefix}prediction": predictions[0] if one else np.stack(predictions),
            f"{prefix}decision": (decisions[0] if one else np.stack(decisions)).astype(np.float32),
        }

    def _result(self, scores: dict[str, Any], timing: dict[str, Any]) -> Result:
        data, extractor = self.dataset.data, self.dataset.extractor
        facts, checkpoint, metric = extractor.info, extractor.checkpoint, data.metrics[0]
        return Result(
            schema=SCHEMA,
            key=self.key,
            model=checkpoint.label,
            dataset=data.name,
            pooling=self.pooling,
            probe="finetune",
            layer=facts.layers,
            pairing="joint",
            seed=self.seeds[0],
            draws=len(self.seeds),
            config={
                "model": {"path": checkpoint.label, "revision": None, "max_length": facts.max_length},
                "dataset": {"task": data.task, "metrics": list(data.metrics), "classes": list(data.classes)},
                "probe": self.settings,
                "runtime": {"dtype": "float32"},
            },
            score={"metric": metric, **scores[metric]},
            metrics=scores,
            baseline={"constant": self._constant(metric)},
            counts=self._counts(),
            chosen=self._chosen(),
            pooler=dict(facts.pooler),
            timing=timing,
            provenance=provenance.collect(
                device="cpu",
                threads=1,
                dtype="float32",
                attention=str(self.dataset.encoder.config._attn_implementation),
                model={"path": checkpoint.label, "weights": checkpoint.weights, "tokenizer": checkpoint.tokenizer},
                data=data.source,
            ),
        )

    def _constant(self, metric: str) -> dict[str, Any]:
        """Return the score of the best constant prediction, or why there is none."""
        data = self.dataset.data
        label = data.train.label[self.dataset.chosen]
        value = best_constant(metric, label, data.test.label, len(data.classes))
        reason = None if value is not None else "a constant has no correlation"
        return {"metric": metric, "value": value, "reason": reason}

    def _counts(self) -> dict[str, Any]:
        dataset, data = self.dataset, self.dataset.data
        train, test = dataset.train.tokens, dataset.roles["test"].tokens
        return {
            "train": len(dataset.chosen),
            "test": len(data.test),
            "classes": len(data.classes),
            "width": dataset.extractor.info.width,
            "tokens": int(train.lengths[dataset.chosen].sum() + test.lengths.sum()),
            "truncated": train.truncated + test.truncated,
            "test_in_train": data.test_in_train(),
        }

    def _chosen(self) -> dict[str, Any]:
        """Return the rate with its grid, and whether it lies at an edge of it."""
        grid, value = self.choice["grid"], self.choice["value"]
        edges = {entry["value"]: edge for entry, edge in zip(grid[:1] + grid[-1:], ("first", "last"), strict=False)}
        return {
            "parameter": "learning_rate",
            "value": value,
            "at_edge": edges.get(value),
            "grid": grid,
            "converged": None,
            "separable": None,
        }

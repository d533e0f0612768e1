"""MTEB's few-shot classification (Muennighoff et al., 2023, MTEB, EACL).

Read from embeddings-benchmark/mteb at a905523d0111f999360b312bd4a601a0a97a0e1c, mteb/abstasks/classification.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import stdtrit

from src.config.limits import MAX_DRAWS
from src.config.schema import Config, ProbeConfig
from src.data.dataset import Dataset
from src.errors import UserError
from src.evaluation.estimates import Estimate
from src.evaluation.metrics import metrics
from src.probes.fitting import Bench, FittedProbe, Rows
from src.probes.probe import Outcome, Search, Setup, choice_of
from src.probes.protocols.base import Protocol, point, protocol
from src.probes.solvers.linear import Array


@protocol("mteb")
@dataclass(frozen=True)
class MTEB(Protocol):
    """A probe on a few rows of each class, again and again, at one fixed strength; the score is the mean.

    MTEB draws the rows of an experiment by shuffling those of the last one with a generator that starts from the same seed each time
    (`_undersample_data`): one permutation, applied once more for each experiment, the same for every task of that size. Here each
    experiment is a draw of its own from the run's seed, so that their spread tells how much of a score is luck.

    MTEB's classification tasks are single texts; two texts a row are encoded as `pairing` says. Rows that are scored in folds of
    themselves are predicted by probes on rows of the other folds, drawn anew in each experiment (MTEB's own cross-validation has one
    experiment in each of five folds).

    Attributes
    ----------
    samples_per_label : training rows of each class, fewer where there are no more
    experiments : how often
    """

    MOST: ClassVar[Mapping[str, int]] = {"samples_per_label": 1_000_000, "experiments": MAX_DRAWS}

    samples_per_label: int = 8
    experiments: int = 10

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check the settings, and that the grid holds one value, as MTEB chooses none; raise a UserError."""
        if self.samples_per_label < 1 or self.experiments < 2:
            raise UserError("probe.protocol: samples_per_label is 1 or more, experiments 2 or more.")
        if any(len(values) != 1 for values in grid.values()):
            raise UserError(
                f"probe.grid={grid}: MTEB chooses nothing, so one value is needed, such as probe.grid.C=[1.0]."
            )

    def check(self, config: Config, read: Dataset) -> None:
        if config.draws > 1:
            raise UserError(
                f"draws={config.draws}: MTEB's experiments are draws. Set draws=1, and probe.protocol.experiments instead."
            )
        super().check(config, read)

    def fit(self, estimator: Any, config: ProbeConfig, train: Rows, tests: dict[str, Rows], setup: Setup) -> Outcome:
        bench = Bench(estimator, config, train, setup.classes, setup.progress)
        nested = setup.selection == "nested"
        fold = setup.division(config, train.y).fold_ids() if nested else np.full(len(train.y), -1)
        parts = (
            [np.flatnonzero(fold != number) for number in range(setup.folds)] if nested else [np.arange(len(train.y))]
        )
        drawn = [
            self._drawn(train.y, rows, np.random.default_rng([setup.seed, 5, number, part]))
            for number in range(self.experiments)
            for part, rows in enumerate(parts)
        ]
        (value,) = bench.ordered()
        fits = bench.fit([(value, weights) for weights in drawn], what="experiments")
        probes = [bench.fitted(fit, "the rows of one experiment") for fit in fits]
        if nested:
            outputs = [{"test": _in_folds(probes[start:], train, fold)} for start in range(0, len(probes), len(parts))]
        else:
            outputs = [{role: probe.predict(rows.x) for role, rows in tests.items()} for probe in probes]
        predictions, decisions = (
            [{role: pair[kind] for role, pair in each.items()} for each in outputs] for kind in (0, 1)
        )
        whole = Search([fits], [np.nan], {"fitted": int(drawn[0].sum()), "held_out": 0})
        choice = replace(choice_of(bench, whole, 0, [], None), rows={**whole.rows, "refitted": 0})
        fold_of = fold if nested else np.full(len(tests["test"].y) if "test" in tests else 0, -1)
        return Outcome(_stacked(predictions), _stacked(decisions), fold_of, choice, probes[0], predictions, decisions)

    def _drawn(self, y: Array, allowed: Array, generator: np.random.Generator) -> Array:
        """How often each row is fitted on in an experiment, (rows,) float64: 1 for those drawn from `allowed`, else 0."""
        weights = np.zeros(len(y))
        for name in np.unique(y):
            members = allowed[y[allowed] == name]
            weights[generator.choice(members, min(self.samples_per_label, len(members)), replace=False)] = 1
        return weights

    def score(
        self,
        name: str,
        labels: Array,
        draws: Sequence[Array],
        fold: Array | None,
        evaluate: Callable[[Array], Estimate],
    ) -> dict[str, Any]:
        """The mean over experiments, with an interval for new rows and new draws.

        Rows and draws are crossed, as each draw predicts every row. The rows' part is the interval of the mean over these draws, the
        draws' part Student's for the mean of independent values; their half-widths add in quadrature.
        """
        values = np.array([point(name, labels, predictions) for predictions in draws])
        rows, mean = evaluate(np.stack(draws)), float(values.mean())
        half = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))
        low, high = (mean, mean) if rows.low is None or rows.high is None else (rows.low, rows.high)
        return {
            "value": mean,
            "low": max(metrics[name].low, mean - float(np.hypot(mean - low, half))),
            "high": min(metrics[name].high, mean + float(np.hypot(high - mean, half))),
            "reason": rows.reason,
            "method": f"mean of {len(values)} draws; {rows.method}, and Student's interval over the draws, in quadrature",
            "draws": values.tolist(),
        }


def _in_folds(probes: Sequence[FittedProbe], train: Rows, fold: Array) -> tuple[Array, Array]:
    """Predictions and decision values of the training rows, each by the probe of its fold."""
    outputs = [
        probe.predict(train.x[fold == number]) for number, probe in zip(range(fold.max() + 1), probes, strict=False)
    ]
    order = np.argsort(fold, kind="stable")
    predictions, decisions = (np.concatenate(parts)[np.argsort(order)] for parts in zip(*outputs, strict=True))
    return predictions, decisions


def _stacked(draws: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Arrays (draws, rows, ...) by role."""
    return {role: np.stack([draw[role] for draw in draws]) for role in draws[0]}

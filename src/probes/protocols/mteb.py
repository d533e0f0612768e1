"""MTEB's few-shot classification (Muennighoff et al., 2023, MTEB, EACL).

Read from embeddings-benchmark/mteb at a905523d0111f999360b312bd4a601a0a97a0e1c,
mteb/abstasks/classification.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import stdtrit

from src.config.limits import MAX_DRAWS
from src.config.schema import DatasetConfig, ProbeConfig
from src.errors import UserError
from src.evaluation.metrics import metrics
from src.probes.fitted import predict_folds
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import Candidate, GridSearch
from src.probes.held_out import subset_weights
from src.probes.outcome import ProbeOutcome, no_folds, stack
from src.probes.progress import Progress
from src.probes.protocols.base import Evaluate, Protocol, protocol
from src.probes.protocols.scores import metric_value
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.solvers.linear import Array


@protocol("mteb")
@dataclass(frozen=True)
class MTEB(Protocol):
    """Mean score of probes that are each fitted on a few rows of each class, at one fixed strength.

    MTEB draws the rows of an experiment by shuffling those of the last one with a generator of the
    same seed each time (`_undersample_data`). That is one permutation, applied once more for each
    experiment, the same for every task of that size. Here each experiment draws its own rows from
    the run's seed, so the spread over experiments shows the effect of chance.

    MTEB's classification tasks are single texts; pairs of texts are encoded by the setting
    `pairing`. Rows that are scored in folds of themselves are predicted by probes on rows of the
    other folds, drawn again in each experiment. MTEB's own cross-validation has one experiment in
    each of five folds.

    Attributes
    ----------
    samples_per_label : int
        Training rows of each class, fewer where a class has fewer.
    experiments : int
        Number of probes.
    """

    MAXIMA: ClassVar[Mapping[str, int]] = {"samples_per_label": 1_000_000, "experiments": MAX_DRAWS}

    samples_per_label: int = 8
    experiments: int = 10

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check the settings, and that the grid holds the one value; raise a UserError."""
        for name, value, least in (
            ("samples_per_label", self.samples_per_label, 1), ("experiments", self.experiments, 2)
        ):  # fmt: skip
            if value < least:
                raise UserError(f"probe.protocol.{name}={value}: at least {least} is needed.")
        if any(len(values) != 1 for values in grid.values()):
            raise UserError(
                f"probe.grid={grid}: MTEB chooses nothing, so one value is needed, such as probe.grid.C=[1.0]."
            )

    def check_config(self, probe: ProbeConfig, dataset: DatasetConfig, draws: int) -> None:
        """Check that `draws` is left to the experiments; raise a UserError."""
        super().check_config(probe, dataset, draws)
        if draws > 1:
            raise UserError(
                f"draws={draws}: MTEB's experiments are draws. Set draws=1, and probe.protocol.experiments instead."
            )

    def fit_by_rules(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None
    ) -> ProbeOutcome:
        fitter = ProbeFitter(estimator, settings, data.train, data.classes, progress)
        nested, rows = settings.selection == "nested", len(fitter.y)
        fold_ids = data.splitter(settings).fold_ids() if nested else no_folds(rows)
        folds = settings.folds if nested else 1
        weights = [
            self._draw(fitter.y, np.flatnonzero(fold_ids != fold), [settings.seed, 5, experiment, fold])
            for experiment in range(self.experiments)
            for fold in range(folds)
        ]
        (value,) = fitter.values
        fits = fitter.fit([FitRequest(value, each) for each in weights], stage="experiments")
        probes = [fitter.fitted_probe(fit, "the rows of one experiment") for fit in fits]
        if nested:
            experiments = [probes[first : first + folds] for first in range(0, len(probes), folds)]
            draws = [{"test": predict_folds(each, data.train.x, fold_ids)} for each in experiments]
        else:
            draws = [{role: probe.predict(each.x) for role, each in data.tests.items()} for probe in probes]
            fold_ids = no_folds(len(data.tests["test"].y) if "test" in data.tests else 0)
        counts = {"fitted": int(weights[0].sum()), "held_out": 0}
        choice = GridSearch([Candidate(value, fits, float("nan"))], counts).choice(fitter.parameter, 0, 0)
        return ProbeOutcome(stack(draws), fold_ids, choice, probes[0], draws)

    def _draw(self, y: Array, allowed: Array, seed: list[int]) -> Array:
        """Return an experiment's row weights, (rows,) float64: 1 for rows drawn from `allowed`."""
        generator = np.random.default_rng(seed)
        drawn = []
        for name in np.unique(y):
            members = allowed[y[allowed] == name]
            drawn.append(generator.choice(members, min(self.samples_per_label, len(members)), replace=False))
        return subset_weights(len(y), np.concatenate(drawn))

    def score(
        self, name: str, labels: Array, draws: Sequence[Array], fold: Array | None, evaluate: Evaluate
    ) -> dict[str, Any]:
        """Return the mean over experiments, with an interval for new rows and new draws.

        Rows and draws are crossed, as each draw predicts every row. The rows' part is the interval
        of the mean over these draws, the draws' part Student's for the mean of independent values.
        Their half-widths add in quadrature.
        """
        values = np.array([metric_value(name, labels, predictions) for predictions in draws])
        rows, mean = evaluate(np.stack(draws)), float(values.mean())
        half = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))
        low, high = (mean, mean) if rows.low is None or rows.high is None else (rows.low, rows.high)
        return {
            "value": mean,
            "low": max(metrics[name].low, mean - float(np.hypot(mean - low, half))),
            "high": min(metrics[name].high, mean + float(np.hypot(high - mean, half))),
            "reason": rows.reason,
            "method": f"mean of {len(values)} draws; {rows.method}, and Student's interval over the draws, "
            "in quadrature",
            "draws": values.tolist(),
        }

"""Minimum description length by the online code.

Voita and Titov (2020), Information-Theoretic Probing with Minimum Description Length, EMNLP, section 3.2.
Blocks as in lena-voita/description-length-probing at 2696af04226cff191eff265dbed0744512bad7b5,
control_tasks/mdl_configs/online_l0.yml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log, log2
from typing import Any

import numpy as np

from src.config.schema import Config, ProbeConfig
from src.data.dataset import Dataset
from src.data.splits import RowSplitter
from src.errors import UserError, shortened
from src.probes.fitting import Bench, Rows
from src.probes.probe import Outcome, Setup, own, pick
from src.probes.protocols.base import Protocol, protocol
from src.probes.solvers.linear import Array

MOST_BLOCKS = 100


@protocol("mdl")
@dataclass(frozen=True)
class OnlineCode(Protocol):
    """How many bits the labels cost to be sent to somebody who has the features and a probe.

    The training rows come in one seeded order. Those of the first block are sent by the uniform code; then a probe is fitted on all rows
    sent so far, at a strength chosen on a part carved from them, and the next block costs -log2 of the probabilities that it gives. Rows
    too few to fit and choose on (a class is missing, or nothing can be held out) lengthen the first block.

    The score is this suite's own, of a probe on all of train; the probes before it are scored on the test rows too, as a learning curve.

    Attributes
    ----------
    blocks : ends of the blocks in percent of the training rows; the last block ends with the last row
    """

    blocks: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.25, 12.5, 25.0, 50.0)

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check that the blocks are rising percentages; raise a UserError."""
        numbers = isinstance(self.blocks, list | tuple) and all(type(end) in (int, float) for end in self.blocks)
        rising = numbers and all(first < second for first, second in pairwise([0, *self.blocks, 100]))
        if not rising or len(self.blocks) > MOST_BLOCKS:
            raise UserError(
                f"probe.protocol.blocks={shortened(self.blocks)}: rising percentages between 0 and 100 are needed, at most {MOST_BLOCKS}."
            )

    def check(self, config: Config, read: Dataset) -> None:
        if read.selection == "nested":
            raise UserError(
                f"probe=mdl needs a test split of its own, and {read.name} is scored in folds of train. Leave probe out."
            )
        super().check(config, read)

    def fit(self, estimator: Any, config: ProbeConfig, train: Rows, tests: dict[str, Rows], setup: Setup) -> Outcome:
        outcome = own(estimator, config, train, tests, setup)
        bench = Bench(estimator, config, train, setup.classes, setup.progress)
        order = np.random.default_rng([setup.seed, 6]).permutation(len(train.y))
        division = setup.division(config, train.y)
        carved = {}
        for end in sorted({int(percent / 100 * len(order)) for percent in self.blocks}):
            held = _held(division, np.sort(order[:end]), setup.classes)
            if held is not None:
                carved[end] = held
        values = bench.ordered()
        curve: list[tuple[int, dict[str, Array]]] = []
        blocks: list[dict[str, Any]] = []
        kept = {end: _weights(len(order), np.setdiff1d(order[:end], held)) for end, held in carved.items()}
        fits = iter(bench.fit([(value, weights) for weights in kept.values() for value in values]))
        for end, after in pairwise([*carved, len(order)]):
            grid = [next(fits) for _ in values]
            best = pick([float(bench.loss(fit, carved[end]).mean()) for fit in grid])
            (fit,) = bench.fit(
                [(values[best], _weights(len(order), order[:end]))], [grid[best].solution], what="blocks"
            )
            bits = float(bench.loss(fit, order[end:after]).sum()) / log(2)
            blocks.append(
                {
                    "rows": end,
                    bench.parameter: values[best],
                    "coded": after - end,
                    "bits": bits,
                    "converged": fit.converged,
                }
            )
            curve.append((end, {role: bench.fitted(fit, "").predict(rows.x)[0] for role, rows in tests.items()}))
        first, uniform = min(carved, default=len(order)), log2(setup.classes)
        code: dict[str, Any] = {
            "bits": first * uniform + sum(block["bits"] for block in blocks),
            "uniform_bits": len(order) * uniform,
            "uniform_rows": first,
            "blocks": blocks,
        }
        code["compression"] = code["uniform_bits"] / code["bits"]
        return replace(
            outcome, curve=[*curve, (len(order), outcome.predictions)], details={**outcome.details, "online_code": code}
        )


def _held(division: RowSplitter, rows: Array, classes: int) -> Array | None:
    """The rows held out of these for the choice of the strength; None where no probe can be fitted and chosen."""
    part = division.subset(rows)
    if len(np.unique(part.y)) < classes:
        return None
    try:
        return rows[part.holdout_mask()]
    except UserError:
        return None


def _weights(count: int, rows: Array) -> Array:
    """1 for these rows, else 0: (count,) float64."""
    weights = np.zeros(count)
    weights[rows] = 1
    return weights

"""Minimum description length by the online code.

Voita and Titov (2020), Information-Theoretic Probing with Minimum Description Length, EMNLP,
section 3.2. Blocks as in lena-voita/description-length-probing at
2696af04226cff191eff265dbed0744512bad7b5, control_tasks/mdl_configs/online_l0.yml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log, log2
from typing import Any

import numpy as np

from src.data.dataset import Dataset
from src.data.splits import RowSplitter
from src.errors import UserError, shortened
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import pick
from src.probes.held_out import subset_weights
from src.probes.outcome import CurvePoint, ProbeOutcome
from src.probes.progress import Progress
from src.probes.protocols.base import Protocol, protocol, require_test_split
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.solvers.linear import Array
from src.probes.suite import suite_protocol

MAX_BLOCKS = 100


@protocol("mdl")
@dataclass(frozen=True)
class OnlineCode(Protocol):
    """Bits that transmit the labels to a receiver who has the features and the method.

    The training rows come in one seeded order. Those of the first block are sent by the uniform
    code. Then a probe is fitted on all rows sent so far, at a strength chosen on a part held out
    from them. The next block costs -log2 of the probabilities that it gives. Where a class is
    missing or no row can be held out, the first block is longer.

    The score is the suite's own, of a probe on all of train. The probes before it are scored on the
    test rows too, as a learning curve.

    Attributes
    ----------
    blocks : tuple of float
        Ends of the blocks in percent of the training rows; the last block ends with the last row.
    """

    blocks: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.25, 12.5, 25.0, 50.0)

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check that the blocks are rising percentages; raise a UserError."""
        numbers = isinstance(self.blocks, list | tuple) and all(type(end) in (int, float) for end in self.blocks)
        rising = numbers and all(first < second for first, second in pairwise([0, *self.blocks, 100]))
        if not rising or len(self.blocks) > MAX_BLOCKS:
            raise UserError(
                f"probe.protocol.blocks={shortened(self.blocks)}: rising percentages between 0 and 100 are needed, "
                f"at most {MAX_BLOCKS}."
            )

    def check(self, settings: ProbeSettings, dataset: Dataset) -> None:
        require_test_split("probe=mdl", settings, dataset, "Leave probe out.")
        super().check(settings, dataset)

    def fit_by_rules(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None
    ) -> ProbeOutcome:
        settings = replace(settings, metric=None)  # no threshold
        outcome = suite_protocol(estimator, settings, data, progress)
        fitter = ProbeFitter(estimator, settings, data.train, data.classes, progress)
        order = np.random.default_rng([settings.seed, 6]).permutation(len(data.train.y))
        blocks, curve = self._code(fitter, settings, data, order)
        first = blocks[0]["rows"] if blocks else len(order)
        uniform = log2(data.classes)  # bits of a label by the uniform code
        code: dict[str, Any] = {
            "bits": first * uniform + sum(block["bits"] for block in blocks),
            "uniform_bits": len(order) * uniform,
            "uniform_rows": first,
            "blocks": blocks,
        }
        code["compression"] = code["uniform_bits"] / code["bits"]
        curve.append(CurvePoint(len(order), outcome.predictions))
        return replace(outcome, curve=curve, details={**outcome.details, "online_code": code})

    def _code(
        self, fitter: ProbeFitter, settings: ProbeSettings, data: ProbeData, order: Array
    ) -> tuple[list[dict[str, Any]], list[CurvePoint]]:
        """Return the coded blocks, and the learning curve of the probes that code them."""
        splitter, rows = data.splitter(settings), len(order)
        held_out = {}  # by end of the block before
        for end in sorted({int(percent / 100 * rows) for percent in self.blocks}):
            found = _hold_out(splitter, np.sort(order[:end]), data.classes)
            if found is not None:
                held_out[end] = found
        requests = []
        for end, out in held_out.items():
            weights = subset_weights(rows, np.setdiff1d(order[:end], out))
            requests += [FitRequest(value, weights) for value in fitter.values]
        fits = iter(fitter.fit(requests))
        blocks: list[dict[str, Any]] = []
        curve: list[CurvePoint] = []
        for end, following in pairwise([*held_out, rows]):
            grid = [next(fits) for _ in fitter.values]
            best = pick([float(losses.mean()) for losses in fitter.losses(grid, held_out[end])])
            value, weights = fitter.values[best], subset_weights(rows, order[:end])
            (fit,) = fitter.fit([FitRequest(value, weights, grid[best].solution)], stage="blocks")
            bits = float(fitter.losses([fit], order[end:following])[0].sum()) / log(2)
            block = {"rows": end, fitter.parameter: value, "coded": following - end}
            blocks.append({**block, "bits": bits, "converged": fit.converged})
            probe = fitter.fitted_probe(fit, "")
            curve.append(CurvePoint(end, {role: probe.predict(each.x) for role, each in data.tests.items()}))
        return blocks, curve


def _hold_out(splitter: RowSplitter, rows: Array, classes: int) -> Array | None:
    """Return the rows held out to choose the strength; None where none can be chosen."""
    part = splitter.subset(rows)
    if len(np.unique(part.y)) < classes:
        return None
    try:
        return rows[part.holdout_mask()]
    except UserError:
        return None

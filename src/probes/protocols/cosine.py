"""Similarity without training: the read-out of those who compare embeddings by their cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from src.config.schema import DISTANCE_SCALINGS, DatasetConfig, ProbeConfig
from src.data.dataset import Dataset
from src.errors import UserError
from src.features.vectors import all_rows_equal
from src.probes.fitted import Prediction
from src.probes.outcome import ProbeOutcome, no_folds
from src.probes.progress import Progress
from src.probes.protocols.base import Protocol, protocol
from src.probes.settings import ProbeData, ProbeSettings
from src.probes.similarity import similarities, text_scaling
from src.probes.solvers.linear import Array, Matrix

METRICS = ("spearman", "pearson")  # the headline first
FITTING = ("train", "development")  # roles that nothing is read of


@protocol("cosine")
@dataclass(frozen=True)
class Cosine(Protocol):
    """Correlation of a similarity with the gold scores; nothing is fitted to labels.

    The two texts of a row are encoded apart. ``probe.features`` scales their vectors by statistics
    of all evaluated texts. The bag of word pieces is compared by the cosine of its counts.
    """

    FITTED: ClassVar[bool] = False
    SCALINGS: ClassVar[tuple[str, ...]] = DISTANCE_SCALINGS

    def pairing(self, requested: str | None, has_pairs: bool) -> str:
        """Return ``separate``; raise a UserError for single texts and for an explicit ``joint``."""
        if not has_pairs:
            raise UserError(
                "probe=cosine compares the two texts of a row, and this dataset has one. Leave probe out, or name "
                "dataset.text_pair."
            )
        if requested == "joint":
            raise UserError(
                "pairing=joint reads both texts of a row as one, and probe=cosine compares two vectors. "
                "Leave pairing out, or use pairing=separate."
            )
        return "separate"

    def check_config(self, probe: ProbeConfig, dataset: DatasetConfig, draws: int) -> None:
        """Check that nothing is asked for that needs a fit; raise a UserError."""
        if draws > 1:
            raise UserError(
                f"draws={draws} repeats a fit on resamples of the training rows, and probe=cosine fits nothing. "
                "Set draws=1."
            )
        if probe.shuffled_labels:
            raise UserError(
                "probe.shuffled_labels=true shuffles labels of train, and probe=cosine reads none. Leave it out."
            )
        if probe.estimator:
            raise UserError("probe.estimator: probe=cosine fits nothing, so it has no estimator. Leave it out.")
        if dataset.metric is not None and dataset.metric not in METRICS:
            raise UserError(
                f"dataset.metric={dataset.metric} compares values, and a similarity has another unit than the gold "
                f"scores. Allowed with probe=cosine: {', '.join(METRICS)}."
            )

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check that there is no grid; raise a UserError."""
        if grid:
            raise UserError(f"probe.grid={dict(grid)}: probe=cosine fits nothing, so it has no grid. Leave it out.")

    def scored_by(self, dataset: DatasetConfig) -> DatasetConfig:
        """Return the task with both correlations as its metrics, Spearman's first unless asked otherwise."""
        return replace(dataset, metrics=sorted(METRICS, key=lambda name: name != (dataset.metric or METRICS[0])))

    def select_splits(self, dataset: DatasetConfig) -> DatasetConfig:
        """Return the task without the splits of training and development rows: their files may be missing."""
        return replace(dataset, splits={role: name for role, name in dataset.splits.items() if role not in FITTING})

    def select_roles(self, dataset: Dataset) -> Dataset:
        """Return the task without its training and development rows."""
        roles = {role: name for role, name in dataset.roles.items() if role not in FITTING}
        return replace(dataset, roles=roles)

    def check(self, settings: ProbeSettings, dataset: Dataset) -> None:
        """Check that there are rows to score; raise a UserError."""
        if "test" not in dataset.roles:
            raise UserError(
                f"{dataset.name}: nothing to score on. Give dataset.test=<file> "
                "(dataset=hub: dataset.splits.test=<split>)."
            )

    def pair_features(self, sides: list[Matrix]) -> Matrix:
        """Return ``[u; v]``, (rows, 2 width)."""
        return sp.hstack(sides, format="csr") if sp.issparse(sides[0]) else np.concatenate(sides, axis=1)

    def vector_width(self, columns: int) -> int:
        """Return the width of one text's vector."""
        return columns // 2

    def fit(
        self, estimator: Any, settings: ProbeSettings, data: ProbeData, progress: Progress | None = None
    ) -> ProbeOutcome:
        """Return the similarities of each scored role's rows; nothing is fitted to labels."""
        found, dropped = {}, {}
        for role, rows in data.tests.items():
            values, dropped[role] = _compare(settings, rows.x)
            found[role] = Prediction(values, values.astype(np.float32))
        details: dict[str, Any] = {"similarity": settings.similarity, "features": settings.features}
        if settings.features == "whiten":
            details["dropped_directions"] = dropped["test"]
        return ProbeOutcome(found, no_folds(len(data.tests["test"].y)), None, None, [found], details=details)


def _compare(settings: ProbeSettings, x: Matrix) -> tuple[Array, int]:
    """Return similarities (rows,) of ``[u; v]``, and the number of directions that were dropped."""
    width = x.shape[1] // 2
    u, v = x[:, :width], x[:, width:]
    if sp.issparse(x):
        return similarities(settings.similarity, u, v), 0
    scaling = text_scaling(settings.features, np.concatenate([u, v]))
    values = similarities(settings.similarity, u, v, scaling)
    if all_rows_equal(x):  # what is left of a scaling is rounding, which would be ranked
        values[:] = values[:1]
    return values, scaling.dropped

"""Small records that the tests of experiments share."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.bundles import read_records, write_bundle
from experiments.manifest import write_manifest
from tests.helpers.records import LABELS, job


@pytest.fixture
def sweep(tmp_path):
    """A sweep's folder: two poolings of two tasks, one of them with draws."""
    generator = np.random.default_rng(0)
    for number, (dataset, pooling) in enumerate(
        (dataset, pooling) for dataset in ("one", "two") for pooling in ("cls", "mean")
    ):
        drawn = generator.integers(0, 2, size=(3, len(LABELS)) if dataset == "two" else len(LABELS))
        job(
            tmp_path / "sweep",
            number,
            drawn,
            dataset=dataset,
            pooling=pooling,
            draws=3 if dataset == "two" else 1,
            value=0.8,
        )
    return tmp_path / "sweep"


@pytest.fixture
def records(sweep, tmp_path):
    """A folder of records with its manifest: one bundle, one other file."""
    folder = tmp_path / "records"
    write_bundle(read_records(sweep), folder / "poolings" / "tiny")
    (folder / "cost.json").write_text("{}\n")
    write_manifest(folder)
    return folder

"""Configurations of several datasets from one command line."""

from __future__ import annotations

import pytest

from experiments.configurations import configs
from src.errors import UserError


def test_each_dataset_has_a_configuration() -> None:
    assert [each.dataset.name for each in configs(["dataset=cola,stsb", "seed=3"])] == ["cola", "stsb"]
    assert [each.probe.name for each in configs(["dataset=cola,stsb"]) if each.probe] == ["logistic", "ridge"]
    assert [each.dataset.name for each in configs([])] == ["demo_sentiment"]
    with pytest.raises(UserError, match="needs"):
        configs(["dataset=cola", "pairing=separate"])

"""The score over several draws of training rows."""

from __future__ import annotations

import numpy as np
import pytest

from src.evaluation.estimates import Estimate
from src.probes.protocols.scores import over_draws


def test_an_undefined_draw_makes_the_mean_undefined() -> None:
    estimates = [Estimate(0.5, 0.4, 0.6, None, "x"), Estimate(None, None, None, "constant", "x")]
    found = over_draws("accuracy", estimates)
    assert found["value"] is None
    assert found["reason"] == "constant (in 1 of 2 training draws)"


@pytest.mark.parametrize("draws", [2, 3, 10])
def test_the_interval_over_draws_holds_the_next_draw(draws: int) -> None:
    generator, held = np.random.default_rng(draws), 0
    for _ in range(2000):
        *seen, new = generator.normal(0.8, 0.01, draws + 1)  # so many test rows that they add nothing
        found = over_draws("accuracy", [Estimate(value, value, value, None, "x") for value in seen])
        held += found["low"] <= new <= found["high"]
    assert 0.935 <= held / 2000 <= 0.965


def test_the_methods_of_all_draws_are_named_once_each() -> None:
    estimates = [Estimate(0.5, 0.4, 0.6, None, method) for method in ("BCa", "BCa", "bound on unseen cells")]
    assert "draws; BCa or bound on unseen cells, and" in over_draws("f1", estimates)["method"]
    assert "draws; BCa, and" in over_draws("f1", estimates[:2])["method"]

"""Cautions: one for each flaw of a run, none without a flaw."""

from __future__ import annotations

from typing import Any

import pytest

from src.results.cautions import cautions
from tests.helpers.records import make_result


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pooler": {"status": "untrained"}, "pooling": "pooler_preactivation"}, "never trained"),
        (
            {"pooler": {"status": "untrained"}, "pooling": "concat", "config": {"pooling": {"of": ["cls", "pooler"]}}},
            "never trained",
        ),
        ({"chosen": {"converged": False}}, "converge"),
        ({"chosen": {"separable": True, "value": 0.0}}, "no optimum"),
        ({"chosen": {"at_edge": "low"}}, "lowest"),
        ({"counts": {"test_in_train": 2}}, "2 test rows"),
    ],
)
def test_each_flaw_gives_one_caution(changes: dict[str, Any], word: str) -> None:
    (caution,) = cautions(make_result(**changes))
    assert word in caution


@pytest.mark.parametrize(("metric", "value"), [("accuracy", 1.0), ("rmse", 0.0)])
def test_no_wider_grid_is_recommended_for_a_perfect_score(metric: str, value: float) -> None:
    score = {"metric": metric, "value": value, "low": None, "high": None}
    assert cautions(make_result(chosen={"at_edge": "low"}, score=score)) == []
    assert cautions(make_result(chosen={"at_edge": "low"}, score=score | {"value": 0.5})) != []
    assert cautions(make_result(chosen={"at_edge": "low"}, score=score | {"metric": "unheard of"})) != []


def test_a_run_without_flaws_has_no_cautions() -> None:
    assert cautions(make_result()) == []
    assert cautions(make_result(pooler={"status": "untrained"}, pooling="mean")) == []
    assert cautions(make_result(pooler={"status": "untrained"}, pooling="random_pooler")) == []

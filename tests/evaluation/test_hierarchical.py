"""The claim over tasks is mirrored, has Student's width, and keeps its level."""

from __future__ import annotations

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.hierarchical import Overall, over_tasks
from tests.helpers.predictions import FAST, MIXED, make_task


def check(found: Overall, margin: float) -> None:
    """Check what holds for every claim."""
    assert found.low <= found.low90 <= found.value <= found.high90 <= found.high
    assert (found.p <= 0.05) == (found.low > 0 or found.high < 0)
    assert (found.p_equivalence <= 0.05) == (-margin < found.low90 and found.high90 < margin)
    assert found.conjunction == sorted(found.conjunction) and found.at_least == sum(
        p <= 0.05 for p in found.conjunction
    )
    assert found.value == pytest.approx(np.mean(found.differences)) and np.mean(found.without) == pytest.approx(
        found.value
    )


def test_exchanging_sides_mirrors_the_mean_and_its_parts_agree():
    for margin in (0.01, 0.08):
        forth, back = (over_tasks(MIXED, *pair, margin=margin, resamples=2000) for pair in (("a", "b"), ("b", "a")))
        check(forth, margin)
        check(back, margin)
        assert back.value == pytest.approx(-forth.value) and back.conjunction == pytest.approx(
            forth.conjunction, abs=1e-9
        )
        assert -back.high == pytest.approx(forth.low, abs=0.1 * (forth.high - forth.low))
    assert forth.tasks == ("one", "two", "three", "four", "five") and len(forth.conjunction) == 5


def test_the_width_is_that_of_student_over_tasks():
    from scipy import stats

    found = over_tasks(MIXED, "a", "b", resamples=4000)
    low, high = stats.t.interval(0.95, 4, np.mean(found.differences), stats.sem(found.differences))
    assert found.high - found.low == pytest.approx(high - low, rel=0.12)


def test_a_large_effect_is_found_and_tasks_without_effect_weaken_it():
    shown = [make_task(f"task {seed}", gap=0.1, rows=600, seed=seed) for seed in range(5)]
    noise = [make_task(f"noise {seed}", rows=600, seed=seed + 20) for seed in range(5)]
    few, many = over_tasks(shown, "a", "b", resamples=FAST), over_tasks([*shown, *noise], "a", "b", resamples=FAST)
    assert few.verdict == "better" and few.at_least == 5
    assert 0 < many.value < few.value and many.p > few.p and many.at_least <= 5 + 1


def test_a_seed_fixes_the_claim():
    one, two = (over_tasks(MIXED, "a", "b", resamples=FAST, seed=3) for _ in range(2))
    assert one == two != over_tasks(MIXED, "a", "b", resamples=FAST, seed=4)


def test_runs_with_equal_predictions_are_equivalent():
    tasks = [make_task(str(seed), rows=900, seed=seed) for seed in range(3)]
    found = over_tasks(tasks, "a", "a", margin=0.05, resamples=FAST)
    assert (
        found.value == 0
        and found.p == 1
        and found.verdict == "no relevant difference"
        and -0.05 < found.low < 0 < found.high
    )
    with pytest.raises(UserError, match="alike"):
        over_tasks([make_task("x", "pearson", 0), make_task("y", "pearson", 0, seed=1)], "a", "a", resamples=FAST)


def test_over_tasks_keeps_its_level_where_nothing_differs():
    rejected = covered = 0
    for trial in range(80):
        generator = np.random.default_rng(trial)
        effects = 0.02 * generator.standard_normal(5)
        tasks = [
            make_task(str(place), gap=effect, rows=250, seed=1000 * trial + place)
            for place, effect in enumerate(effects)
        ]
        found = over_tasks(tasks, "a", "b", resamples=200)
        rejected, covered = rejected + (found.p <= 0.05), covered + (found.low <= 0 <= found.high)
    # with rates of 0.05 and 0.95 this fails once in a thousand runs; the seeds are fixed
    assert rejected / 80 <= 0.14 and covered / 80 >= 0.86

"""Contrasts are corrected in two families a task, mirror their sides, and are flagged where rows are few."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.comparisons import compare
from src.evaluation.contrasts import MARGIN, contrasts, resample_task
from src.evaluation.differences import NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, VERDICTS, equivalent
from src.evaluation.proportions import kappa
from tests.helpers.predictions import FAST, MIXED, PAIRS, make_task


def test_the_pairs_of_a_task_are_corrected_as_two_families():
    from statsmodels.stats.multitest import multipletests

    names = {"a": "cls", "b": "pooler", "c": "mean"}
    tasks = [
        replace(task, predictions={names[run]: each for run, each in task.predictions.items()}
                | {"max": np.where(np.arange(len(task.labels)) % 2, task.predictions["a"], task.predictions["b"])})
        for task in MIXED[1:4]
    ]  # fmt: skip
    pairs = list(combinations(("cls", "pooler", "mean", "max"), 2))
    found = contrasts(tasks, pairs, margin=0.05, resamples=FAST)
    assert [(one.task, one.a, one.b) for one in found] == [(task.name, *pair) for task in tasks for pair in pairs]
    families = {(one.task, one.family) for one in found}
    assert len(families) == 2 * len(tasks)
    for task, family in families:
        members = [one for one in found if (one.task, one.family) == (task, family)]
        assert ("max" in {one.b for one in members}) == (family == "other pairs") and len(members) == 3
        for raw, adjusted in (("p", "p_holm"), ("p_equivalence", "p_equivalence_holm")):
            values = [getattr(one, raw) if raw != "p" else one.difference.p for one in members]
            assert [getattr(one, adjusted) for one in members] == pytest.approx(
                multipletests(values, method="holm")[1], abs=1e-9
            )
    assert {one.verdict for one in found} <= set(VERDICTS)
    for one in found:
        assert (one.p_equivalence <= 0.05) == equivalent(one.difference, 0.05)
        same, differs = one.p_equivalence_holm <= 0.05, one.p_holm <= 0.05
        assert (one.verdict in (NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE)) == same and (
            one.verdict in ("better", "worse")
        ) == (differs and not same)


def test_other_tasks_do_not_change_a_tasks_p_values():
    alone, beside = contrasts(MIXED[:1], PAIRS, resamples=FAST), contrasts(MIXED[:3], PAIRS, resamples=FAST)
    assert [one.p_holm for one in alone] == [one.p_holm for one in beside[:3]]


def test_exchanging_sides_mirrors_the_contrast():
    task = make_task("one", gap=0.12, rows=800)
    forth, back = (contrasts([task], [pair], resamples=FAST)[0] for pair in (("a", "b"), ("b", "a")))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert back.difference.value == -forth.difference.value and back.difference.p == pytest.approx(forth.difference.p)
    assert (back.p_equivalence, back.smallest_margin) == pytest.approx(
        (forth.p_equivalence, forth.smallest_margin), abs=1e-9
    )
    errors = make_task("error", "rmse", 0, gap=0.2, rows=800)
    assert contrasts([errors], [("a", "b")], resamples=FAST)[0].verdict == "better"


def test_accuracy_uses_mcnemar_and_agreement_is_kappa():
    task = make_task("one", gap=0.05)
    found = contrasts([task], [("a", "b")], resamples=FAST)[0]
    a, b = task.predictions["a"], task.predictions["b"]
    assert found.difference == compare("accuracy", task.labels, a, b, classes=2)
    assert (
        found.agreement == pytest.approx(kappa(a, b, classes=2)[0])
        and found.rows == 400
        and found.margin == MARGIN == 0.01
    )
    assert contrasts([make_task("four", "pearson", 0)], [("a", "b")], resamples=FAST)[0].agreement is None


def test_flags_name_few_rows_folds_and_sparse_classes():
    task = make_task("one", gap=0.05)
    few = make_task("few", rows=71)
    flagged = [contrasts([one], [("a", "b")], resamples=FAST)[0].flag for one in (task, few, replace(task, folds=10))]
    assert flagged[0] is None and "250 rows" in flagged[1] and "10 folds" in flagged[2]
    rare = replace(task, predictions={**task.predictions, "b": np.zeros_like(task.labels)})
    assert "fewer than 5" in contrasts([rare], [("a", "b")], resamples=FAST)[0].flag


def test_draws_are_paired_and_averaged():
    task = make_task("drawn", gap=0.05, draws=3)
    found = contrasts([task], [("a", "b")], resamples=FAST)[0]
    by_hand = (task.predictions["a"] == task.labels).mean() - (task.predictions["b"] == task.labels).mean()
    assert found.difference.value == pytest.approx(by_hand, abs=1e-12) and "3 draws" in found.difference.method
    each = [kappa(*pair, classes=2)[0] for pair in zip(task.predictions["a"], task.predictions["b"], strict=True)]
    assert found.agreement == pytest.approx(np.mean(each))


def test_undefined_differences_stay_out_of_the_family():
    task = make_task("four", "pearson", 0, gap=0.05)
    flat = replace(task, predictions={**task.predictions, "b": np.zeros(400)})
    found = contrasts([flat], PAIRS[:2], resamples=FAST)
    assert found[0].p_holm is None and found[0].verdict == "inconclusive" and found[0].smallest_margin is None
    assert found[1].p_holm == found[1].difference.p


def test_pairs_of_a_task_share_one_bootstrap():
    task = make_task("two", "f1")
    resample_task.cache_clear()
    contrasts([task], PAIRS, resamples=FAST)
    assert resample_task.cache_info().misses == 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: contrasts(MIXED, [("a", "x")]), "one: no run 'x'. Known: a, b, c"),
        (lambda: contrasts([make_task("bad", "f1", 3)], PAIRS), "bad: metric 'f1'"),
        (lambda: contrasts(MIXED[:1], PAIRS, margin=0), "margin is above 0"),
    ],
)
def test_errors_name_the_task_and_the_problem(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_unequal_widths_are_flagged():
    task = replace(make_task("one"), widths={"a": 16, "b": 32, "c": 16})
    wider, equal = contrasts([task], [("a", "b"), ("a", "c")], resamples=FAST)
    assert "unequal widths" in wider.flag and equal.flag is None
    assert "32" in wider.flag

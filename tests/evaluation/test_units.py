"""Means over units, their families and seeds, each beside a recomputation by hand with numpy and scipy."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import special, stats

from src.errors import UserError
from src.evaluation.deviance import constant_losses, fold_constants, log_likelihoods
from src.evaluation.differences import INCONCLUSIVE, VERDICTS
from src.evaluation.overlap import Overlap
from src.evaluation.row_contrasts import RowContrast, TaskLosses, deviance_contrast
from src.evaluation.units import correct_claims, mean_over_units, seed_contrast

RUNS = ("cls", "pooler", "mean", "max")
TASKS = {  # name, rows, classes, whether it is cross-validated, first number of its texts
    "sst2": (300, 2, False, 0),
    "mr": (500, 2, True, 200),  # shares a hundred texts with sst2
    "trec": (240, 4, False, 2000),
    "cr": (260, 2, True, 3000),
    "sick_r": (220, 0, False, 4000),
    "mpqa": (200, 3, True, 5000),
    "tweet_irony": (180, 2, False, 6000),
}
UNITS = {"sst2": "reviews", "mr": "reviews"}


def make_data(name: str) -> dict:
    """Return labels, decision values by run, folds, the constant of the fitted rows, and text digests."""
    rows, classes, folded, first = TASKS[name]
    generator = np.random.default_rng(list(name.encode()))
    labels = generator.integers(classes, size=rows) if classes else generator.standard_normal(rows)
    decisions = {}
    for place, run in enumerate(RUNS):
        noise = generator.standard_normal((rows, classes) if classes > 2 else rows)
        signal = np.eye(classes)[labels] if classes > 2 else (2 * labels - 1 if classes else labels)
        decisions[run] = (0.8 + 0.1 * place) * signal + 0.5 * noise
    folds = np.arange(rows) % 5 if folded else None
    constant = generator.dirichlet(np.full(classes, 20)) if classes else 0.1
    digests = np.arange(first, first + rows, dtype=np.uint64)
    return {"labels": labels, "decisions": decisions, "folds": folds, "constant": constant, "digests": digests,
            "classes": classes}  # fmt: skip


def suite_task(name: str) -> TaskLosses:
    data = make_data(name)
    labels, classes, folds = data["labels"], data["classes"], data["folds"]
    constant = data["constant"] if folds is None else fold_constants(labels, folds, classes)
    losses = {
        run: -log_likelihoods(labels, each, classes) if classes else (each - labels) ** 2
        for run, each in data["decisions"].items()
    }
    return TaskLosses(name, losses, constant_losses(labels, constant, folds), data["digests"], folds)


def suite_contrast(task: TaskLosses, a: str, b: str) -> RowContrast:
    return replace(deviance_contrast(task, a, b), unit=UNITS.get(task.name))


def hand_contrast(name: str, a: str, b: str) -> tuple[float, np.ndarray, float]:
    """Return value, influence by row and error, from the formulas of docs/protocol.md alone."""
    data = make_data(name)
    labels, classes, folds, rows = data["labels"], data["classes"], data["folds"], len(data["labels"])
    loss = {}
    null = np.empty(rows)
    for row in range(rows):
        fitted = labels[folds != folds[row]] if folds is not None else None
        if classes:
            f = data["constant"] if fitted is None else np.array([np.mean(fitted == c) for c in range(classes)])
            null[row] = -np.log(f[labels[row]])
        else:
            null[row] = (labels[row] - (data["constant"] if fitted is None else fitted.mean())) ** 2
    for run in (a, b):
        scores = data["decisions"][run]
        if classes > 2:
            loss[run] = special.logsumexp(scores, axis=1) - scores[np.arange(rows), labels]
        elif classes:
            right = special.expit(scores)
            loss[run] = -np.log(np.where(labels == 1, right, 1 - right))
        else:
            loss[run] = (scores - labels) ** 2
    d = (1 - loss[a].sum() / null.sum()) - (1 - loss[b].sum() / null.sum())
    e = (loss[b] - loss[a] - d * null) / null.mean()
    variance = rows / (rows - 1) * np.sum(e**2) / rows**2
    if folds is not None:
        by_fold = [
            (loss[b] - loss[a])[folds == fold].sum() / null[folds == fold].sum() for fold in range(folds.max() + 1)
        ]
        variance = max(variance, np.var(by_fold, ddof=1) / len(by_fold))
    return d, e, max(np.sqrt(variance), 1 / rows)


@pytest.mark.parametrize("name", ["trec", "mr", "sick_r"])
def test_contrasts_equal_those_by_hand(name):
    found = deviance_contrast(suite_task(name), "mean", "cls")
    value, influence, error = hand_contrast(name, "mean", "cls")
    assert found.value == pytest.approx(value, abs=1e-9) and found.error == pytest.approx(error, abs=1e-9)
    assert found.influence == pytest.approx(influence, abs=1e-9)
    law = stats.t(len(influence) - 1)  # no two rows share a text
    low, high = value + error * law.ppf(0.025), value + error * law.ppf(0.975)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=1e-9)
    assert found.difference.p == pytest.approx(2 * law.sf(abs(value) / error), abs=1e-9)


def hand_claim(names: list[str], a: str, b: str) -> tuple[float, float, float, float, float]:
    """Return value, standard error, rows' error, p and equivalence p at 1 point."""
    units: dict[str, list[str]] = {}
    for name in names:
        units.setdefault({"sst2": "reviews", "mr": "reviews"}.get(name, name), []).append(name)
    by_hand = {name: hand_contrast(name, a, b) for name in names}
    means = np.array([np.mean([by_hand[name][0] for name in members]) for members in units.values()])
    by_text: dict[int, float] = {}
    extra = 0.0
    for members in units.values():
        for name in members:
            weight, rows = 1 / len(units) / len(members), len(by_hand[name][1])
            for digest, influence in zip(make_data(name)["digests"].tolist(), by_hand[name][1], strict=True):
                by_text[digest] = by_text.get(digest, 0.0) + np.sqrt(rows / (rows - 1)) * weight * influence / rows
            own = rows / (rows - 1) * np.sum((weight * by_hand[name][1] / rows) ** 2)
            extra += max(0.0, (weight * by_hand[name][2]) ** 2 - own)
    of_rows = np.sqrt(np.sum(np.array(list(by_text.values())) ** 2) + extra)
    value, count = means.mean(), len(units)
    if count >= 5:
        error, law = max(of_rows, means.std(ddof=1) / np.sqrt(count)), stats.t(count - 1)
    else:
        error, law = of_rows, stats.t(min(len(by_hand[name][1]) for name in names) - 1)
    same = max(law.sf((value + 0.01) / error), law.cdf((value - 0.01) / error))
    return value, error, of_rows, 2 * law.sf(abs(value) / error), same


@pytest.mark.parametrize("names", [list(TASKS), ["sst2", "mr", "trec"], ["cr"]])
def test_a_claim_over_units_equals_that_by_hand(names):
    found = mean_over_units([suite_contrast(suite_task(name), "mean", "cls") for name in names])
    value, error, of_rows, p, same = hand_claim(names, "mean", "cls")
    assert found.value == pytest.approx(value, abs=1e-9) and found.rows_error == pytest.approx(of_rows, abs=1e-9)
    assert found.error == pytest.approx(error, abs=1e-9) and found.p == pytest.approx(p, abs=1e-9)
    assert found.p_equivalence == pytest.approx(same, abs=1e-9)
    assert found.is_general == (len(names) == 7) and found.verdict in VERDICTS
    assert found.scope.startswith("over" if found.is_general else "on th")


def test_holm_over_all_pairs_equals_that_by_hand():
    pairs = list(combinations(RUNS, 2))
    tasks = {name: suite_task(name) for name in TASKS}
    found = correct_claims([mean_over_units([suite_contrast(task, *pair) for task in tasks.values()])
                            for pair in pairs])  # fmt: skip
    alone = {pair: hand_claim(list(TASKS), *pair) for pair in pairs}
    for family in ([pair for pair in pairs if "max" not in pair], [pair for pair in pairs if "max" in pair]):
        for kind, name in ((3, "p"), (4, "p_equivalence")):
            ordered, worst = sorted(family, key=lambda pair: alone[pair][kind]), 0.0
            for place, pair in enumerate(ordered):
                worst = max(worst, min(1.0, (len(ordered) - place) * alone[pair][kind]))
                (claim,) = [each for each in found if (each.a, each.b) == pair]
                assert getattr(claim, name) == pytest.approx(worst, abs=1e-9)
    assert {each.family for each in found if "max" in (each.a, each.b)} == {"other pairs"}


def test_a_contrast_over_seeds_equals_that_by_hand():
    values = np.random.default_rng(0).standard_normal((5, 8)) * 0.02 + 0.015
    found = seed_contrast(values)
    seeds, units = [row.mean() for row in values], [column.mean() for column in values.T]
    error = np.sqrt(stats.tvar(seeds) / 5 + stats.tvar(units) / 8)
    low, high = stats.t.interval(0.95, 4, np.mean(values), error)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high), abs=1e-9)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(np.mean(values)) / error, 4), abs=1e-9)
    with pytest.raises(UserError, match="two seeds"):
        seed_contrast(values[:1])


def test_shared_texts_count_once():
    """The same rows under two names of a unit have the error of one task."""
    generator = np.random.default_rng(0)
    influence = generator.standard_normal(100)
    influence -= influence.mean()
    texts = np.arange(100, dtype=np.uint64)
    error = float(np.sqrt(np.sum(influence**2) / 100**2 * 100 / 99))
    one, two = (
        RowContrast(name, "a", "b", 0.02, influence, texts, error, Overlap(texts), "sick")
        for name in ("sick_e", "sick_r")
    )
    assert mean_over_units([one, two]).rows_error == pytest.approx(mean_over_units([one]).rows_error)


def pair_contrast(name: str, texts: np.ndarray, generator: np.random.Generator, effect: np.ndarray) -> RowContrast:
    """Return the contrast of two runs that are equally good, on pairs whose texts move both."""
    rows = len(texts)
    losses = {run: 0.5 + generator.standard_normal(rows) * 0.1 for run in ("a", "b")}
    losses["a"] += effect[texts.astype(int)].sum(axis=1)
    return deviance_contrast(TaskLosses(name, losses, np.full(rows, np.log(2)), texts), "a", "b")


def test_a_claim_on_pairs_that_share_texts_equals_that_by_hand() -> None:
    generator = np.random.default_rng(1)
    texts = {name: generator.integers(first, first + 60, (rows, 2)).astype(np.uint64)
             for name, rows, first in (("mrpc", 90, 0), ("rte", 70, 40), ("stsb", 80, 200))}  # fmt: skip
    texts["rte"][3] = texts["mrpc"][5][::-1]
    effect = 0.2 * generator.standard_normal(300)
    found = [pair_contrast(name, each, generator, effect) for name, each in texts.items()]
    claim = mean_over_units(found)
    rows, least, own = [], np.inf, []
    for each in found:
        pairs, count = [set(pair) for pair in texts[each.task].tolist()], len(each.influence)
        sharing = [(i, j) for i in range(count) for j in range(count) if pairs[i] & pairs[j]]
        worth = count**2 / len(sharing)
        scaled = np.sqrt(worth / (worth - 1)) * each.influence / count / 3
        own.append(sum(scaled[i] * scaled[j] for i, j in sharing))
        assert each.error == pytest.approx(3 * np.sqrt(own[-1]), abs=1e-9) and own[-1] > np.sum(scaled**2)
        least = min(least, worth)
        rows += zip(pairs, scaled, strict=True)
    variance = sum(one * other for pair, one in rows for others, other in rows if pair & others)
    assert variance != pytest.approx(sum(own), rel=1e-3)  # mrpc and rte share texts
    law = stats.t(least - 1)
    assert claim.error == pytest.approx(np.sqrt(variance), abs=1e-9)
    assert claim.p == pytest.approx(2 * law.sf(abs(claim.value) / np.sqrt(variance)), abs=1e-9)


def hub_pairs(design: str, rows: int, generator: np.random.Generator) -> np.ndarray:
    """Return the texts of pairs, (rows, 2): the first of few texts, the second of its own."""
    if design == "Zipf":
        hubs = np.minimum(generator.zipf(1.5, rows), 200)
    elif design == "one text in six of ten rows":
        hubs = np.where(generator.random(rows) < 0.6, 0, np.arange(1, rows + 1))
    else:
        hubs = np.arange(rows) % int(design.split()[0])
    return np.column_stack([hubs, 1000 + np.arange(rows)]).astype(np.uint64)


@pytest.mark.parametrize("tasks", [1, 2])
@pytest.mark.parametrize("design", ["3 texts", "8 texts", "Zipf", "one text in six of ten rows"])
def test_a_text_in_many_pairs_keeps_the_error_rate(design: str, tasks: int) -> None:
    generator, trials, rejected = np.random.default_rng(tasks), 500, 0
    for _ in range(trials):
        effect = np.append(0.3 * generator.standard_normal(1000), np.zeros(2000))
        found = [pair_contrast(f"task {place}", hub_pairs(design, 300, generator), generator, effect)
                 for place in range(tasks)]  # fmt: skip
        claim = mean_over_units(found)
        rejected += claim.p is not None and claim.p <= 0.05
    assert rejected / trials <= 0.06 + 0.025


def test_a_text_in_all_pairs_leaves_no_error() -> None:
    generator = np.random.default_rng(0)
    found = pair_contrast("one", hub_pairs("1 text", 300, generator), generator, np.zeros(3000))
    assert found.difference.p is None and mean_over_units([found]).verdict == INCONCLUSIVE


def test_tasks_without_variance_are_not_certain():
    texts = np.arange(71)
    flat = [RowContrast(f"task {place}", "a", "b", 0.0, np.zeros(71), texts + 100 * place, 1 / 71, Overlap(texts))
            for place in range(6)]  # fmt: skip
    found = mean_over_units(flat)
    assert found.value == 0 and found.error > 0 and found.verdict == INCONCLUSIVE
    assert mean_over_units(flat[:2]).verdict == INCONCLUSIVE


def test_a_mean_needs_one_contrast_per_task():
    (one,) = (deviance_contrast(suite_task("cr"), "mean", "cls"),)
    other = deviance_contrast(suite_task("trec"), "max", "cls")
    for found in ([], [one, one], [one, other]):
        with pytest.raises(UserError, match="one contrast"):
            mean_over_units(found)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30])
def test_a_claim_on_few_groups_keeps_its_error_rate(count: int) -> None:
    generator, rows, trials, rejected = np.random.default_rng(count), 240, 800, 0
    groups = np.arange(rows) % count
    constant = np.full(rows, np.log(2))
    for _ in range(trials):
        shift = generator.standard_normal(count)[groups] * 0.2  # rows of a group are alike
        losses = {name: 0.5 + generator.standard_normal(rows) * 0.1 for name in ("a", "b")}
        task = TaskLosses("one", {**losses, "a": losses["a"] + shift}, constant, groups.astype(np.uint64))
        found = mean_over_units([deviance_contrast(task, "a", "b")])
        assert found.difference.interval is not None
        rejected += found.p is not None and found.p <= 0.05
    assert rejected / trials == pytest.approx(0.05, abs=0.025)


def test_one_group_has_no_error() -> None:
    generator = np.random.default_rng(0)
    losses = {name: generator.uniform(0.2, 0.6, 100) for name in ("a", "b")}
    task = TaskLosses("one", losses, np.full(100, np.log(2)), np.zeros(100, dtype=np.uint64))
    found = mean_over_units([deviance_contrast(task, "a", "b")])
    assert found.difference.low is found.difference.p is None and found.verdict == INCONCLUSIVE
    (corrected,) = correct_claims([found])
    assert corrected.p is None and corrected.p_equivalence is None and corrected.verdict == INCONCLUSIVE

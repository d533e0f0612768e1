"""The error of a contrast agrees with the jackknife, with groups, folds and draws."""

from __future__ import annotations

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.metrics import metrics
from src.evaluation.overlap import Overlap, row_clusters
from src.evaluation.row_contrasts import (
    TaskLosses,
    clustered_variance,
    deviance_contrast,
    spearman_contrast,
    spearman_influence,
)


def make_losses(rows: int = 200, draws: int = 1, seed: int = 0, **more) -> TaskLosses:
    generator = np.random.default_rng(seed)
    shape = (draws, rows) if draws > 1 else (rows,)
    shared, constant = generator.exponential(size=rows), generator.uniform(0.5, 1, size=rows)
    losses = {name: shared * generator.uniform(0.4, 0.9, size=shape) for name in "ab"}
    clusters = more.pop("clusters", np.arange(rows, dtype=np.uint64))
    return TaskLosses("task", losses, constant, clusters, **more)


def by_hand(task: TaskLosses, keep: np.ndarray) -> float:
    a, b = (np.atleast_2d(task.losses[name]).mean(axis=0)[keep].sum() for name in "ab")
    return float((b - a) / task.constant[keep].sum())


def test_the_error_is_that_of_the_jackknife():
    task = make_losses()
    found = deviance_contrast(task, "a", "b")
    everything = np.ones(200, bool)
    assert found.value == pytest.approx(by_hand(task, everything)) and found.influence.mean() == pytest.approx(0)
    left_out = [by_hand(task, np.arange(200) != row) for row in range(200)]
    assert found.error == pytest.approx(np.sqrt(199 * np.var(left_out)), rel=0.01)
    back = deviance_contrast(task, "b", "a")
    assert back.value == pytest.approx(-found.value) and back.error == pytest.approx(found.error)
    assert found.difference.low < found.value < found.difference.high


def test_groups_are_left_out_as_a_whole():
    groups = np.arange(200) // 10
    task = make_losses(clusters=row_clusters(np.arange(200, dtype=np.uint64), groups))
    found = deviance_contrast(task, "a", "b")
    left_out = [by_hand(task, groups != group) for group in range(20)]
    assert found.error == pytest.approx(np.sqrt(19 * np.var(left_out)), rel=0.05)
    repeated = make_losses(20)
    often = TaskLosses(
        "task", {name: np.repeat(each, 10) for name, each in repeated.losses.items()}, np.repeat(repeated.constant, 10),
        np.repeat(repeated.clusters, 10),
    )  # fmt: skip
    assert deviance_contrast(often, "a", "b").error == pytest.approx(deviance_contrast(repeated, "a", "b").error)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_that_share_a_text_depend_on_each_other(seed):
    generator = np.random.default_rng(seed)
    rows, influence = 120, generator.standard_normal(120)
    texts = generator.integers(40, size=(rows, 2)).astype(np.uint64)
    texts[:5, 1] = texts[:5, 0]  # a text beside itself
    texts[10] = texts[11][::-1]  # the same two texts in the other order
    effect = generator.standard_normal(40)
    influence += effect[texts.astype(int)].sum(axis=1)  # so that the sum is no smaller than that of the rows
    influence -= influence.mean()
    share = np.array([[bool(set(one) & set(other)) for other in texts.tolist()] for one in texts.tolist()])
    worth = rows**2 / share.sum()
    by_hand = influence @ share @ influence * worth / (worth - 1)
    assert Overlap(texts).independent == pytest.approx(worth)
    assert clustered_variance(influence, Overlap(texts)) == pytest.approx(by_hand, rel=1e-9)
    assert clustered_variance(influence, Overlap(texts[:, ::-1])) == pytest.approx(by_hand, rel=1e-9)
    alone = clustered_variance(influence, Overlap(np.arange(rows, dtype=np.uint64)))
    assert clustered_variance(influence, Overlap(texts)) > alone
    # Where texts that share cancel out, the rows alone count.
    opposed = np.where(np.arange(rows) % 2, 1.0, -1.0)
    chain = Overlap(np.column_stack([np.arange(rows), np.arange(1, rows + 1)]).astype(np.uint64))
    assert chain.products(opposed)[0] < chain.products(opposed)[1] == rows
    assert clustered_variance(opposed, chain) == pytest.approx(rows * chain.independent / (chain.independent - 1))


def test_folds_and_draws_add_to_the_error():
    folds = np.arange(200) // 20
    plain = deviance_contrast(make_losses(), "a", "b")
    within = deviance_contrast(make_losses(folds=folds), "a", "b")
    task = make_losses()
    moved = TaskLosses("task", {"a": task.losses["a"], "b": task.losses["b"] + 0.3 * (folds % 2)}, task.constant,
                       task.clusters, folds)  # fmt: skip
    assert within.error >= plain.error
    values = [by_hand(moved, folds == fold) for fold in range(10)]
    assert deviance_contrast(moved, "a", "b").error == pytest.approx(np.std(values, ddof=1) / np.sqrt(10))
    several = make_losses(draws=5)
    by_draw = [(several.losses["b"][draw] - several.losses["a"][draw]).sum() / several.constant.sum()
               for draw in range(5)]  # fmt: skip
    mean = TaskLosses("t", {k: v.mean(axis=0) for k, v in several.losses.items()}, several.constant, several.clusters)
    expected = deviance_contrast(mean, "a", "b").error ** 2 + np.var(by_draw, ddof=1) / 5
    assert deviance_contrast(several, "a", "b").error ** 2 == pytest.approx(expected)


def test_runs_that_agree_are_not_certain():
    task = make_losses()
    found = deviance_contrast(TaskLosses("t", dict.fromkeys("ab", task.losses["a"]), task.constant, task.clusters),
                              "a", "b")  # fmt: skip
    assert found.value == 0 and found.error == 1 / 200 and found.difference.p == 1


@pytest.mark.parametrize("ties", [False, True])
def test_spearmans_influence_is_its_derivative(ties):
    generator = np.random.default_rng(0)
    x = generator.standard_normal(60)
    y = x + generator.standard_normal(60)
    if ties:
        x, y = np.round(x), np.round(2 * y) / 2
    step = 1e-5
    weights = np.ones((61, 60))
    weights[np.arange(60), np.arange(60)] += step
    values = metrics["spearman"].function(x, y, weights)
    derivative = (values[:60] - values[60]) / step * 60
    assert spearman_influence(x, y) == pytest.approx(derivative, abs=2e-3)


def test_the_error_of_spearman_agrees_with_resamples():
    generator = np.random.default_rng(3)
    y, shared = generator.standard_normal((2, 400))
    runs = {name: y + shared + noise * generator.standard_normal(400) for name, noise in (("a", 0.5), ("b", 0.9))}
    found = spearman_contrast("t", y, runs, "a", "b", np.arange(400, dtype=np.uint64))
    counts = generator.multinomial(400, np.full(400, 1 / 400), size=2000).astype(float)
    function = metrics["spearman"].function
    spread = np.std(function(y, runs["a"], counts) - function(y, runs["b"], counts))
    assert found.error == pytest.approx(spread, rel=0.08)
    sets = (y > 0).astype(int)
    assert spearman_contrast("t", y, runs, "a", "b", np.arange(400, dtype=np.uint64), sets).error <= found.error


def test_what_cannot_be_compared_is_refused():
    task = make_losses()
    with pytest.raises(UserError, match="no run 'c'"):
        deviance_contrast(task, "a", "c")
    with pytest.raises(UserError, match="draws"):
        deviance_contrast(
            TaskLosses("t", {"a": np.ones((2, 3)), "b": np.ones((3, 3))}, np.ones(3), np.arange(3)), "a", "b"
        )
    with pytest.raises(UserError, match="undefined"):
        deviance_contrast(TaskLosses("t", task.losses, np.zeros(200), task.clusters), "a", "b")
    with pytest.raises(UserError, match="constant"):
        spearman_contrast("t", np.ones(9), {"a": np.arange(9), "b": np.arange(9)}, "a", "b", np.arange(9))

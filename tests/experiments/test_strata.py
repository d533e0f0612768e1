"""Claims over tasks are made by stratum, on the tasks that count, in D² or in Spearman's correlation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.bundles import Record
from experiments.losses import record_constant, record_losses
from experiments.strata import (
    APART,
    SIMILARITY,
    SINGLE,
    TOGETHER,
    Answer,
    group_tasks,
    row_contrast,
    stratum_of,
    task_answer,
)
from experiments.units import task_units, unit_of
from src.errors import UserError
from src.evaluation.units import mean_over_units
from tests.helpers.records import make_result

ROWS = 120
PAIR = {"texts": {"test": ["a", "b"]}}
GRID = {"parameter": "alpha", "value": 0.1, "grid": [{"value": 0.1, "loss": 0.4, "converged": True}]}


def make_record(dataset: str, pooling: str, *, loss: float | None = 0.4, constant: float | None = 0.69, signal=1.0,
                classes: int = 2, first: int = 0, fold=None, pairs: bool = False, **changes) -> Record:  # fmt: skip
    generator = np.random.default_rng(list(f"{dataset} {pooling}".encode()))
    labels = np.arange(ROWS) % classes if classes else np.linspace(-1, 1, ROWS)
    noise = generator.standard_normal(ROWS)
    scores = ((2 * labels - 1) if classes else labels) * signal + 0.7 * noise
    chosen = {**GRID, "loss": loss, "constant_loss": constant, "constants": [[0.5, 0.5]] if classes else [[0.1]]}
    if pairs:
        changes["provenance"] = {"texts": {"test": [f"{dataset} a", f"{dataset} b"]}}
    fields = {"dataset": dataset, "pooling": pooling, "chosen": chosen, "probe": "logistic" if classes else "ridge"}
    result = make_result(**{**fields, "counts": {**make_result().counts, "classes": classes}, **changes})
    predictions = {
        "row": np.arange(first, first + ROWS, dtype=np.uint64), "label": labels,
        "fold": np.full(ROWS, -1) if fold is None else fold,
        "prediction": (scores > 0).astype(int) if classes else scores,
    }  # fmt: skip
    return Record("x", result, predictions | ({"decision": scores.astype(np.float32)} if classes else {}))


def make_tasks(names, **more) -> list[Record]:
    return [make_record(name, pooling, first=1000 * place, signal=1.0 + 0.4 * (pooling == "mean"), **more)
            for place, name in enumerate(names) for pooling in ("cls", "pooler", "mean")]  # fmt: skip


def test_the_stratum_follows_from_the_texts_and_the_read_out():
    result = make_result()
    assert stratum_of(result) == SINGLE
    pair = replace(result, provenance=PAIR)
    assert stratum_of(pair) == TOGETHER and stratum_of(replace(pair, pairing="separate")) == APART
    assert stratum_of(replace(pair, chosen={"similarity": "cosine"}, probe="cosine")) == SIMILARITY
    assert stratum_of(replace(result, probe="senteval")) is None


def test_a_task_counts_if_its_best_main_pooling_beats_the_constant():
    weak, strong = make_record("a", "cls", loss=0.68), make_record("a", "mean", loss=0.6)
    assert task_answer([weak, strong]).counts and not task_answer([weak]).counts
    # of the poolings only cls, pooler and mean decide, at the last layer alone
    assert not task_answer([weak, make_record("a", "max", loss=0.3)]).counts
    assert task_answer([make_record("a", "max", loss=0.3)]).counts
    assert not task_answer([weak, make_record("a", "mean", loss=0.3, layer=-2)]).counts
    assert task_answer([make_record("a", "cls", loss=0.9 * 0.69, constant=0.69)]).gain == pytest.approx(0.1)


def test_an_older_record_is_decided_by_its_grid_and_marked():
    old = make_record("a", "cls", loss=None, constant=None)
    found = task_answer([old])
    assert found.approximate and found.gain == pytest.approx(1 - 0.4 / np.log(2))
    with pytest.raises(UserError, match="probe=logistic"):
        task_answer([make_record("a", "cls", probe="senteval")])


def test_the_constant_is_that_of_the_fitted_rows():
    record = make_record("a", "cls")
    chosen = {**record.result.chosen, "constants": [[0.8, 0.2]]}
    assert record_constant(replace(record, result=replace(record.result, chosen=chosen)))[:2] == pytest.approx(
        -np.log([0.8, 0.2])
    )
    folded = make_record("a", "cls", fold=np.arange(ROWS) % 3)
    outside = folded.predictions["label"][np.arange(ROWS) % 3 != 0]
    assert record_constant(folded)[0] == pytest.approx(-np.log(np.mean(outside == 0)))
    scores = make_record("a", "cls", classes=0)
    assert record_constant(scores) == pytest.approx((scores.predictions["label"] - 0.1) ** 2)
    assert record_losses(make_record("a", "cls", probe="senteval")) is None


def test_claims_are_the_means_over_units_of_the_tasks_that_count():
    names = ("sst2", "mr", "cr", "mpqa", "trec", "subj")
    records = [*make_tasks(names), *make_tasks(["cola"], loss=0.69)]
    records += make_tasks(["mrpc"], pairs=True)
    strata = {each.stratum: each for each in group_tasks(records)}
    assert set(strata) == {SINGLE, TOGETHER} and set(strata[SINGLE].tasks) == set(names)
    assert set(strata[SINGLE].failed) == {"cola"} and strata[SINGLE].failed["cola"].gain == 0
    claim, _ = strata[SINGLE].claims([("mean", "cls"), ("pooler", "cls")])
    runs = strata[SINGLE].tasks
    by_hand = mean_over_units(
        [replace(row_contrast(runs[name], "mean", "cls"), unit=unit_of(runs[name]["cls"].result)) for name in names]
    )
    assert claim.value == by_hand.value and claim.units == ("reviews", "cr", "mpqa", "trec") and not claim.is_general
    assert claim.verdict == "better" and claim.p == min(1, 2 * by_hand.p) and "on these 6 tasks" in claim.scope
    assert strata[TOGETHER].claims([("mean", "cls")])[0].tasks == ("mrpc",)
    assert strata[TOGETHER].claims([("max", "cls")]) == []


def test_regression_tasks_can_be_left_out():
    records = [*make_tasks(["sick_e"], pairs=True)]
    records += make_tasks(["stsb"], pairs=True, classes=0, constant=3.0)
    (stratum,) = group_tasks(records)
    both, one = (stratum.claims([("mean", "cls")], regression=kept)[0] for kept in (True, False))
    assert both.tasks == ("sick_e", "stsb") and one.tasks == ("sick_e",)


def test_every_similarity_task_counts():
    more = {"chosen": {"similarity": "cosine"}, "pairs": True, "classes": 0}
    records = make_tasks(["sts12", "sick_sts"], **more)
    records = [replace(each, result=replace(each.result, probe="cosine")) for each in records]
    (stratum,) = group_tasks(records)
    (claim,) = stratum.claims([("mean", "cls")])
    assert stratum.stratum == SIMILARITY and claim.units == ("sts", "sick") and not stratum.failed


def test_tasks_that_share_texts_or_name_one_unit_are_one_unit():
    def run(dataset, *texts, **source):
        data = {"from": "folder", **source}
        return make_result(dataset=dataset, provenance={"data": data, "texts": {"train": [texts[0]], "test": [*texts]}})

    assert task_units([run("mr", "1"), run("sst2", "2"), run("own", "3")]) == ["reviews", "reviews", "own"]
    # labels of the same texts, a unit of the user's own, and a task that joins two others
    assert task_units([run("toxic", "1"), run("insult", "1"), run("other", "2")]) == ["toxic", "toxic", "other"]
    assert task_units([run("a", "1", unit="news"), run("b", "2", unit="news")]) == ["news", "news"]
    assert task_units([run("a", "1"), run("b", "2"), run("c", "1", "2")]) == ["a", "a", "a"]
    assert task_units([run("a", "1"), run("mr", "1"), run("b", "2")]) == ["reviews", "reviews", "b"]
    # one file, or one dataset of the hub, whose test rows are cut anew for each label
    files = {"from": "files", "files": {"train/toxic.csv": "f0"}}
    assert task_units([run("a", "1", **files), run("b", "2", **files), run("c", "3")]) == ["a", "a", "c"]
    labels = {"dataset": {"label": "one"}}
    hub = [
        replace(run(task, task, **{"from": "hub", "path": "x", "name": name}), config=labels)
        for task, name in (("a", "first"), ("b", "first"), ("c", "second"))
    ]
    assert task_units(hub) == ["a", "a", "c"]
    # the name of a unit is no reason to join it
    assert len(set(task_units([run("mr", "1"), run("reviews", "2")]))) == 2


def test_a_claim_counts_labels_of_the_same_texts_once():
    names = ("a", "b", "c", "d", "e")
    apart = group_tasks(make_tasks(names))[0].claims([("mean", "cls")])[0]
    texts = {"texts": {"test": ["same"]}}
    records = [*make_tasks(names[:3]), *make_tasks(names[3:], provenance=texts)]
    shared = group_tasks(records)[0].claims([("mean", "cls")])[0]
    assert apart.is_general and len(apart.units) == 5
    assert not shared.is_general and shared.units == ("a", "b", "c", "d") and shared.tasks == names


def test_what_cannot_be_compared_is_refused():
    records = make_tasks(["cr"])
    with pytest.raises(UserError, match="cr: two runs"):
        group_tasks([*records, make_record("cr", "cls", seed=1)])
    bare = Record("x", records[0].result, {k: v for k, v in records[0].predictions.items() if k != "decision"})
    with pytest.raises(UserError, match="record of cls"):
        row_contrast({"cls": bare, "mean": records[2]}, "mean", "cls")
    with pytest.raises(UserError, match="different rows"):
        row_contrast({"cls": make_record("cr", "cls", first=5), "mean": records[2]}, "mean", "cls")


def test_pairs_that_share_a_text_are_less_sure_in_a_contrast_and_in_a_claim():
    def with_texts(record: Record, texts) -> Record:
        return replace(record, predictions={**record.predictions, "texts": np.asarray(texts, dtype=np.uint64)})

    found = make_tasks(["stsb", "rte"], classes=2, pairs=True)
    alone = np.arange(2 * ROWS).reshape(2, ROWS).T
    often = np.column_stack([np.arange(ROWS), np.full(ROWS, 500) + np.arange(ROWS) // 30])
    order = np.argsort(row_contrast({each.result.pooling: each for each in found[:3]}, "mean", "cls").influence)
    sharing = np.empty_like(often)
    sharing[order] = often  # the rows of one text move the contrast alike
    claims = {}
    for name, texts in (("alone", alone), ("sharing", sharing)):
        own = [with_texts(each, texts + 10_000 * (each.result.dataset == "rte")) for each in found]
        (stratum,) = group_tasks(own, answer=lambda runs: Answer(True))
        claims[name] = stratum.claims([("mean", "cls")])[0]
        contrast = row_contrast(stratum.tasks["stsb"], "mean", "cls")
        assert contrast.clusters.shape == (ROWS, 2)
    plain = group_tasks(found, answer=lambda runs: Answer(True))[0].claims([("mean", "cls")])[0]
    assert claims["alone"].value == claims["sharing"].value == plain.value
    assert claims["alone"].error == pytest.approx(plain.error)
    assert claims["sharing"].error > 1.5 * plain.error
    (whole,) = group_tasks([with_texts(each, alone) for each in found], answer=lambda runs: Answer(True))
    (part,) = group_tasks([*map(lambda each: with_texts(each, alone), found[:1]), *found[1:]],
                          answer=lambda runs: Answer(True))  # fmt: skip
    assert whole.without_texts == () and part.without_texts == ("rte",)

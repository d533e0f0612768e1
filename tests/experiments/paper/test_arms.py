"""Tests of the contrasts between pre-training arms and of the conditions that were fixed beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from experiments.bundles import Record
from experiments.paper.arms import QUANTITIES, PoolerStudy, Study, studies
from experiments.paper.claims.arms import claims, next_sentences
from experiments.paper.continued import conditions
from experiments.paper.evidence import Evidence
from experiments.paper.figures.registry import FIGURES, drawable
from experiments.paper.tables.arms import arms
from experiments.strata import SINGLE
from experiments.studies.pooler_arms import ARMS as POOLER_ARMS
from src.errors import UserError
from tests.helpers.records import make_result

ARMS = ("mlm", "nsp_other_document", "nsp_same_document")
TASKS = ("mr", "subj", "cr", "mpqa", "trec", "cola")  # mr and subj are one unit; cola does not count
SEEDS, ROWS = 3, 90
LABELS = np.arange(ROWS) % 2


def make_record(label: str, dataset: str, pooling: str, **changes: Any) -> Record:
    generator = np.random.default_rng(list(f"{label} {dataset} {pooling}".encode()))
    decision = (2 * LABELS - 1) + generator.standard_normal(ROWS)
    chosen = {"loss": 0.69 if dataset == "cola" else 0.4, "constant_loss": 0.693, "constants": [[0.4, 0.6]]}
    accuracy = {"value": float(np.mean((decision > 0) == LABELS))}
    result = make_result(
        model=label, dataset=dataset, pooling=pooling, chosen=chosen, metrics={"accuracy": accuracy}, **changes
    )
    predictions = {
        "row": np.arange(ROWS, dtype=np.uint64), "label": LABELS, "fold": np.full(ROWS, -1),
        "prediction": (decision > 0).astype(int), "decision": decision,
    }  # fmt: skip
    return Record("arms", result, predictions)


def similarity(label: str, dataset: str, pooling: str) -> Record:
    record = make_record(label, dataset, pooling, probe="cosine", value=0.6, config={"probe": {"features": "none"}})
    return replace(record, result=replace(record.result, chosen={"similarity": "cosine"}))


def write_facts(folder: Path, study: str, facts: dict[str, Any], planned: int | None = None) -> None:
    path = folder / "arms" / study / "arms.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"study": study, "planned": planned or len(facts), "arms": facts}))


def describe(arm: str, seed: int, accuracy: float | None, **more: Any) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "steps": 3000, "tokens": 12_288_000, "nsp_accuracy": accuracy,
            "mlm_accuracy": 0.3, "weights": "ab", **more}  # fmt: skip


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """The records of study=nsp: three seeds of all arms, and a fourth of one arm alone."""
    labels = [(arm, seed) for seed in range(SEEDS) for arm in ARMS] + [("mlm", SEEDS)]
    accuracy = {"mlm": None, "nsp_other_document": 0.7, "nsp_same_document": 0.6}
    write_facts(tmp_path, "nsp", {f"{arm}-{seed}": describe(arm, seed, accuracy[arm]) for arm, seed in labels})
    records = [
        make_record(f"{arm}-{seed}", task, pooling)
        for arm, seed in labels
        for task in TASKS
        for pooling in ("cls", "pooler", "mean")
    ]
    return Evidence({"arms/nsp": records}, tmp_path)


def test_there_is_nothing_before_the_records_exist(tmp_path: Path) -> None:
    empty = Evidence({}, tmp_path)
    assert arms(empty) == [] and claims(empty) == [] and studies(empty) == []


def share_by_hand(record: Record) -> float:
    """Return D² of a record from its decision values alone."""
    decision = record.predictions["decision"]
    losses = np.logaddexp(0, np.where(LABELS == 1, -decision, decision))
    return float(1 + losses.sum() / np.log(np.where(LABELS == 1, 0.6, 0.4)).sum())


def by_hand(evidence: Evidence, a: str, b: str, weights: dict[str, float]) -> tuple[float, float, float, float]:
    """Return value, error and 95 % interval of a contrast, from the decision values alone."""
    values = np.zeros((SEEDS, 4))
    units = (("mr", "subj"), ("cr",), ("mpqa",), ("trec",))
    for seed in range(SEEDS):
        for place, tasks in enumerate(units):
            for task in tasks:
                for pooling, weight in weights.items():
                    for sign, arm in ((1, a), (-1, b)):
                        (share,) = (
                            share_by_hand(record)
                            for record in evidence["arms/nsp"]
                            if (record.result.model, record.result.dataset, record.result.pooling)
                            == (f"{arm}-{seed}", task, pooling)
                        )
                        values[seed, place] += sign * weight * share / len(tasks)
    of_seeds, of_units = values.mean(axis=1), values.mean(axis=0)
    squared = sum(((each - each.mean()) ** 2).sum() / (len(each) - 1) / len(each) for each in (of_seeds, of_units))
    half = squared**0.5 * student.ppf(0.975, min(SEEDS, 4) - 1)
    return values.mean(), squared**0.5, values.mean() - half, values.mean() + half


def test_a_contrast_between_arms_equals_one_by_hand(evidence: Evidence) -> None:
    (study,) = studies(evidence)
    found = {(" − ".join(each.quantity.arms), each.quantity.name): each for each in study.contrasts(SINGLE)}
    assert study.seeds == (0, 1, 2) and len(found) == 3 * len(QUANTITIES)
    for (a, b), quantity in (
        (("nsp_other_document", "mlm"), "pooler"),
        (("nsp_other_document", "mlm"), "pooler − cls"),
        (("nsp_same_document", "nsp_other_document"), "mean"),
    ):
        each = found[f"{a} − {b}", quantity]
        value, error, low, high = by_hand(evidence, a, b, QUANTITIES[quantity])
        assert each.difference.value == pytest.approx(value, abs=1e-9)
        assert (each.difference.low, each.difference.high) == pytest.approx((low, high), abs=1e-9)
        assert each.difference.p == pytest.approx(2 * student.sf(abs(value) / error, 2), abs=1e-9)
        assert each.freedom == 2 and each.units == ("reviews", "cr", "mpqa", "trec") and "cola" not in each.tasks
    family = [found["nsp_other_document − mlm", name] for name in QUANTITIES]
    smallest = min(each.difference.p or 0.0 for each in family)
    assert min(each.p or 0.0 for each in family) == pytest.approx(min(1, 5 * smallest))


def test_a_task_counts_if_it_does_for_most_seeds_of_one_arm(evidence: Evidence) -> None:
    def with_losses(decoding: Callable[[str], bool]) -> list[str]:
        changed = []
        for each in evidence["arms/nsp"]:
            if each.result.dataset == "cola":
                chosen = {**each.result.chosen, "loss": 0.4 if decoding(each.result.model) else 0.69}
                each = replace(each, result=replace(each.result, chosen=chosen))
            changed.append(each)
        return Study(Evidence({"arms/nsp": changed}, evidence.files), "nsp").tasks(SINGLE)

    assert "cola" in with_losses(lambda label: label in ("mlm-0", "mlm-1"))
    assert "cola" not in with_losses(lambda label: label in ("mlm-0", "nsp_same_document-1"))


def test_the_tables_say_what_was_learnt_and_what_is_untrained(evidence: Evidence) -> None:
    tables = {table.name: table for table in arms(evidence)}
    assert set(tables) == {"arms", "arms-checks", "arms-levels"}
    checked = {(row["arm"], row["seed"]): (row["learnt"], row["pooler"]) for row in tables["arms-checks"].rows}
    assert checked["mlm", 0] == (None, "untrained") and checked["nsp_other_document", 0] == (True, "trained")
    assert checked["nsp_same_document", 0] == (False, "trained")  # 60 % is not above 60 %
    assert all(table.markdown() and table.latex() and table.csv() for table in tables.values())
    levels = {row["arm"]: row for row in tables["arms-levels"].rows}
    assert set(levels) == set(ARMS)
    value, *_ = by_hand(evidence, "nsp_other_document", "mlm", {"pooler": 1.0})
    assert levels["nsp_other_document"]["pooler"] - levels["mlm"]["pooler"] == pytest.approx(value, abs=1e-12)
    (claim,) = claims(evidence)
    assert len(claim.numbers) == 3 * len(QUANTITIES) and "tables/arms" in claim.see
    assert any("mlm (untrained)" in number.what for number in claim.numbers)
    assert "nsp_same_document" in claim.text


def test_the_page_says_what_next_sentences_do_once_all_trainings_are_there(tmp_path: Path, evidence: Evidence) -> None:
    said = next_sentences(evidence)
    for pooling in ("cls", "mean"):
        value, _, low, high = by_hand(evidence, "nsp_other_document", "mlm", {pooling: 1.0})
        shown = [f"{100 * each:+.1f}".replace("-", "−") for each in (value, low, high)]
        assert f"{shown[0]} [{shown[1]}, {shown[2]}] for {SINGLE}" in said
    assert "All are inconclusive" in said and "3 of 3 learnt it" in said
    (claim,) = [each for each in claims(evidence) if each.numbers]
    assert "another document, 3 of 3 (70.0 to" in claim.text and "same document, 0 of 3 (60.0 to" in claim.text
    write_facts(tmp_path / "some", "nsp", evidence.json("arms/nsp/arms.json")["arms"], planned=15)
    assert not next_sentences(Evidence(evidence.data, tmp_path / "some"))
    assert not next_sentences(Evidence({}, tmp_path / "none"))


def test_there_are_no_contrasts_before_all_planned_trainings_are_there(tmp_path: Path, evidence: Evidence) -> None:
    facts = evidence.json("arms/nsp/arms.json")["arms"]
    write_facts(tmp_path / "some", "nsp", facts, planned=15)
    some = Evidence(evidence.data, tmp_path / "some")
    assert [table.name for table in arms(some)] == ["arms-checks", "arms-levels"]
    (claim,) = claims(some)
    assert not claim.numbers and "10 trainings of 15 planned" in claim.text and "when all planned" in claim.text
    assert FIGURES["arms"].has_content(evidence, evidence.files) and not FIGURES["arms"].has_content(some, some.files)
    assert "arms" in drawable(evidence, evidence.files) and "arms" not in drawable(some, some.files)


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_a_training_that_lacks_a_run_of_the_others_is_an_error(evidence: Evidence, pooling: str | None) -> None:
    kept = [
        each
        for each in evidence["arms/nsp"]
        if (each.result.model, each.result.dataset) != ("mlm-1", "trec") or pooling not in (None, each.result.pooling)
    ]
    with pytest.raises(UserError, match=r"mlm-1.*trec"):
        Study(Evidence({"arms/nsp": kept}, evidence.files), "nsp").contrasts(SINGLE)


def test_one_seed_has_no_contrasts(tmp_path: Path, evidence: Evidence) -> None:
    kept = {"arms/nsp": [record for record in evidence["arms/nsp"] if record.result.model.endswith("-0")]}
    write_facts(tmp_path / "one", "nsp", {f"{arm}-0": describe(arm, 0, 0.7) for arm in ARMS})
    one = Evidence(kept, tmp_path / "one")
    assert [table.name for table in arms(one)] == ["arms-checks", "arms-levels"] and not claims(one)[0].numbers


def test_conditions_are_held_or_failed(tmp_path: Path) -> None:
    heads = {"books": {"nsp_accuracy": 0.71, "rows": 400}, "other_text": {"nsp_accuracy": 0.52, "rows": 400}}
    facts = {"mlm-0": describe("mlm", 0, None), "nsp_other_document-0": describe("nsp_other_document", 0, 0.7, **heads)}
    write_facts(tmp_path, "continued", facts)

    def runs(label: str, accuracy: float) -> list[Record]:
        probed = [make_record(label, task, "mean", value=accuracy) for task in ("sst2", "mr", "cr", "mpqa")]
        for each in probed:
            each.result.metrics["accuracy"]["value"] = accuracy
        return [*probed, *(similarity(label, "sts12", pooling) for pooling in ("cls", "pooler", "mean"))]

    bundles = {
        "poolings/all-MiniLM-L6-v2": runs("a", 0.80), "similarity/all-MiniLM-L6-v2": runs("a", 0.80),
        "arms/continued": [*runs("mlm-0", 0.77), *runs("nsp_other_document-0", 0.769)],
    }  # fmt: skip
    evidence = Evidence(bundles, tmp_path)
    (study,) = studies(evidence)
    found = conditions(evidence, study)
    held = {(each.label, each.what): each.held for each in found}
    assert len(found) == 4 + 4 + 2
    assert [held["nsp_other_document-0", f"next sentences, {text}"] for text in ("held-out books", "other text")] == [
        True, False,  # 208 of 400 is not above chance
    ]  # fmt: skip
    assert all(value for (label, _), value in held.items() if label == "mlm-0")  # 3.0 points below
    assert not any(held["nsp_other_document-0", each.what] for each in found if "mean on" in each.what)  # 3.1
    without = Evidence({"arms/continued": bundles["arms/continued"]}, tmp_path)
    assert sum(each.held is None for each in conditions(without, studies(without)[0])) == 8
    tables = {table.name: table for table in arms(evidence)}
    assert set(tables) == {"arms-checks", "arms-levels", "arms-conditions", "arms-similarity"}
    assert {row["held"] for row in tables["arms-conditions"].rows} == {True, False}
    levels = {(row["arm"], row["stratum"]): row for row in tables["arms-levels"].rows}
    before = levels["all-MiniLM-L6-v2, original", SINGLE]
    shares = {each.result.dataset: share_by_hand(each) for each in runs("a", 0.80) if each.result.probe == "logistic"}
    units = [np.mean([shares["sst2"], shares["mr"]]), shares["cr"], shares["mpqa"]]
    assert before["mean"] == pytest.approx(np.mean(units), abs=1e-9) and "cls" not in before
    lines = {(row["training"], row["pooling"]): row["sts12"] for row in tables["arms-similarity"].rows}
    assert len(lines) == 9 and set(lines.values()) == {0.6}


def test_poolers_that_were_trained_alone_are_paired_by_seed(tmp_path: Path) -> None:
    records = [
        make_record(f"{arm}-{seed}", task, pooling)
        for seed in range(SEEDS)
        for arm in POOLER_ARMS
        for task in TASKS
        for pooling in ("cls", "pooler")
    ]
    heads = {str(seed): {"held_out_accuracy": {"head of nsp": {"value": 0.59 + seed / 100}}} for seed in range(SEEDS)}
    (tmp_path / "nsp_pooler").mkdir()
    (tmp_path / "nsp_pooler" / "any.json").write_text(json.dumps({"seeds": heads}))
    evidence = Evidence({"nsp_pooler/any": records}, tmp_path)
    study = PoolerStudy(evidence, "any")
    assert study.learnt == [2]  # 60 % is not above 60 %
    trained, within, _ = study.contrasts(SINGLE)
    as_arms = Evidence({"arms/nsp": records}, tmp_path)
    value, _, low, high = by_hand(as_arms, "nsp", "random", {"pooler": 1.0})
    assert trained.difference.value == pytest.approx(value, abs=1e-9)
    assert (trained.difference.low, trained.difference.high) == pytest.approx((low, high), abs=1e-9)
    found = {(each.result.model, each.result.dataset, each.result.pooling): share_by_hand(each) for each in records}
    units = [
        [
            np.mean([found[f"nsp-{seed}", task, "pooler"] - found[f"nsp-{seed}", task, "cls"] for task in unit])
            for unit in (("mr", "subj"), ("cr",), ("mpqa",), ("trec",))
        ]
        for seed in range(SEEDS)
    ]
    assert within.difference.value == pytest.approx(np.mean(units), abs=1e-9)
    assert within.freedom == 2

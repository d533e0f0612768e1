"""Verdicts and claims state what the paired tests show."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.report.html import to_html
from experiments.report.introduction import describe_pooler
from experiments.report.markdown import to_markdown
from experiments.report.reading import read_sweeps
from experiments.report.sections import build_sections
from experiments.report.verdicts import judge
from src.results.result import RECORD
from src.sweeps.jobs import find_jobs
from src.sweeps.status import write_status
from tests.experiments.report.conftest import MANY, TRUTH, composed, missed, sentences, sweep
from tests.helpers.records import make_job, make_predictions, make_result


def test_the_sentence_names_the_best_pooling_its_gain_and_the_others(question: Path) -> None:
    (sentence,) = sentences(question)
    assert re.fullmatch(
        r"Use mean: \+5\.0 \[4\.\d, 5\.\d\] over cls, \+5\.0 \[4\.\d, 5\.\d\] over pooler; "
        r"between cls and pooler no relevant difference, within 1 point\.",
        sentence,
    )


def test_the_numbers_equal_those_of_the_paired_tests(question: Path) -> None:
    (section,) = build_sections(read_sweeps(question)[0])
    contrast = section.contrasts["mean", "cls"]
    table = next(part.runs for part in composed(question).parts)
    row = next(row for row in table.rows if row[0].text == "cls")
    assert (
        row[2].value == -contrast.difference.value
        and row[3].value == contrast.p_holm
        and row[6].value == contrast.agreement
    )
    assert [row[5].text for row in table.rows[:3]] == ["best", "worse", "worse"]
    assert row[8].text == "32"  # bytes: eight numbers of four


def test_an_inconclusive_verdict_names_the_smallest_difference(tmp_path: Path) -> None:
    sweep(tmp_path, {"cls": missed(900), "pooler": missed(880, start=300)})
    verdict = composed(tmp_path).parts[0].verdict
    assert verdict.use == "cls" and verdict.sentence == "Use cls, inconclusive against pooler."
    assert "pooler scores best, +0.5" in verdict.more[0] and "needs no pooler's weights" in verdict.more[0]
    assert re.search(
        r"4,000 rows would show a true difference of \d\.\d points.*equivalence within \d\.\d points", verdict.more[1]
    )


def test_too_few_groups_are_said_to_allow_no_test(tmp_path: Path) -> None:
    for number, (pooling, predictions) in enumerate({"cls": missed(900), "mean": missed(300)}.items()):
        result = make_result(pooling=pooling, value=float(np.mean(predictions == TRUTH)))
        arrays = make_predictions(TRUTH, predictions) | {"group": np.arange(MANY) % 3}
        result.write(tmp_path / str(number), arrays, {"weight": np.zeros((1, 8))})
        write_status(tmp_path / str(number), "done")
    (sentence,) = sentences(tmp_path)
    assert "not testable against" in sentence and "inconclusive" not in sentence


def test_the_sentence_names_a_better_bag_of_words(question: Path) -> None:
    for path in question.glob(f"*/{RECORD}"):
        path.write_text(
            path.read_text().replace('"high": 0.8,', '"high": 0.95,').replace('"value": 0.7\n', '"value": 0.9\n')
        )
    assert sentences(question)[0].startswith(
        "A bag of word pieces scores better than every pooling (90.0 against 80.0); of the poolings, use mean: +5.0"
    )


def test_the_sentence_names_a_constant_that_is_as_good(tmp_path: Path) -> None:
    sweep(tmp_path, {"cls": missed(1990), "mean": missed(1970)}, baseline={"constant": 0.5})
    assert sentences(tmp_path)[0].startswith(
        "No pooling is shown to beat one constant answer (50.0); of the poolings, use"
    )


def test_a_single_pooling_is_not_compared(tmp_path: Path) -> None:
    sweep(tmp_path, {"mean": missed(800)})
    made = composed(tmp_path)
    assert "nothing to compare it with" in made.parts[0].verdict.sentence and made.parts[0].pairs is None
    assert "No claim over tasks is made: it takes 2 tasks that count, and 1 counts here." in to_markdown(made)


def test_a_single_pooling_that_beats_nothing_is_said_to(tmp_path: Path) -> None:
    sweep(tmp_path, {"mean": missed(1990)}, baseline={"constant": 0.5})
    (sentence,) = sentences(tmp_path)
    assert sentence.startswith("No pooling is shown to beat one constant answer (50.0); of the poolings, only mean")


def test_an_error_metric_is_better_when_lower(tmp_path: Path) -> None:
    truth = np.linspace(0, 5, 600)
    noise = np.random.default_rng(0).normal(size=600)
    for number, (pooling, size) in enumerate({"cls": 1.0, "mean": 0.5}.items()):
        score = {"metric": "rmse", "value": size, "low": 0.9 * size, "high": 1.1 * size}
        counts = make_result().counts | {"classes": None}
        make_job(
            tmp_path / str(number),
            truth,
            truth + size * noise,
            pooling=pooling,
            score=score,
            counts=counts,
            baseline={"constant": 1.4},
        )
    part = composed(tmp_path).parts[0]
    assert re.match(r"Use mean: -0\.\d+ \[-0\.\d+, -0\.\d+\] against cls\.", part.verdict.sentence)
    assert part.section.margin == pytest.approx(0.01 * truth.std())
    assert "lower is better" in part.runs.caption and [row[0].text for row in part.runs.rows][:2] == ["mean", "cls"]


def test_runs_with_draws_are_compared(tmp_path: Path) -> None:
    for number, (pooling, count) in enumerate({"cls": 1000, "mean": 800}.items()):
        result = make_result(pooling=pooling, draws=3, value=1 - count / MANY)
        predictions = np.stack([missed(count + draw, start=draw) for draw in range(3)])
        result.write(tmp_path / str(number), make_predictions(TRUTH, predictions), {"weight": np.zeros((1, 8))})
    assert sentences(tmp_path)[0].startswith("Use mean: +5.0")


def test_an_undefined_score_comes_last_with_its_reason(question: Path) -> None:
    score = {"metric": "accuracy", "value": None, "low": None, "high": None, "reason": "one class was predicted"}
    sweep(question, {"max": missed(2000)}, score=score)
    part = composed(question).parts[0]
    assert part.section.runs[-1].name == "max" and part.verdict.use == "mean"
    assert "max: undefined: one class was predicted." in part.notes


def test_one_vector_for_all_texts_is_not_recommended(question: Path) -> None:
    sweep(question, {"max": missed(1)}, counts={**make_result().counts, "one_vector": 300})
    part = composed(question).parts[0]
    assert part.section.runs[-1].name == "max" and part.verdict.use == "mean" and "max" not in part.verdict.sentence
    assert any(note.startswith("max: all texts have one and the same vector") for note in part.notes)


def test_sections_are_labelled_by_what_differs(question: Path) -> None:
    sweep(question, {"cls": missed(900), "mean": missed(500)}, layer=2)
    sweep(question, {"cls": missed(900), "mean": missed(500)}, model="other")
    made = composed(question)
    assert [part.title for part in made.parts] == ["tiny, model=checkpoint", "tiny, model=other, layer=-1"]
    assert any("the groups differ in model, layer" in line for line in made.head)


def test_data_and_checkpoints_of_equal_name_are_separate_sections(tmp_path: Path) -> None:
    for place, name in enumerate(("a.csv", "b.csv", "c.csv")):
        provenance = {
            "texts": {"test": [name]},
            "data": {"files": {f"test/{name}": "digest"}},
            "model": {"weights": place // 2},
        }
        for pooling, misses in {"cls": 900, "mean": 700}.items():
            sweep(tmp_path, {pooling: missed(misses)}, dataset="files", provenance=provenance, key=name + pooling)
    made = composed(tmp_path)
    assert len(made.parts) == 3 and all(len(part.section.runs) == 2 for part in made.parts)
    assert [re.sub("[0-9a-f]{6}", "#", part.section.title) for part in made.parts] == [
        f"files ({name}.csv, #), model=checkpoint (#)" for name in "abc"
    ]
    assert sorted(len(setting.tasks) for setting, *_ in made.across) == [1, 2]


def test_two_columns_of_labels_are_two_tasks_of_one_unit(tmp_path: Path) -> None:
    chosen = {**make_result().chosen, "loss": 0.5, "constant_loss": 0.69, "constants": [[0.5, 0.5]]}
    texts = {"texts": {"test": ["the same"]}}
    for label, loss in (("tone", 0.5), ("length", 0.68)):
        with_decisions(
            tmp_path, "files", {"cls": 0.6, "mean": 1.2}, chosen={**chosen, "loss": loss}, provenance=texts,
            config={**make_result().config, "dataset": {"label": label}},
        )  # fmt: skip
    made = composed(tmp_path)
    assert len(made.parts) == 2
    ((setting, *_),) = made.across
    assert setting.tasks == ("files, dataset.label=tone",) and set(setting.failed) == {"files, dataset.label=length"}
    with_decisions(
        tmp_path, "files", {"cls": 0.6, "mean": 1.2}, chosen=chosen, provenance=texts,
        config={**make_result().config, "dataset": {"label": "humour"}},
    )  # fmt: skip
    ((setting, *_),) = composed(tmp_path).across
    (claim,) = setting.claims
    assert len(setting.tasks) == 2 and len(claim.units) == 1 and claim.verdict == "better"


def test_a_run_that_two_tasks_share_stands_in_both(question: Path) -> None:
    shutil.copytree(question / "0", question / "9")
    record = question / "9" / RECORD
    record.write_text(record.read_text().replace('"dataset": "tiny"', '"dataset": "other"'))
    found = {part.title: [run.name for run in part.section.runs] for part in composed(question).parts}
    assert found == {"tiny": ["mean", "cls", "pooler"], "other": ["cls"]}


def test_two_runs_of_one_pooling_have_distinct_names(question: Path) -> None:
    make_job(question / "9", TRUTH, missed(700), pooling="mean", key="f" * 64)
    names = {run.name for part in composed(question).parts for run in part.section.runs}
    assert "mean (ffffff)" in names and "mean" not in names


def with_decisions(
    folder: Path, dataset: str, strength: dict[str, float], groups: np.ndarray | None = None, **changes: Any
) -> None:
    """Add the runs of a task whose decision values point to the right class, as strongly as is said."""
    for pooling, size in strength.items():
        noise = np.random.default_rng(list(f"{dataset} {pooling}".encode())).standard_normal(MANY)
        decisions = (size * (2 * TRUTH - 1) + noise).astype(np.float32)
        predictions = (decisions > 0).astype(int)
        number = len(find_jobs(folder)) if folder.is_dir() else 0
        result = make_result(dataset=dataset, pooling=pooling, value=float(np.mean(predictions == TRUTH)), **changes)
        arrays = make_predictions(TRUTH, predictions) | {"decision": decisions}
        arrays |= {} if groups is None else {"group": groups}
        result.write(folder / str(number), arrays, {"weight": np.zeros((1, 8))})
        write_status(folder / str(number), "done")


def test_a_claim_whose_rows_are_worth_too_few_has_no_interval(tmp_path: Path) -> None:
    chosen = {**make_result().chosen, "loss": 0.5, "constant_loss": 0.69, "constants": [[0.5, 0.5]]}
    with_decisions(tmp_path, "task 0", {"cls": 0.6, "mean": 1.2}, chosen=chosen)
    groups = (np.arange(MANY) < MANY // 10).astype(np.int64)  # one group is nearly all rows
    with_decisions(tmp_path, "task 1", {"cls": 0.6, "mean": 1.2}, groups=groups, chosen=chosen)
    made = composed(tmp_path)
    ((setting, _, table),) = made.across
    assert table is not None and setting.claims[0].difference.low is None
    assert setting.claims[0].verdict == "inconclusive"
    for page in (to_html(made), to_markdown(made)):
        assert "mean − cls" in page


def test_a_task_that_is_solved_counts(tmp_path: Path) -> None:
    chosen = {**make_result().chosen, "loss": 0.0, "constant_loss": 0.69, "constants": [[0.5, 0.5]]}
    for task in range(2):
        with_decisions(tmp_path, f"task {task}", {"cls": 5.0, "mean": 6.0}, chosen=chosen)
    ((setting, *_),) = composed(tmp_path).across
    assert setting.tasks == ("task 0", "task 1")


def test_claims_over_tasks_are_made_on_the_tasks_that_can_answer(tmp_path: Path) -> None:
    strength = {"cls": 0.6, "pooler": 0.6, "mean": 1.2}
    chosen = {**make_result().chosen, "loss": 0.5, "constant_loss": 0.69, "constants": [[0.5, 0.5]]}
    for task in range(2):
        with_decisions(tmp_path, f"task {task}", strength, chosen=chosen)
        assert ("No claim over tasks is made" in composed(tmp_path).across[0][1]) == (task < 1)
    with_decisions(tmp_path, "floor", strength, chosen={**chosen, "loss": 0.68})
    made = composed(tmp_path)
    ((setting, sentence, table),) = made.across
    assert setting.tasks == ("task 0", "task 1") and set(setting.failed) == {"floor"} and table is not None
    assert [(each.a, each.b) for each in setting.claims] == [("mean", "pooler"), ("mean", "cls"), ("pooler", "cls")]
    assert [each.verdict for each in setting.claims] == ["better", "better", setting.claims[2].verdict]
    assert sentence.startswith("Single texts, on these 2 tasks, in points of D²: mean − pooler +")
    assert "Left out" in sentence and "floor (1.4 %)" in sentence
    assert [row[-1].text for row in table.rows] == ["cls, pooler, mean"] * 3
    assert "within the margin of 1" in to_html(made)


def test_probes_of_several_draws_make_claims_over_tasks(tmp_path: Path) -> None:
    chosen = {**make_result().chosen, "loss": 0.5, "constant_loss": 0.69, "constants": [[0.5, 0.5]] * 3}
    for task in range(2):
        for pooling, size in {"cls": 0.6, "mean": 1.2}.items():
            noise = np.random.default_rng(list(f"{task} {pooling}".encode())).standard_normal((3, MANY))
            decisions = (size * (2 * TRUTH - 1) + noise).astype(np.float32)
            arrays = make_predictions(TRUTH, (decisions > 0).astype(int)) | {"decision": decisions}
            result = make_result(dataset=f"task {task}", pooling=pooling, draws=3, chosen=chosen)
            folder = tmp_path / f"{2 * task + (pooling == 'mean')}"
            result.write(folder, arrays, {"weight": np.zeros((1, 8))})
            write_status(folder, "done")
    ((setting, _, table),) = composed(tmp_path).across
    assert table is not None and [claim.verdict for claim in setting.claims] == ["better"]


def test_claims_are_repeated_without_the_regression_tasks(tmp_path: Path) -> None:
    chosen = {**make_result().chosen, "loss": 0.5, "constant_loss": 0.69, "constants": [[0.5, 0.5]]}
    for task in range(2):
        with_decisions(tmp_path, f"task {task}", {"cls": 0.6, "mean": 1.2}, chosen=chosen)
    assert "Without the regression tasks" not in composed(tmp_path).across[0][1]
    counts = {**make_result().counts, "classes": 0}
    scores = {**chosen, "constants": [[0.5]], "loss": 0.1, "constant_loss": 0.25}
    for place, size in enumerate((0.4, 0.2)):
        noise = size * np.random.default_rng(place).standard_normal(MANY)
        result = make_result(
            dataset="scores", pooling=("cls", "mean")[place], probe="ridge", counts=counts, chosen=scores,
            score={"metric": "pearson", "value": 0.8, "low": 0.7, "high": 0.9},
        )  # fmt: skip
        folder = tmp_path / f"{4 + place}"
        result.write(folder, make_predictions(TRUTH.astype(float), TRUTH + noise), {"weight": np.zeros((1, 8))})
        write_status(folder, "done")
    found = [each for each in composed(tmp_path).across if each[0].repeated]
    assert len(found) == 1 and set(found[0][0].tasks) == {"task 0", "task 1", "scores"}
    assert "Without the regression tasks, on these 2 tasks" in found[0][1]


def test_a_read_out_without_deviance_makes_no_claim_over_tasks(tmp_path: Path) -> None:
    for task in range(2):
        with_decisions(tmp_path, f"task {task}", {"cls": 0.6, "mean": 1.2}, probe="senteval")
    ((setting, sentence, table),) = composed(tmp_path).across
    assert not setting.claims and table is None and "no D²" in sentence


def test_an_untrained_pooler_is_labelled_and_never_recommended(tmp_path: Path) -> None:
    sweep(tmp_path, {"pooler": missed(800), "cls": missed(805, start=100)}, pooler={"status": "untrained"})
    made = composed(tmp_path)
    assert made.parts[0].verdict.use == "cls" and "random projection" in made.parts[0].verdict.more[0]
    assert any("never trained" in line for line in made.head) and any(
        "never trained" in note for note in made.parts[0].notes
    )


@pytest.mark.parametrize(
    ("evidence", "said"),
    [(None, "its fit to the encoder unknown"), (0.5625, "gets 56 % of our sentence pairs right (50 is chance)")],
)
def test_the_introduction_describes_the_pooler(evidence: float | None, said: str) -> None:
    assert said in describe_pooler({"status": "trained", "evidence": {"next_sentence_accuracy": evidence}})


def test_a_small_difference_within_the_margin_is_named(question: Path) -> None:
    (section,) = build_sections(read_sweeps(question)[0], margin=0.2)
    assert judge(section).sentence == (
        "Use mean: small difference, within 20 points, from cls and pooler; between cls and pooler no relevant "
        "difference, within 20 points."
    )


def test_a_concatenation_is_named_by_its_parts_and_marked_as_wider(tmp_path: Path) -> None:
    parts = {"probe": {"features": "standardise"}, "pooling": {"of": ["cls", "mean"]}}
    sweep(
        tmp_path,
        {"cls": missed(1000)},
        counts={"width": 8, "classes": 2, "test": MANY},
        config={**parts, "pooling": {}},
    )
    sweep(tmp_path, {"concat": missed(800)}, counts={"width": 16, "classes": 2, "test": MANY}, config=parts)
    sweep(
        tmp_path,
        {"mean": missed(900)},
        counts={"width": 8, "classes": 2, "test": MANY},
        config={**parts, "pooling": {}},
    )
    (made,) = [part for part in composed(tmp_path).parts if len(part.section.runs) > 1]
    names = {run.name for run in made.section.runs}
    assert "concat(cls,mean)" in names and any("concat(cls,mean) 16" in line for line in made.verdict.more)
    assert any("unequal widths" in cell.text for row in made.runs.rows for cell in row)

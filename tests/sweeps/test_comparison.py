"""A run is marked by its verdict against the best of its group; all pairs are tested on the same rows."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from src.evaluation.comparisons import compare
from src.evaluation.multiplicity import holm
from src.results.result import RECORD, Result, SchemaError
from src.sweeps.comparison import best_layers
from src.sweeps.rendering import render
from tests.helpers.records import LABELS, ROWS, job, make_job, make_result, wrong
from tests.sweeps.helpers import compared, marks


def test_marks_are_the_verdicts_against_the_best(four):
    groups = compared(four).groups
    assert [group.label["dataset"] for group in groups] == ["one", "two"]
    for group in groups:
        assert marks(group) == {"cls": "inconclusive", "pooler": "worse", "mean": "best", "max": "worse"}


def test_p_values_are_corrected_over_cls_pooler_and_mean_and_over_the_other_pairs(four):
    group = compared(four).groups[0]
    misses = {"cls": 42, "pooler": 90, "mean": 40, "max": 100}

    def p(one: str, other: str) -> float:
        return compare("accuracy", LABELS, wrong(misses[one]), wrong(misses[other]), classes=2, seed=0).p

    runs = {run.result.pooling: run for run in group.runs}
    first = holm([p("mean", "cls"), p("mean", "pooler"), p("cls", "pooler")])
    second = holm([p("mean", "max"), p("cls", "max"), p("pooler", "max")])
    assert [runs[name].adjusted for name in ("cls", "pooler", "max")] == [first[0], first[1], second[0]]
    assert [runs[name].family for name in ("cls", "pooler", "max")] == ["cls, pooler, mean"] * 2 + ["other pairs"]
    assert [runs[name].difference for name in ("cls", "pooler", "max")] == pytest.approx(
        [2 / ROWS, 50 / ROWS, 60 / ROWS]
    )


def test_which_rows_differ_decides_a_tie_and_not_the_distance_of_the_scores(tmp_path):
    """What decides is which rows differ, so the intervals of the scores alone would mark both wrong."""
    job(tmp_path / "apart", 0, wrong(60), pooling="cls")
    job(tmp_path / "apart", 1, wrong(80, start=200), pooling="mean")
    job(tmp_path / "close", 0, wrong(60), pooling="cls")
    job(tmp_path / "close", 1, wrong(68), pooling="mean")
    assert marks(compared(tmp_path / "apart").groups[0]) == {"cls": "best", "mean": "inconclusive"}
    assert marks(compared(tmp_path / "close").groups[0]) == {"cls": "best", "mean": "worse"}


def test_of_equal_predictions_the_first_is_best(tmp_path):
    job(tmp_path, 0, wrong(10), pooling="cls")
    job(tmp_path, 1, wrong(10), pooling="mean")
    (group,) = compared(tmp_path).groups
    assert marks(group) == {"cls": "best", "mean": "no relevant difference"}
    assert group.runs[1].adjusted == 1


def test_other_poolings_do_not_change_the_test_of_cls_and_mean(tmp_path):
    job(tmp_path, 0, wrong(40), pooling="cls")
    job(tmp_path, 1, wrong(46), pooling="mean")
    (alone,) = [run for run in compared(tmp_path).groups[0].runs if run.result.pooling == "mean"]
    for number, name in enumerate(("max", "cls_mean", "mean_content", "last4_mean"), start=2):
        job(tmp_path, number, wrong(41), pooling=name)
    (beside,) = [run for run in compared(tmp_path).groups[0].runs if run.result.pooling == "mean"]
    assert (alone.mark, alone.adjusted) == (beside.mark, beside.adjusted) and alone.mark == "worse"


def test_many_rows_show_that_no_difference_is_relevant(tmp_path):
    labels = np.arange(40_000) % 2
    for number, (pooling, misses) in enumerate({"cls": 4000, "mean": 4010, "pooler": 4200}.items()):
        predictions = labels.copy()
        predictions[:misses] = 1 - predictions[:misses]
        make_job(tmp_path / str(number), labels, predictions, pooling=pooling)
    group = compared(tmp_path).groups[0]
    assert marks(group) == {"cls": "best", "mean": "small difference", "pooler": "small difference"}
    assert all(run.equivalence <= 0.05 for run in group.runs[1:])


def test_layers_get_one_best_with_its_selection_and_no_test(tmp_path):
    for number, (layer, pooling, misses) in enumerate(
        [(1, "cls", 60), (1, "mean", 30), (2, "cls", 50), (2, "mean", 40), (3, "mean", 35)]
    ):
        job(tmp_path, number, wrong(misses), pooling=pooling, layer=layer)
    comparison = compared(tmp_path)
    (found,) = best_layers(comparison)
    assert (found.run.result.layer, found.run.result.pooling, found.scores) == (1, "mean", 5)
    text = " ".join(render(comparison).split())
    assert "best layer is 1 with mean" in text and "among 5 scores" in text
    assert best_layers(compared(tmp_path / "0")) == []


def test_an_error_is_better_when_it_is_smaller(tmp_path):
    generator = np.random.default_rng(0)
    truth = generator.normal(size=ROWS)
    noise = generator.normal(size=ROWS)
    for number, (pooling, size) in enumerate({"cls": 1.0, "mean": 0.5}.items()):
        score = {"metric": "rmse", "value": float(np.sqrt(np.mean((size * noise) ** 2))), "low": None, "high": None}
        counts = {"test": ROWS, "classes": 0}
        make_job(tmp_path / str(number), truth, truth + size * noise, pooling=pooling, score=score, counts=counts)
    comparison = compared(tmp_path)
    assert marks(comparison.groups[0]) == {"cls": "worse", "mean": "best"}
    assert f"{np.sqrt(np.mean(noise**2)):.4g}" in render(comparison)


def test_a_single_run_of_a_group_has_no_mark(tmp_path):
    job(tmp_path, 0, wrong(10))
    comparison = compared(tmp_path)
    assert marks(comparison.groups[0]) == {"mean": ""}
    text = render(comparison)
    assert "97.5" in text
    assert "*" not in text
    assert text.endswith("1 done, 0 skipped, 0 failed\n")


def test_an_untested_run_is_marked_with_the_reason(tmp_path):
    best = job(tmp_path, 0, wrong(10), pooling="cls")
    job(tmp_path, 1, wrong(11), pooling="mean")
    job(tmp_path, 2, wrong(12), pooling="max")
    job(tmp_path, 3, wrong(13), pooling="cls_mean", value=None)
    (tmp_path / "1" / "predictions.safetensors").unlink()
    make_job(tmp_path / "2", LABELS[:-1], wrong(12)[:-1], pooling="max")
    comparison = compared(tmp_path)
    assert marks(comparison.groups[0]) == {"cls": "best", "mean": "untested", "max": "untested", "cls_mean": "untested"}
    assert best.score["value"] == comparison.groups[0].runs[0].result.score["value"]
    text = " ".join(render(comparison).split())
    assert "untested: not tested" in text
    for reason in (
        "cannot read the predictions",
        "its test rows are not those of the best",
        "its score is undefined",
        "undefined | | untested",
    ):
        assert reason in text


def test_no_run_is_best_if_all_scores_are_undefined(tmp_path):
    for number, pooling in enumerate(("cls", "mean")):
        job(tmp_path, number, wrong(1), pooling=pooling, value=None)
    assert set(marks(compared(tmp_path).groups[0]).values()) == {""}


def test_data_of_one_name_and_other_texts_are_not_compared(tmp_path):
    for number, (pooling, texts) in enumerate((("cls", "a"), ("mean", "a"), ("cls", "b"), ("mean", "b"))):
        provenance = {**make_result().provenance, "texts": {"train": [texts], "test": [texts]}}
        job(tmp_path, number, wrong(10 + number), pooling=pooling, provenance=provenance, key=f"{number:064x}")
    groups = compared(tmp_path).groups
    assert len(groups) == 2 and all(len(group.runs) == 2 for group in groups)
    assert len({group.label["texts"] for group in groups}) == 2


def test_one_vector_for_all_texts_is_never_best(tmp_path):
    one_vector = {**make_result().counts, "one_vector": 300}
    for number, (pooling, misses) in enumerate({"cls": 10, "mean": 60, "max": 70}.items()):
        job(tmp_path, number, wrong(misses), pooling=pooling, **({"counts": one_vector} if pooling == "cls" else {}))
    comparison = compared(tmp_path)
    assert marks(comparison.groups[0]) == {"cls": "one vector", "mean": "best", "max": "worse"}
    assert "one vector: all texts have one and the same vector" in " ".join(render(comparison).split())


def test_the_scores_of_several_draws_need_the_predictions_of_all(tmp_path):
    for number, (pooling, misses) in enumerate({"cls": 10, "mean": 60}.items()):
        job(tmp_path / "first", number, wrong(misses), pooling=pooling, draws=3)
        stacked = np.stack([wrong(misses + draw) for draw in range(3)])
        make_job(tmp_path / "all" / str(number), LABELS, stacked, pooling=pooling, draws=3)
    assert marks(compared(tmp_path / "first").groups[0]) == {"cls": "best", "mean": "untested"}
    (group,) = compared(tmp_path / "all").groups
    assert marks(group) == {"cls": "best", "mean": "worse"}
    runs = [np.stack([wrong(misses + draw) for draw in range(3)]) for misses in (10, 60)]
    assert group.runs[1].p == compare("accuracy", LABELS, *runs, classes=2, seed=0).p


@pytest.mark.parametrize("field", ["dataset", "model", "layer", "pairing", "probe", "seed", "draws"])
def test_runs_that_differ_in_more_than_their_pooling_are_not_compared(tmp_path, field):
    job(tmp_path, 0, wrong(10), pooling="cls")
    other = {"layer": -2, "seed": 1, "draws": 2}.get(field, "other")
    job(tmp_path, 1, wrong(60), pooling="mean", **{field: other})
    comparison = compared(tmp_path)
    assert len(comparison.groups) == 2
    assert comparison.groups[1].label[field] == str(other)
    assert field not in comparison.common


def test_groups_of_equal_names_are_labelled_by_the_settings_that_differ(tmp_path):
    for number, (weights, features) in enumerate((("aa", "l2"), ("bb", "l2"), ("cc", "l2"))):
        config = {"model": {"weights": weights}, "probe": {"features": features}, "pooling": {"anything": number}}
        for place, pooling in enumerate(("cls", "mean")):
            job(tmp_path, 2 * number + place, wrong(10 + place), pooling=pooling, config=config)
    groups = compared(tmp_path).groups
    assert [group.label["model.weights"] for group in groups] == ["aa", "bb", "cc"]
    assert all("probe.features" not in group.label and len(group.runs) == 2 for group in groups)


def test_two_datasets_are_labelled_by_their_names_alone(four):
    for group in compared(four).groups:
        assert set(group.label) == {"dataset", "metric"}


def test_the_same_run_twice_is_one_row_and_two_jobs(tmp_path):
    for number in range(2):
        job(tmp_path, number, wrong(10))
    comparison = compared(tmp_path)
    assert [len(group.runs) for group in comparison.groups] == [1]
    assert comparison.count("done") == 2


def test_records_of_another_schema_are_refused(four):
    record = Result.read(four / "0")
    (four / "0" / RECORD).write_text(replace(record, schema=2).to_json())
    with pytest.raises(SchemaError, match="schema 2"):
        compared(four)


def test_the_comparison_imports_no_heavy_library():
    heavy = "{'torch', 'pandas', 'sklearn', 'wandb', 'scipy'}"
    line = f"import sys, src.sweeps.comparison, src.sweeps.export; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "[]\n"

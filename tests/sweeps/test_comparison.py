import csv
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.evaluation.comparisons import compare
from src.evaluation.multiplicity import holm
from src.pooling import poolings
from src.results.result import PREDICTIONS, RECORD, Result, SchemaError
from src.sweeps import comparison as module
from src.sweeps import sweep
from src.sweeps.comparison import compare_records, find_jobs, mark, render, tally, to_csv, to_markdown
from src.sweeps.status import FAILURE, STATUS, write_failure, write_status
from tests.helpers.records import LABELS, ROWS, job, make_four, make_job, make_result, wrong


def compared(folder: Path) -> module.Comparison:
    return compare_records(find_jobs(folder))


def marks(group: module.Group) -> dict[str, str]:
    return {run.result.pooling: run.mark for run in group.runs}


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return make_four(tmp_path)


def test_the_best_its_ties_and_the_rest_are_told_apart_by_the_paired_test(four):
    groups = compared(four).groups
    assert [group.label["dataset"] for group in groups] == ["one", "two"]
    for group in groups:
        assert marks(group) == {"cls": "tie", "pooler": "lower", "mean": "best", "max": "lower"}


def test_p_values_are_those_of_the_paired_test_and_holm(four):
    group = compared(four).groups[0]
    others = [run for run in group.runs if run.mark != "best"]
    expected = [compare("accuracy", LABELS, wrong(40), wrong(misses), classes=2, seed=0).p for misses in (42, 90, 100)]
    assert [run.p for run in others] == expected
    assert [run.adjusted for run in others] == holm(expected)
    assert [run.difference for run in others] == pytest.approx([2 / ROWS, 50 / ROWS, 60 / ROWS])


def test_scores_far_apart_tie_where_rows_disagree_and_close_ones_do_not_where_they_agree(tmp_path):
    """What decides is which rows differ, so the intervals of the scores alone would mark both wrong."""
    job(tmp_path / "apart", 0, wrong(60), pooling="cls")
    job(tmp_path / "apart", 1, wrong(80, start=200), pooling="mean")
    job(tmp_path / "close", 0, wrong(60), pooling="cls")
    job(tmp_path / "close", 1, wrong(68), pooling="mean")
    assert marks(compared(tmp_path / "apart").groups[0]) == {"cls": "best", "mean": "tie"}
    assert marks(compared(tmp_path / "close").groups[0]) == {"cls": "best", "mean": "lower"}


def test_equal_predictions_tie_and_the_first_is_best(tmp_path):
    job(tmp_path, 0, wrong(10), pooling="cls")
    job(tmp_path, 1, wrong(10), pooling="mean")
    (group,) = compared(tmp_path).groups
    assert marks(group) == {"cls": "best", "mean": "tie"}
    assert group.runs[1].adjusted == 1


def test_more_poolings_make_a_tie_likelier(tmp_path):
    """Holm: a difference that stands alone is no longer told apart among many."""
    job(tmp_path, 0, wrong(40), pooling="cls")
    job(tmp_path, 1, wrong(46), pooling="mean")
    assert marks(compared(tmp_path).groups[0])["mean"] == "lower"
    for number, name in enumerate(("max", "cls_mean", "mean_content", "last4_mean"), start=2):
        job(tmp_path, number, wrong(41), pooling=name)
    assert marks(compared(tmp_path).groups[0])["mean"] == "tie"


def test_an_error_is_better_when_it_is_smaller(tmp_path):
    generator = np.random.default_rng(0)
    truth = generator.normal(size=ROWS)
    noise = generator.normal(size=ROWS)
    for number, (pooling, size) in enumerate({"cls": 1.0, "mean": 0.5}.items()):
        score = {"metric": "rmse", "value": float(np.sqrt(np.mean((size * noise) ** 2))), "low": None, "high": None}
        counts = {"test": ROWS, "classes": 0}
        make_job(tmp_path / str(number), truth, truth + size * noise, pooling=pooling, score=score, counts=counts)
    comparison = compared(tmp_path)
    assert marks(comparison.groups[0]) == {"cls": "lower", "mean": "best"}
    assert f"{np.sqrt(np.mean(noise**2)):.4g}" in render(comparison)


def test_a_run_alone_has_nothing_to_be_compared_with(tmp_path):
    job(tmp_path, 0, wrong(10))
    comparison = compared(tmp_path)
    assert marks(comparison.groups[0]) == {"mean": ""}
    text = render(comparison)
    assert "97.5" in text
    assert "*" not in text
    assert text.endswith("1 done, 0 skipped, 0 failed\n")


def test_what_cannot_be_tested_is_marked_so_with_its_reason(tmp_path):
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
    assert "? not tested" in text
    for reason in (
        "cannot read the predictions",
        "its test rows are not those of the best",
        "its score is undefined",
        "undefined ?",
    ):
        assert reason in text


def test_where_all_scores_are_undefined_none_is_best(tmp_path):
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
    assert marks(comparison.groups[0]) == {"cls": "one vector", "mean": "best", "max": "lower"}
    assert "= all texts have one and the same vector" in " ".join(render(comparison).split())


def test_the_scores_of_several_draws_need_the_predictions_of_all(tmp_path):
    for number, (pooling, misses) in enumerate({"cls": 10, "mean": 60}.items()):
        job(tmp_path / "first", number, wrong(misses), pooling=pooling, draws=3)
        stacked = np.stack([wrong(misses + draw) for draw in range(3)])
        make_job(tmp_path / "all" / str(number), LABELS, stacked, pooling=pooling, draws=3)
    assert marks(compared(tmp_path / "first").groups[0]) == {"cls": "best", "mean": "untested"}
    (group,) = compared(tmp_path / "all").groups
    assert marks(group) == {"cls": "best", "mean": "lower"}
    p = sorted(
        compare("accuracy", LABELS, wrong(10 + draw), wrong(60 + draw), classes=2, seed=0).p for draw in range(3)
    )
    assert group.runs[1].p == pytest.approx(2 * p[1])


@pytest.mark.parametrize("field", ["dataset", "model", "layer", "pairing", "probe", "seed", "draws"])
def test_runs_that_differ_in_more_than_their_pooling_are_not_compared(tmp_path, field):
    job(tmp_path, 0, wrong(10), pooling="cls")
    other = {"layer": -2, "seed": 1, "draws": 2}.get(field, "other")
    job(tmp_path, 1, wrong(60), pooling="mean", **{field: other})
    comparison = compared(tmp_path)
    assert len(comparison.groups) == 2
    assert comparison.groups[1].label[field] == str(other)
    assert field not in comparison.common


def test_twins_are_told_apart_by_what_differs_in_the_rest_of_the_identity(tmp_path):
    for number, (weights, features) in enumerate((("aa", "l2"), ("bb", "l2"), ("cc", "l2"))):
        config = {"model": {"weights": weights}, "probe": {"features": features}, "pooling": {"anything": number}}
        for place, pooling in enumerate(("cls", "mean")):
            job(tmp_path, 2 * number + place, wrong(10 + place), pooling=pooling, config=config)
    groups = compared(tmp_path).groups
    assert [group.label["model.weights"] for group in groups] == ["aa", "bb", "cc"]
    assert all("probe.features" not in group.label and len(group.runs) == 2 for group in groups)


def test_two_datasets_are_told_apart_by_their_names_alone(four):
    for group in compared(four).groups:
        assert set(group.label) == {"dataset", "metric"}


def test_the_same_run_twice_is_one_row_and_two_jobs(tmp_path):
    for number in range(2):
        job(tmp_path, number, wrong(10))
    comparison = compared(tmp_path)
    assert [len(group.runs) for group in comparison.groups] == [1]
    assert comparison.count("done") == 2


def test_jobs_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 0, 2):
        write_failure(tmp_path / str(number), [], "x", "user")
    assert [folder.name for folder in find_jobs(tmp_path)] == ["0", "2", "9", "10"]


def test_done_skipped_and_failed_are_counted_and_failures_explained(four):
    write_status(four / "0", "skipped")
    write_failure(
        four / "8",
        ["pooling=pooler", "layer=3"],
        "pooling 'pooler' exists at the last layer only.\nUse pooling=cls.",
        "user",
    )
    (four / "9" / ".hydra").mkdir(parents=True)
    (four / "9" / ".hydra" / "overrides.yaml").write_text("- pooling=max\n- dataset=one\n")
    (four / "10").mkdir()
    (four / "10" / RECORD).write_text("{")
    lines = tally(compared(four)).splitlines()
    assert lines[0] == "7 done, 1 skipped, 3 failed"
    assert (
        lines[1]
        == f"failed: pooling=pooler layer=3: pooling 'pooler' exists at the last layer only. Use pooling=cls. ({four / '8'})"
    )
    assert lines[2].startswith("failed: pooling=max dataset=one: left no record: it was killed")
    assert "is damaged" in lines[3]
    assert len(lines) == 4


def test_a_failure_is_named_by_what_sets_it_apart(tmp_path):
    for number, pooling in enumerate(("cls", "mean", "max")):
        words = [f"pooling={pooling}", "dataset=one", "seed=3"]
        if number:
            write_failure(tmp_path / str(number), words, "no", "user")
        else:
            job(tmp_path, number, wrong(1))
            (tmp_path / "0" / ".hydra").mkdir()
            (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    assert [line.split(": ")[1] for line in tally(compared(tmp_path)).splitlines()[1:]] == [
        "pooling=mean",
        "pooling=max",
    ]


def test_a_job_done_at_the_second_try_is_no_failure(tmp_path):
    write_failure(tmp_path / "0", ["a=1"], "no space", "crash")
    assert compared(tmp_path).failed[0].error == "no space"
    job(tmp_path, 0, wrong(1))
    assert not compared(tmp_path).failed
    assert not (tmp_path / "0" / "failure.json").exists()


def test_a_job_that_failed_again_is_no_success_however_old_its_record(tmp_path):
    job(tmp_path, 0, wrong(1))
    write_failure(tmp_path / "0", ["a=1"], "no space", "crash")
    assert [job.error for job in compared(tmp_path).failed] == ["no space"]


def test_a_skipped_job_can_name_a_record_elsewhere(tmp_path):
    make_job(tmp_path / "store" / "abc", LABELS, wrong(3))
    write_status(tmp_path / "sweep" / "0", "skipped", record=tmp_path / "store" / "abc")
    assert str(tmp_path) not in (tmp_path / "sweep" / "0" / "status.json").read_text()
    comparison = compared(tmp_path / "sweep")
    assert comparison.count("skipped") == 1
    assert comparison.groups[0].runs[0].result.pooling == "mean"


def test_records_of_another_schema_are_refused(four):
    record = Result.read(four / "0")
    (four / "0" / RECORD).write_text(replace(record, schema=2).to_json())
    with pytest.raises(SchemaError, match="schema 2"):
        compared(four)


def test_poolings_stand_side_by_side_in_100_columns(four):
    text = render(compared(four))
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines if not line.startswith("failed"))
    (head,) = [line for line in lines if "pooler" in line and "max" in line]
    assert head.split()[:6] == ["dataset", "metric", "cls", "pooler", "mean", "max"]
    (row,) = [line for line in lines if line.startswith("one")]
    assert row.split() == ["one", "accuracy", "89.5", "~", "77.5", "90.0", "*", "75.0", "70.0", "50.0"]
    assert "[88.0, 92.0]" in text
    assert "miss 36 s" in text
    assert "~ not told apart" in text
    assert "* the best" in text


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Every pooling on 17 datasets, the pooler untrained."""
    folder = tmp_path_factory.mktemp("many")
    for place in range(17):
        for number, pooling in enumerate(poolings):
            record = {"pooling": pooling, "dataset": f"dataset_{place}", "pooler": {"status": "untrained"}}
            make_job(folder / str(place * len(poolings) + number), LABELS, wrong(20 + 3 * number), **record)
    return compare_records(find_jobs(folder))


def test_many_poolings_stand_one_below_the_other_in_100_columns(many):
    text = render(many)
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines)
    rows = [line for line in lines if "miss 36 s" in line]
    assert len(rows) == 17 * len(poolings)
    assert [line.split()[0] for line in rows[: len(poolings)]] == list(poolings)
    assert sum(" *" in line for line in rows) == 17
    heads = [line for line in lines if line.startswith("dataset_")]
    assert heads[0] == "dataset_0 accuracy  bag of word pieces 70.0  constant 50.0"
    assert len(heads) == 17


def test_what_an_untrained_pooler_made_is_marked_and_nothing_else(many):
    for run in many.groups[0].runs:
        assert ("u" in mark(run)) == (run.result.pooling in {"pooler", "pooler_preactivation", "pooler_inverse"})
    assert "u made with a pooler that was never trained" in render(many)


def test_a_pooling_that_stands_twice_in_a_group_is_shown_twice(tmp_path):
    for number, width in enumerate((1, 2)):
        job(tmp_path, number, wrong(10 + number), pooling="mean", config={"pooling": {"width": width}})
    assert "97.5 *" in render(compared(tmp_path))
    assert "97.2 " in render(compared(tmp_path))


def test_a_narrow_terminal_gets_the_long_table(four):
    assert "p (Holm)" in render(compared(four), width=60)
    assert "p (Holm)" not in render(compared(four), width=100)
    assert "\x1b" not in render(compared(four))
    assert "\x1b" in render(compared(four), terminal=True)


def test_the_best_score_alone_is_bold(four):
    for width in (60, 100):
        text = render(compared(four), width=width, terminal=True)
        assert text.count("\x1b[1m90.0 *\x1b[0m") == 2
        assert "\x1b[1m[88.0" not in text and "\x1b[1mmiss" not in text


def test_a_name_cannot_command_a_terminal(tmp_path):
    job(tmp_path, 0, wrong(10), dataset="a\x1b[2J\x07")
    write_failure(tmp_path / "1", ["x=\x9b"], "\x1b]0;title\x07", "user")
    for text in (render(compared(tmp_path)), to_markdown(compared(tmp_path))):
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
        assert r"a\x1b[2J\x07" in text and r"\x1b]0;title\x07" in text


def test_odd_names_are_printed_as_they_are(tmp_path):
    job(tmp_path, 0, wrong(10), dataset="[red]:smile:|x")
    comparison = compared(tmp_path)
    assert "[red]:smile:|x" in render(comparison)
    write_failure(tmp_path / "1", ["x=[bold]"], "[red] :smile:", "user")
    assert "failed: x=[bold]: [red] :smile: (" in render(compared(tmp_path))


def test_names_are_neither_markup_nor_formulas(tmp_path):
    names = ["<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "@SUM(1)", "=1+1|`x`\n# y"]
    for number, name in enumerate(names):
        job(tmp_path, number, wrong(10), dataset=name, model="-1+1")
    comparison = compared(tmp_path)
    text = to_markdown(comparison)
    assert (
        r"\<img src=x onerror=alert(1)\>" in text
        and r"[a]\(javascript:alert(1))" in text
        and r"=1+1\|\`x\` # y" in text
    )
    assert len({line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [row["dataset"] for row in rows] == [*names[:2], "'@SUM(1)", "'=1+1|`x`\n# y"]
    assert {row["model"] for row in rows} == {"'-1+1"} and {row["layer"] for row in rows} == {"-1"}


DAMAGE = {
    "deep": b"[" * 100_000,
    "torn": b'{"status"',
    "no text": b"\xff\xfe",
    "number": b'{"status": ' + b"9" * 5000 + b"}",
    "nan": b'{"status": NaN}',
    "list": b"[1]",
    "types": b'{"status": ["done"], "record": 5, "error": 5, "overrides": 7, "kind": []}',
    "inner types": b'{"status": {}, "record": [], "error": ["x"], "overrides": [7], "settled": "no"}',
    "far": b'{"status": "done", "record": "' + b"x" * 5000 + b'"}',
}


@pytest.mark.parametrize("name", [STATUS, FAILURE, RECORD, PREDICTIONS, ".hydra/overrides.yaml"])
@pytest.mark.parametrize("damage", [*DAMAGE, "folder", "pipe"])
def test_a_damaged_file_of_a_job_costs_that_job_at_most(tmp_path, name, damage):
    job(tmp_path, 0, wrong(10), pooling="cls")
    job(tmp_path, 1, wrong(40), pooling="mean")
    path = tmp_path / "1" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(DAMAGE[damage])
    comparison = compared(tmp_path)
    assert [job.status for job in comparison.jobs] == ["done", "failed" if name == RECORD else "done"]
    for text in (render(comparison), to_markdown(comparison), to_csv(comparison)):
        assert "cls" in text
    assert all(
        marks(group).get("mean") in (None, "untested" if name == PREDICTIONS else "lower")
        for group in comparison.groups
    )


@pytest.mark.parametrize("damage", ["types", "inner types"])
def test_a_failure_that_cannot_be_read_is_a_failure(tmp_path, damage):
    write_status(tmp_path / "0", "failed")
    (tmp_path / "0" / FAILURE).write_bytes(DAMAGE[damage])
    assert compared(tmp_path).count("failed") == 1 and sweep.tally(tmp_path).count("failed") == 1


def test_the_csv_has_a_row_per_run_with_unrounded_fractions(four):
    rows = list(csv.DictReader(io.StringIO(to_csv(compared(four)))))
    assert len(rows) == 8
    first = rows[0]
    record = Result.read(four / "0")
    assert {name: first[name] for name in ("dataset", "pooling", "mark", "key", "cache")} == {
        "dataset": "one",
        "pooling": "cls",
        "mark": "tie",
        "key": record.key,
        "cache": "miss",
    }
    assert float(first["value"]) == record.score["value"]
    assert float(first["baseline_constant"]) == 0.5
    assert float(first["baseline_bag_of_word_pieces"]) == 0.7
    assert rows[2]["mark"] == "best"
    assert rows[2]["p"] == ""


def test_markdown_has_a_row_per_run_and_escapes_bars(tmp_path, four):
    text = to_markdown(compared(four))
    rows = [line for line in text.splitlines() if line.startswith("| ") and "[" in line]
    assert len(rows) == 8
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert "8 done, 0 skipped, 0 failed" in text
    (caption,) = [line for line in text.splitlines() if line.startswith("Score in %")]
    for piece in ("model checkpoint", "seed 0", "draws 1"):
        assert piece in caption


def test_the_table_needs_no_torch_and_no_pandas():
    line = "import sys, src.sweeps.comparison; print(sorted({'torch', 'pandas', 'sklearn', 'wandb', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "[]\n"

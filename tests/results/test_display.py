"""The text of a record: its table, and its line in a sweep."""

from __future__ import annotations

from src.results.display import result_summary, result_table
from tests.helpers.records import make_result


def test_the_table_has_all_scores_and_cautions_in_80_columns() -> None:
    record = make_result(
        pooling="pooler",
        pooler={"status": "untrained"},
        counts={"train": 67349, "test": 872, "classes": 2, "test_in_train": 7, "groups": None},
        timing={
            **make_result().timing,
            "baseline": 4.5,
            "cache": "hit",
            "passes": [{"encode": 40.0, "rows": 9}, {"encode": 2.0, "pool": 1.0}],
        },
        dataset="a_[bold]long[/bold]_name_" * 5,
    )
    text = result_table(record)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.isascii()
    flat = " ".join(text.split())
    for piece in (
        "accuracy 80.0 % [78.0, 82.0]",
        "mcc undefined: one class was predicted",
        "baseline constant 50.0 %",
        "baseline bag of word pieces 70.0 % [60.0, 80.0]",
        "chosen alpha 0.01 (of 2 values)",
        "encode 30.0",
        "baseline 4.5",
        "total 36.0",
        "cache hit; the pass that made the features took 43.0 s",
        "never trained",
        "7 test rows also occur in train",
    ):
        assert piece in flat
    assert "\x1b" not in text
    assert "\x1b" in result_table(record, terminal=True)


def test_a_score_that_is_not_a_fraction_is_not_shown_in_percent() -> None:
    text = result_table(
        make_result(
            score={"metric": "rmse", "value": 2.5, "low": 2.25, "high": 3.0}, metrics={}, baseline={"constant": 4.0}
        )
    )
    assert "rmse               2.5 [2.25, 3]\n" in text
    assert "baseline constant  4\n" in text


def test_the_summary_is_one_line_with_score_and_seconds() -> None:
    line = result_summary(make_result(pooling="pooler", pooler={"status": "untrained", "evidence": {}}))
    assert "\n" not in line
    for part in ("pooler (untrained)", "%", "[", " s"):
        assert part in line

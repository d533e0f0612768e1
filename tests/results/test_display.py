"""The text of a record: its lines, its table, and its line in a sweep."""

from __future__ import annotations

import pytest

from src.results.display import format_score, result_lines, result_summary, result_table
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


@pytest.mark.parametrize("width", [None, 40, 80])
def test_a_run_ends_with_its_score_its_baselines_and_its_seconds(width: int | None) -> None:
    text = result_lines(make_result(dataset="some_name_" * 2), width=width)
    lines = text.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["accuracy", "baseline", "seconds"]
    assert len(lines) == 3 or (width is not None and all(len(line) <= width for line in lines))
    assert all(line.count("[") == line.count("]") for line in lines)
    flat = " ".join(text.split())
    for piece in (
        "80.0 % [78.0, 82.0]",
        "mcc undefined",
        "bag of word pieces 70.0 % [60.0, 80.0]",
        "encode 30.0",
        "miss",
    ):
        assert piece in flat
    assert "scores better" not in text


def test_a_bag_that_scores_higher_is_named() -> None:
    for metric, better in (("accuracy", 0.75), ("rmse", 0.65)):
        worse = 1.4 - better
        for value, said in ((worse, False), (better, True)):
            record = make_result(
                score={"metric": metric, "value": 0.7, "low": None, "high": None},
                baseline={"bag_of_word_pieces": {"value": value}},
            )
            assert ("bag of word pieces scores" in result_lines(record)) == said
    assert "scores" not in result_lines(make_result(value=None, baseline={"bag_of_word_pieces": {"value": 0.9}}))


@pytest.mark.parametrize(
    ("metric", "text"),
    [("accuracy", "51.2 %"), ("macro_f1", "51.2 %"), ("mcc", "0.512"), ("pearson", "0.512"), ("spearman_news", "0.512"),
     ("rmse", "0.5123")],
)  # fmt: skip
def test_a_share_is_in_percent_and_a_correlation_is_not(metric: str, text: str) -> None:
    assert format_score(metric, {"value": 0.5123}) == text


def test_the_summary_is_one_line_with_score_and_seconds() -> None:
    line = result_summary(make_result(pooling="pooler", pooler={"status": "untrained", "evidence": {}}))
    assert "\n" not in line
    for part in ("pooler (untrained)", "%", "[", " s"):
        assert part in line

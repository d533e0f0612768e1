"""A comparison fits the terminal and cannot control it."""

import pytest

from src.pooling import poolings
from src.results.result import RECORD
from src.sweeps.comparison import compare_records
from src.sweeps.export import to_markdown
from src.sweeps.jobs import find_jobs
from src.sweeps.rendering import render, symbols, tally
from src.sweeps.status import write_failure, write_status
from tests.helpers.records import LABELS, job, make_job, wrong
from tests.sweeps.helpers import compared


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
    lines = tally(compared(four))
    assert lines[0] == "7 done, 1 skipped, 3 failed"
    reason = "pooling 'pooler' exists at the last layer only. Use pooling=cls."
    assert lines[1] == f"failed: pooling=pooler layer=3: {reason} ({four / '8'})"
    assert lines[2].startswith("failed: pooling=max dataset=one: has no record")
    assert "is damaged" in lines[3]
    assert len(lines) == 4


def test_a_failed_job_is_named_by_the_overrides_that_not_all_jobs_share(tmp_path):
    for number, pooling in enumerate(("cls", "mean", "max")):
        words = [f"pooling={pooling}", "dataset=one", "seed=3"]
        if number:
            write_failure(tmp_path / str(number), words, "no", "user")
        else:
            job(tmp_path, number, wrong(1))
            (tmp_path / "0" / ".hydra").mkdir()
            (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    assert [line.split(": ")[1] for line in tally(compared(tmp_path))[1:]] == [
        "pooling=mean",
        "pooling=max",
    ]


def test_few_poolings_are_printed_side_by_side_within_100_columns(four):
    text = render(compared(four))
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines if not line.startswith("failed"))
    (head,) = [line for line in lines if "pooler" in line and "max" in line]
    assert head.split()[:6] == ["dataset", "metric", "cls", "pooler", "mean", "max"]
    (row,) = [line for line in lines if line.startswith("one")]
    assert row.split() == ["one", "accuracy", "89.5", "?", "77.5", "90.0", "*", "75.0", "+", "70.0", "50.0"]
    assert "[88.0, 92.0]" in text
    assert "miss 36 s" in text
    assert "? inconclusive" in text and "Holm" in text
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


def test_many_poolings_are_printed_one_per_line_within_100_columns(many):
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


def test_only_runs_with_an_untrained_pooler_are_marked_as_such(many):
    for run in many.groups[0].runs:
        assert ("u" in symbols(run)) == (run.result.pooling in {"pooler", "pooler_preactivation", "pooler_inverse"})
    assert "u made with a pooler that was never trained" in render(many)


def test_a_pooling_that_is_twice_in_a_group_is_shown_twice(tmp_path):
    for number, width in enumerate((1, 2)):
        job(tmp_path, number, wrong(10 + number), pooling="mean", config={"pooling": {"width": width}})
    assert "97.5 *" in render(compared(tmp_path))
    assert "97.2 " in render(compared(tmp_path))


def test_a_narrow_terminal_gets_the_long_table(four):
    assert "p (Holm)" in render(compared(four), width=60)
    assert "p (Holm)" not in render(compared(four), width=100)
    assert "\x1b" not in render(compared(four))
    assert "\x1b" in render(compared(four), terminal=True)


def test_only_the_best_score_is_bold(four):
    for width in (60, 100):
        text = render(compared(four), width=width, terminal=True)
        assert text.count("\x1b[1m90.0 *\x1b[0m") == 2
        assert "\x1b[1m[88.0" not in text and "\x1b[1mmiss" not in text


def test_control_characters_of_names_are_escaped(tmp_path):
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

"""A comparison fits the terminal and cannot control it."""

import pytest

from src.pooling import poolings
from src.results.result import RECORD
from src.sweeps.cells import symbols
from src.sweeps.comparison import compare_records
from src.sweeps.export import to_markdown
from src.sweeps.jobs import find_jobs
from src.sweeps.remarks import bag_lines, baseline_lines, tally
from src.sweeps.rendering import render
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


def test_jobs_that_fail_for_one_reason_share_a_line(tmp_path):
    for number in range(4):
        write_failure(tmp_path / str(number), [f"seed={number}", "dataset=a"], "the same", "user")
    write_failure(tmp_path / "4", ["seed=4", "dataset=a"], "another", "user")
    counts, line, other = tally(compared(tmp_path))
    assert counts == "0 done, 0 skipped, 5 failed"
    assert line == f"failed: 4 jobs, the first seed=0: the same ({tmp_path / '0'})"
    assert other == f"failed: seed=4: another ({tmp_path / '4'})"


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


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def rows_of(text: str, pooling: str) -> list[list[str]]:
    return [found for line in text.splitlines() if line.startswith("|") and pooling in (found := cells(line))]


def test_a_table_has_a_row_per_run_that_markdown_reads(four):
    text = render(compared(four))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert cells(table[0]) == ["dataset", "pooling", "metric", "score", "95 % interval", "verdict"]
    assert set(table[1]) == set("|-: ") and len({len(line) for line in table}) == 1
    assert len(table) == 2 + 8
    assert rows_of(text, "mean")[0] == ["one", "mean", "accuracy", "90.0 %", "[88.0, 92.0]", "best"]
    assert rows_of(text, "cls")[0][-2:] == ["[87.5, 91.5]", "inconclusive"]
    assert rows_of(text, "max")[0][-1] == "worse +" and "+: not a pair of cls, pooler and mean" in text
    assert "inconclusive: " in text and "Holm" in text
    assert "baseline, one: bag of word pieces 70.0 % [60.0, 80.0], constant 50.0 %" in text
    assert "36 s" not in text and "miss" not in text  # cost stands in the files


def test_correlations_are_not_in_percent(tmp_path):
    for number, pooling in enumerate(("cls", "mean")):
        score = {"metric": "mcc", "value": 0.5 - number / 10, "low": -0.0312, "high": 0.61}
        job(tmp_path, number, wrong(20 + number), pooling=pooling, score=score)
    assert rows_of(render(compared(tmp_path)), "cls")[0][1:5] == ["cls", "mcc", "0.500", "[-0.031, 0.610]"]


@pytest.mark.parametrize(("bag", "said"), [(0.85, ["one"]), (0.95, ["one", "two"]), (0.8, [])])
def test_a_bag_that_scores_higher_than_every_pooling_is_named(tmp_path, bag, said):
    places = [(dataset, place) for dataset in ("one", "two") for place in range(2)]
    for number, (dataset, place) in enumerate(places):
        misses = {"one": 64, "two": 40}[dataset] + 20 * place
        baseline = {"bag_of_word_pieces": {"value": bag, "low": None, "high": None}}
        job(tmp_path, number, wrong(misses), pooling=("cls", "mean")[place], dataset=dataset, baseline=baseline)
    comparison = compared(tmp_path)
    lines = bag_lines(comparison)
    assert [all(name in line for name in said) for line in lines] == [True] * bool(said)
    assert all(("two" in line) == ("two" in said) for line in lines)
    assert all(" ".join(line.split()) in " ".join(render(comparison).split()) for line in lines)


def test_baselines_that_differ_within_a_task_name_their_settings(tmp_path):
    places = [(pairing, pooling) for pairing in ("joint", "separate") for pooling in ("cls", "mean")]
    for number, (pairing, pooling) in enumerate(places):
        bag = {"value": {"joint": 0.5, "separate": 0.6}[pairing], "low": None, "high": None}
        job(tmp_path, number, wrong(64), pooling=pooling, pairing=pairing, baseline={"bag_of_word_pieces": bag})
    lines = baseline_lines(compared(tmp_path))
    assert [("pairing=joint" in line, "50.0 %" in line) for line in lines] == [(True, True), (False, False)]
    assert "pairing=separate" in lines[1] and "60.0 %" in lines[1]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Every pooling on 17 datasets, the pooler untrained."""
    folder = tmp_path_factory.mktemp("many")
    for place in range(17):
        for number, pooling in enumerate(poolings):
            record = {"pooling": pooling, "dataset": f"dataset_{place}", "pooler": {"status": "untrained"}}
            make_job(folder / str(place * len(poolings) + number), LABELS, wrong(20 + 3 * number), **record)
    return compare_records(find_jobs(folder))


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_intervals_are_never_broken_and_groups_have_their_own_table_where_one_is_too_wide(many, width):
    text = render(many, width=width)
    lines = text.splitlines()
    found = [line for line in lines if line.startswith("|") and "[" in line]
    assert len(found) == 17 * len(poolings) and all(line.count("[") == line.count("]") == 1 for line in found)
    assert all(len(line) <= width for line in lines) or width < 80
    assert sum(line.endswith("best |") or " best " in line for line in found) == 17
    assert sum(line == "dataset_0 accuracy" for line in lines) == (width < 100)
    assert all(line.count("[") == line.count("]") for line in lines)


def test_only_runs_with_an_untrained_pooler_are_marked_as_such(many):
    for run in many.groups[0].runs:
        assert ("u" in symbols(run)) == (run.result.pooling in {"pooler", "pooler_preactivation", "pooler_inverse"})
    assert "u: made with a pooler that was never trained" in render(many)


def test_a_pooling_that_is_twice_in_a_group_is_shown_twice(tmp_path):
    for number, width in enumerate((1, 2)):
        job(tmp_path, number, wrong(10 + number), pooling="mean", config={"pooling": {"width": width}})
    assert [row[3] for row in rows_of(render(compared(tmp_path)), "mean")] == ["97.5 %", "97.2 %"]


@pytest.mark.parametrize("width", [40, 100])
def test_only_the_best_score_is_bold(four, width):
    assert "\x1b" not in render(compared(four), width=width)
    text = render(compared(four), width=width, terminal=True)
    assert text.count("\x1b[1m90.0 %\x1b[0m") == 2
    assert text.count("\x1b[1m") == (2 if width == 100 else 4)  # and the titles of the groups


def test_control_characters_of_names_are_escaped(tmp_path):
    job(tmp_path, 0, wrong(10), dataset="a\x1b[2J\x07")
    write_failure(tmp_path / "1", ["x=\x9b"], "\x1b]0;title\x07", "user")
    for text in (render(compared(tmp_path)), to_markdown(compared(tmp_path))):
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
        assert r"a\x1b[2J\x07" in text and r"\x1b]0;title\x07" in text


def test_odd_names_are_printed_as_they_are(tmp_path):
    job(tmp_path, 0, wrong(10), dataset="[red]:smile:|x")
    comparison = compared(tmp_path)
    assert "[red]\\:smile:\\|x" in render(comparison)
    write_failure(tmp_path / "1", ["x=[bold]"], "[red] :smile:", "user")
    assert "failed: x=[bold]: [red] :smile: (" in render(compared(tmp_path))

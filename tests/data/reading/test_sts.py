"""The layout of the STS years: pairs beside gold scores, and what may go wrong between the two."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.data.reading.sts import find_sets, read_set
from src.errors import UserError
from tests.helpers.datasets import write_files


def year(folder: Path, **sets: tuple[str, str]) -> Path:
    files = {f"STS.input.{name}.txt": pairs for name, (pairs, _) in sets.items()}
    write_files(folder, files | {f"STS.gs.{name}.txt": gold for name, (_, gold) in sets.items()})
    return folder


def test_a_set_has_pairs_and_gold_scores(tmp_path: Path) -> None:
    year(tmp_path, b=("x\ty\n", "1\n"), a=("x\ty\n", "1\n"), **{"surprise.c": ("x\ty\n", "1\n")})
    write_files(
        tmp_path,
        {
            "STS.gs.ALL.txt": "1\n1\n1\n",
            "STS.gs.SMT.txt": "1\n",
            "STS.output.a.txt": "1\n",
            "STS.input.a.txt.bak": "x\ty\n",
            "correlation.pl": "",
        },
    )
    assert find_sets(tmp_path, "year", []) == ["a", "b", "surprise.c"]
    write_files(tmp_path, {"STS.input.ALL.txt": "x\ty\n"})
    assert "ALL" not in find_sets(tmp_path, "year", [])


def test_a_set_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^year has no STS.input.<set>.txt with STS.gs.<set>.txt"):
        find_sets(tmp_path, "year", [])
    year(tmp_path, a=("x\ty\n", "1\n"))
    (tmp_path / "STS.gs.b.txt").write_text("1\n")
    assert find_sets(tmp_path, "year", ["a"]) == ["a"]
    with pytest.raises(UserError, match=r"year has STS.gs.b.txt and no STS.input.b.txt"):
        find_sets(tmp_path, "year", ["a", "b"])
    (tmp_path / "STS.input.c.txt").write_text("x\ty\n")
    with pytest.raises(UserError, match=r"year has STS.input.c.txt and no STS.gs.c.txt"):
        find_sets(tmp_path, "year", ["a"])
    with pytest.raises(UserError, match="cannot read 'year'"):
        find_sets(tmp_path / "nowhere", "year", [])


def test_lines_without_a_gold_score_are_left_out_and_counted(tmp_path: Path) -> None:
    pairs = 'a\tb\n"c\td\textra\tcolumns\nno\tscore\ne \tf\u2028g\x85h\n\t\n'
    table, left_out = read_set(year(tmp_path, s=(pairs, "5\n0.25\n\n 4.800 \n\n")), "year", "s")
    assert table.to_pydict() == {
        "text": ["a", '"c', "e "],
        "text_pair": ["b", "d", "f\u2028g\x85h"],
        "label": ["5", "0.25", "4.800"],
        "set": ["s", "s", "s"],
    }
    assert left_out == 1, "a line without texts is no pair"


@pytest.mark.parametrize(
    ("pairs", "gold"),
    [
        ("a\tb\nc\td", "1\n2"),
        ("a\tb\r\nc\td\r\n", "1\r\n2\r\n"),
        ("\ufeffa\tb\nc\td\n", "\ufeff1\n2\n"),
        ("a\tb\nc\td\n\n", "1\n2\n"),
        ("a\tb\nc\td\n", "1\n2\n\n\n"),
    ],
)
def test_line_ends_marks_and_blank_last_lines_change_nothing(tmp_path: Path, pairs: str, gold: str) -> None:
    table, left_out = read_set(year(tmp_path, s=(pairs, gold)), "year", "s")
    assert table["text"].to_pylist() == ["a", "c"] and table["text_pair"].to_pylist() == ["b", "d"]
    assert table["label"].to_pylist() == ["1", "2"] and left_out == 0


@pytest.mark.parametrize(
    ("pairs", "gold", "message"),
    [
        ("a\tb\n", "1\n2\n", r"'year/STS.input.s.txt' ends after line 1, before"),
        ("a\tb\nc\td\n", "1\n", r"'year/STS.gs.s.txt' ends after line 1, before"),
        ("a\tb\nc\td\n\ne\tf\n", "1\n2\n", r"'year/STS.gs.s.txt' ends after line 2, before"),
        ("a\tb\n\n", "1\n\n2\n", r"'year/STS.input.s.txt' ends after line 2, before"),
        ("a\tb\nc d\n", "1\n2\n", r"'year/STS.input.s.txt' line 2 holds no tab"),
        ("a\tb\n\nc\td\n", "1\n2\n3\n", r"'year/STS.input.s.txt' line 2 holds no tab"),
        ("a\tb\nc\td\n", "1\nhigh\n", r"'year/STS.gs.s.txt' line 2 holds no score"),
        ("a\tb\nc\td\n", "1\nnan\n", r"'year/STS.gs.s.txt' line 2 holds no score"),
        ("a\tb\nc\td\n", "\n\n", r"'year/STS.gs.s.txt' holds no score"),
        ("", "", r"'year/STS.gs.s.txt' holds no score"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, pairs: str, gold: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_set(year(tmp_path, s=(pairs, gold)), "year", "s")

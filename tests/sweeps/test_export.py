"""A comparison's CSV and Markdown hold the numbers and no markup of others."""

import csv
import io
import json

from src.results.result import Result
from src.sweeps.export import to_csv, to_markdown, to_values
from src.sweeps.status import write_failure
from tests.helpers.records import job, wrong
from tests.sweeps.helpers import compared


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


def test_the_csv_has_a_row_per_run_with_unrounded_fractions(four):
    rows = list(csv.DictReader(io.StringIO(to_csv(compared(four)))))
    assert len(rows) == 8
    first = rows[0]
    record = Result.read(four / "0")
    assert {name: first[name] for name in ("dataset", "pooling", "mark", "key", "cache")} == {
        "dataset": "one",
        "pooling": "cls",
        "mark": "inconclusive",
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
    (caption,) = [line for line in text.splitlines() if line.startswith("All runs: ")]
    for piece in ("model checkpoint", "seed 0", "draws 1"):
        assert piece in caption


def test_the_values_of_a_comparison_are_plain(four):
    write_failure(four / "8", ["pooling=pooler"], "no", "user")
    values = json.loads(json.dumps(to_values(compared(four)), allow_nan=False))
    assert values["jobs"] == {"done": 8, "skipped": 0, "failed": 1}
    (first, *_) = values["runs"]
    assert (len(values["runs"]), first["pooling"], first["value"]) == (8, "cls", Result.read(four / "0").score["value"])
    assert values["failed"] == [{"folder": str(four / "8"), "overrides": ["pooling=pooler"], "error": "no"}]

"""The paper and the READMEs say what the committed records do, byte for byte, and name what is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.bundles import RECORDS_FILE, Record
from experiments.formatting import format_interval, join_names
from experiments.manifest import MANIFEST, RECORDS_DIR, RESAMPLING
from experiments.paper import readme
from experiments.paper.__main__ import build, earlier_files, main
from experiments.paper.evidence import Evidence
from experiments.paper.tables.scores import by_pooling
from experiments.paper.tables.table import Table
from src.errors import UserError
from tests.helpers.records import make_result

ROOT = RECORDS_DIR.parents[1]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.read()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The paper built anew, in a process that must do without torch."""
    output = tmp_path_factory.mktemp("paper")
    code = (
        "import sys; from pathlib import Path; from experiments.paper.__main__ import build;"
        "output = Path(sys.argv[1]); build(output, store=output.parent);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(output / "paper")], check=True, cwd=ROOT)
    return output / "paper"


def test_the_committed_results_of_resampling_are_those_of_the_paper(built):
    committed, made = ((folder / RESAMPLING).read_bytes() for folder in (RECORDS_DIR, built.parent))
    assert committed == made, "python -m experiments.paper writes them anew"


def test_the_committed_paper_equals_a_new_one(built):
    kept, made = (
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (ROOT / "paper", built)
    )
    assert kept == made
    different = [
        str(name) for name in sorted(made) if (built / name).read_bytes() != (ROOT / "paper" / name).read_bytes()
    ]
    assert not different, "python -m experiments.paper writes these anew"


@pytest.mark.parametrize("page", readme.Options().pages)
def test_the_numbers_of_the_readmes_equal_the_records(evidence, page):
    text = (ROOT / page).read_text()
    assert "python -m experiments.paper.readme -->" in text
    assert readme.fill(text, evidence) == text, "python -m experiments.paper.readme writes them anew"


def test_every_link_of_the_report_has_a_file(built):
    import re

    text = (built / "report.md").read_text()
    links = set(re.findall(r"\]\(((?:figures|tables)/[^)]+)\)", text))
    assert len(links) > 20
    assert not [link for link in links if not (built / link).is_file()]


def test_the_report_holds_no_nan_and_no_none(built):
    text = (built / "report.md").read_text()
    assert "nan" not in text.lower().split() and "None" not in text


def _copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDS_DIR, tmp_path / "records"))


def test_a_missing_record_is_named(tmp_path):
    records = _copy(tmp_path)
    path = records / "poolings" / "bert-books" / RECORDS_FILE
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    gone = json.loads(lines[0])["record"]
    with pytest.raises(
        UserError, match=f"poolings/bert-books lacks dataset={gone['dataset']} pooling={gone['pooling']}"
    ):
        build(tmp_path / "paper", records)
    assert not (tmp_path / "paper").exists()


def test_two_schema_versions_are_refused(tmp_path, capsys):
    records = _copy(tmp_path)
    path = records / "demo" / "bert-books" / RECORDS_FILE
    path.write_text(path.read_text().replace('"schema":1', '"schema":2', 1))
    with pytest.raises(SystemExit) as ended:
        main([f"records={records}", f"output={tmp_path / 'paper'}"])
    assert ended.value.code == 1
    assert "has schema 2, this version reads schema 1" in capsys.readouterr().err


def test_only_files_that_an_earlier_paper_named_are_its_own(tmp_path):
    (tmp_path / "report.md").write_text(
        "![old](figures/old.png)\n- [gone-a](tables/gone-a.md): A table.\n(figures/../x.png)"
    )
    found = {path.relative_to(tmp_path).as_posix() for path in earlier_files(tmp_path)}
    assert found == {"figures/old.pdf", "figures/old.png", *(f"tables/gone-a.{kind}" for kind in ("md", "tex", "csv"))}
    assert earlier_files(tmp_path / "none") == set()


def test_a_missing_manifest_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([f"records={tmp_path}", f"output={tmp_path / 'paper'}"])
    assert MANIFEST in capsys.readouterr().err


def test_the_committed_records_stay_small_and_hold_no_text():
    size = sum(path.stat().st_size for path in RECORDS_DIR.rglob("*") if path.is_file())
    assert size < 60e6


def test_a_table_escapes_its_cells_in_every_format():
    table = Table("x", "Two & three", ("a_b", "c"), [("1|2", "−3 %")], [{"a": 1 / 3, "c": None}])
    assert "1\\|2" in table.markdown()
    assert r"a\_b & c \\" in table.latex() and r"Two \& three" in table.latex() and r"$-$3 \%" in table.latex()
    assert table.csv() == "a,c\n0.33333333,\n"


def test_scores_are_in_the_column_of_their_pooling():
    records = [
        Record("x", make_result(pooling=name, value=value), {}) for name, value in (("cls", 0.5), ("mean", 0.75))
    ]
    table = by_pooling("x", "", records, ("mean", "max", "cls"))
    assert table.columns[:4] == ("task", "mean", "max", "[CLS]")
    assert table.cells[0][1:4] == ("75.0 [73.0, 77.0]", "", "50.0 [48.0, 52.0]")


def test_names_and_intervals_as_text():
    assert join_names(["a"]) == "a" and join_names([], "no task") == "no task"
    assert format_interval(-0.0004, None) == "" and format_interval(-0.0004, 0.01, signed=True) == "[0.0, +1.0]"

"""The command writes both files, leaves out failed jobs, and refuses bad input with a line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.bundles import read_records, write_bundle
from experiments.losses import without_rows
from experiments.report.__main__ import FIGURES, PAGE, main
from src.results.result import RECORD
from src.sweeps.status import write_failure
from tests.experiments.report.conftest import TRUTH, missed, sweep, written
from tests.helpers.records import make_predictions, make_result


def test_failed_jobs_are_listed_and_the_rest_is_reported(question: Path) -> None:
    write_failure(question / "7", ["pooling=max", "dataset=gone"], "there is no file gone.csv", "user")
    (question / "8" / ".hydra").mkdir(parents=True)
    (question / "0" / "predictions.safetensors").write_bytes(b"torn")
    markdown, html = written(question)
    for text in (markdown, html):
        assert "pooling=max dataset=gone (job 7): there is no file gone.csv" in text and "job 8: " in text
        assert "Left out: 3, listed at the end" in text
    assert "Use mean: +5.0" in markdown


def test_runs_without_rows_are_left_out(question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = read_records(question)
    write_bundle([records[0], *map(without_rows, records[1:])], tmp_path / "bundle")
    words = [f"output={tmp_path / 'report'}", "figures=false"]
    main([f"records={tmp_path / 'bundle'}", *words])
    assert "left out: 1;" in capsys.readouterr().out
    assert f"{len(records) - 1} runs of" in (tmp_path / "report" / "report.md").read_text()
    write_bundle(list(map(without_rows, records)), tmp_path / "none")
    with pytest.raises(SystemExit) as ended:
        main([f"records={tmp_path / 'none'}", *words])
    assert ended.value.code == 1 and "holds no record" in capsys.readouterr().err


def test_no_report_is_written_among_records(question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(read_records(question), tmp_path / "bundle")
    for words in (
        [f"records={tmp_path / 'bundle'}"],
        [f"records={tmp_path}"],
        ["records=x", f"output={tmp_path / 'bundle'}"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 1 and "output=" in capsys.readouterr().err
    assert len(list((tmp_path / "bundle").iterdir())) == 2 and not list(tmp_path.glob("report*"))


def test_the_command_says_that_jobs_are_left_out(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([f"records={question}", "figures=false"])
    assert "left out" not in capsys.readouterr().out
    (question / "0" / "predictions.safetensors").write_bytes(b"torn")
    main([f"records={question}", "figures=false"])
    assert "left out: 1;" in capsys.readouterr().out


def test_a_damaged_bundle_is_named_by_its_folder(
    question: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(question.parent)
    Path("bundle").mkdir()
    Path("bundle", "records.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(SystemExit):
        main(["records=bundle", "output=out"])
    assert "in bundle" in capsys.readouterr().err


def test_an_output_that_cannot_be_made_is_one_line(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (question / "loop").symlink_to("loop")
    with pytest.raises(SystemExit) as ended:
        main([f"records={question}", f"output={question / 'loop' / 'below'}"])
    assert ended.value.code == 1 and "output=" in capsys.readouterr().err


def test_names_of_jobs_do_not_change_the_bytes(question: Path, tmp_path: Path) -> None:
    first, again = written(question), written(question)
    (tmp_path / "above").mkdir()
    for number, name in enumerate(("2", "0", "1")):
        shutil.copytree(question / name, tmp_path / "above" / "below" / str(number))
    write_bundle(read_records(question), tmp_path / "bundle")
    assert first == again == written(tmp_path / "above")
    main([f"records={tmp_path / 'bundle'}", f"output={tmp_path / 'out'}"])
    assert first == tuple((tmp_path / "out" / name).read_text() for name in ("report.md", "report.html"))


def test_only_the_two_files_are_written(question: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in question.rglob("*") if path.is_file()}
    main([f"records={question}", f"output={tmp_path / 'out'}", "figures=false"])
    assert before == {path: path.read_bytes() for path in question.rglob("*") if path.is_file()}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.md"]


@pytest.mark.parametrize("missing", ["matplotlib", ""])
def test_it_needs_neither_torch_nor_matplotlib(question: Path, missing: str) -> None:
    code = (
        "import sys, importlib.util as util; from experiments.report.__main__ import main; find = util.find_spec; "
        f"util.find_spec = lambda name: None if name == '{missing}' else find(name); main(sys.argv[1:]); "
        f"assert not {{'torch', '{missing}'}} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, f"records={question}"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ("pip install -e '.[paper]'" in ended.stdout) == bool(missing)
    assert (question / PAGE).is_file() and (question / FIGURES).is_dir() == (not missing)


def test_figures_are_written_and_those_of_an_earlier_report_removed(question: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = question / FIGURES
    folder.mkdir()
    for name in ("task-9-gone.png", "mine.png"):
        (folder / name).touch()
    written(question)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.png", "task-1-tiny.pdf", "task-1-tiny.png"]
    first = {path: path.read_bytes() for path in folder.iterdir()}
    assert first[folder / "task-1-tiny.png"].startswith(b"\x89PNG")
    written(question)
    assert first == {path: path.read_bytes() for path in folder.iterdir()}


def test_figures_that_cannot_be_written_leave_the_page(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    (question / FIGURES).touch()
    with pytest.raises(SystemExit):
        main([f"records={question}"])
    assert "figures=false" in capsys.readouterr().err and (question / PAGE).is_file()


def test_two_schema_versions_are_refused(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = question / "0" / RECORD
    record.write_text(record.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(SystemExit) as ended:
        main([f"records={question}"])
    assert ended.value.code == 1 and "schema 99" in capsys.readouterr().err and not (question / PAGE).exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "records is not set"),
        (["records=nowhere"], "no such folder"),
        (["records=."], "holds no record"),
        (["record=."], "did you mean 'records'"),
        (["records=.", "margin=0"], "margin=0"),
        (["records=.", "margin=wide"], "margin=wide"),
        (["records=sweep", "predictions=nowhere.yaml"], "predictions=nowhere.yaml"),
        (["records=sweep", "output=file"], "'file' cannot be written"),
    ],
)
def test_bad_input_ends_with_one_error(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "records=sweep" in words:
        sweep(Path("sweep"), {"mean": missed(100)})
        Path("file").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 1 and error.startswith("error: ") and named in error and error.count("\n") <= 3


def test_runs_on_different_rows_are_refused(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_result(pooling="max", value=0.5).write(
        question / "5", make_predictions(TRUTH[:99], TRUTH[:99]), {"weight": np.zeros((1, 8))}
    )
    with pytest.raises(SystemExit):
        main([f"records={question}"])
    assert "different rows" in capsys.readouterr().err

"""The command writes a bundle and the manifest, and refuses bad input with a line."""

from __future__ import annotations

import json
import os

import pytest

from experiments import collect
from experiments.bundles import PREDICTIONS_FILE, RECORDS_FILE, read_records, write_bundle
from experiments.losses import without_rows
from experiments.manifest import MANIFEST
from tests.helpers.records import LABELS, make_predictions, make_result


def test_the_command_writes_the_bundle_and_the_manifest(sweep, tmp_path, capsys):
    folder = tmp_path / "records"
    collect.main([f"sweep={sweep}", f"output={folder / 'poolings' / 'tiny'}", f"records={folder}"])
    assert "4 runs" in capsys.readouterr().out
    assert len(json.loads((folder / MANIFEST).read_text())["bundles"]["poolings/tiny"]["runs"]) == 4


def test_the_command_leaves_the_rows_of_other_models_out(tmp_path, capsys):
    models = {name: make_result(model=name, key=name[-1] * 64) for name in ("nsp-0", "nsp-1")}
    for name, result in models.items():
        result.write(tmp_path / "sweep" / name, make_predictions(LABELS, LABELS), None)
    words = [f"sweep={tmp_path / 'sweep'}", f"output={tmp_path / 'bundle'}", f"records={tmp_path}"]
    collect.main([*words, "rows=*-0"])
    whole, sums = read_records(tmp_path / "bundle")
    assert whole.predictions and whole.sums is None and not sums.predictions and sums.sums
    with pytest.raises(SystemExit):
        collect.main([*words, "rows=other"])
    assert "nsp-0 and nsp-1" in capsys.readouterr().err
    again = [f"sweep={tmp_path / 'bundle'}", *words[1:]]  # a bundle collected again loses no sums
    collect.main([*again, "rows=*-0"])
    assert read_records(tmp_path / "bundle")[1].sums == sums.sums
    with pytest.raises(SystemExit):
        collect.main([*again, "rows=*-1"])
    assert read_records(tmp_path / "bundle")[0].predictions and "nsp-1" not in capsys.readouterr().err.split(":")[-1]


def test_runs_of_other_settings_are_replaced_only_when_asked(sweep, tmp_path, capsys):
    words = [f"sweep={sweep}", f"output={tmp_path / 'bundle'}", f"records={tmp_path}"]
    collect.main(words)
    collect.main(words)  # the same settings, as of a sweep that ran again
    other = make_result(model="another", key="a" * 64)
    other.write(tmp_path / "other" / "0", make_predictions(LABELS, LABELS), None)
    words[0] = f"sweep={tmp_path / 'other'}"
    with pytest.raises(SystemExit):
        collect.main(words)
    assert "replace=true" in capsys.readouterr().err
    assert len(read_records(tmp_path / "bundle")) == 4
    collect.main([*words, "replace=true"])
    assert [record.result.model for record in read_records(tmp_path / "bundle")] == ["another"]


def test_runs_that_differ_in_a_setting_or_in_their_rows_are_kept(tmp_path, capsys):
    for number, strength in enumerate((0.1, 0.2)):
        probe = {"features": "standardise", "penalty": strength}
        result = make_result(key=f"{number}" * 64, config={"model": {"weights": "aa"}, "probe": probe})
        result.write(tmp_path / f"{strength}" / "0", make_predictions(LABELS, LABELS), None)
        result.write(tmp_path / "both" / str(number), make_predictions(LABELS, LABELS), None)
    words = [f"output={tmp_path / 'bundle'}", f"records={tmp_path}"]
    collect.main([f"sweep={tmp_path / 'both'}", *words])
    before = (tmp_path / "bundle" / RECORDS_FILE).read_bytes()
    write_bundle(list(map(without_rows, read_records(tmp_path / "both"))), tmp_path / "sums")
    for sweep in ("0.1", "sums"):
        with pytest.raises(SystemExit):
            collect.main([f"sweep={tmp_path / sweep}", *words])
        assert (tmp_path / "bundle" / RECORDS_FILE).read_bytes() == before
    (tmp_path / "bundle" / RECORDS_FILE).write_text("{torn")
    with pytest.raises(SystemExit):
        collect.main([f"sweep={tmp_path / 'both'}", *words])
    assert "replace=true" in capsys.readouterr().err
    collect.main([f"sweep={tmp_path / 'both'}", *words, "replace=true"])
    assert (tmp_path / "bundle" / RECORDS_FILE).read_bytes() == before


@pytest.mark.parametrize("kind", ["missing", "link", "pipe"])
def test_a_bundle_without_a_readable_list_is_kept(kind, sweep, tmp_path, capsys):
    words = [f"sweep={sweep}", f"output={tmp_path / 'bundle'}", f"records={tmp_path}"]
    collect.main(words)
    before = (tmp_path / "bundle" / PREDICTIONS_FILE).read_bytes()
    path = tmp_path / "bundle" / RECORDS_FILE
    path.unlink()
    if kind != "missing":
        path.symlink_to(tmp_path / "nowhere") if kind == "link" else os.mkfifo(path)
    with pytest.raises(SystemExit) as ended:
        collect.main([f"sweep={sweep}", *words[1:]])
    assert ended.value.code == 1 and "replace=true" in capsys.readouterr().err
    assert (tmp_path / "bundle" / PREDICTIONS_FILE).read_bytes() == before


def test_no_bundle_is_written_among_jobs(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        collect.main([f"sweep={sweep}", f"output={sweep}", f"records={tmp_path}"])
    assert ended.value.code == 1 and "sweep's folder" in capsys.readouterr().err
    assert not list(sweep.glob("records.jsonl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=nowhere"], "output is not set"),
        (["output=x"], "sweep is not set"),
        (["rows=*-0"], "sweep is not set"),
        (["replace=true"], "sweep is not set"),
        (["sweep=nowhere", "output=x"], "holds no record"),
        (["records=nowhere"], "no such folder"),
        (["sweeps=x"], "did you mean"),
    ],
)
def test_bad_input_ends_with_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        collect.main(words)
    assert ended.value.code == 1
    assert said in capsys.readouterr().err

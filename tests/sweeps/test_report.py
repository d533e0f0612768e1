import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from src.sweeps.sweep import SweepTable, report, swept_layers

from src.errors import UserError
from src.results.result import RECORD, SchemaError
from src.sweeps import sweep
from src.sweeps.export import to_csv, to_markdown
from src.sweeps.rendering import render
from src.sweeps.status import write_failure, write_status
from tests.helpers.records import make_four


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return make_four(tmp_path)


def test_a_status_is_one_of_three(tmp_path):
    with pytest.raises(ValueError, match="done, skipped, failed"):
        write_status(tmp_path, "finished")


def test_report_prints_and_leaves_both_files(four, capsys):
    comparison = report(four)
    table, _, hint = capsys.readouterr().out.rpartition("Which pooling to use")
    assert table == render(comparison) and f"experiments.report records={four}" in hint
    assert (four / "comparison.csv").read_text() == to_csv(comparison)
    assert (four / "comparison.md").read_text() == to_markdown(comparison)


def test_both_files_are_there_before_anything_is_printed(four, monkeypatch):
    class Gone:
        def isatty(self):
            return False

        def write(self, text):
            raise OSError("nobody reads")

    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(OSError, match="nobody reads"):
        report(four)
    assert (four / "comparison.csv").is_file() and (four / "comparison.md").is_file()


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        (["layer=0,-1"], (0, -1)),
        (["layer=range(1,4)", "pooling=cls"], (1, 2, 3)),
        (["layer=0,1", "layer=choice(2,3)"], (2, 3)),
        (["layer=0,1", "layer=2"], ()),
        (["layer=0,x"], (0,)),
        (["pooling=cls,mean"], ()),
    ],
)
def test_the_layers_of_a_sweep_are_those_of_its_last_word_on_them(words, layers):
    assert swept_layers(words) == layers


def test_a_sweep_begins_with_its_layers_whoever_names_them(monkeypatch):
    monkeypatch.setattr(sweep, "plan", lambda config: None)
    config = {"sweeper": {"params": {"layer": "0,1"}}, "overrides": {"task": ["pooling=cls"]}}
    SweepTable().on_multirun_start(OmegaConf.create({"hydra": config}))
    assert sweep.LAYERS == (0, 1)
    config["sweeper"]["params"] = None
    SweepTable().on_multirun_start(OmegaConf.create({"hydra": config}))
    assert sweep.LAYERS == ()


def test_an_empty_sweep_says_so(tmp_path, capsys):
    report(tmp_path)
    assert capsys.readouterr().out == "0 done, 0 skipped, 0 failed\n"


def test_the_callback_keeps_the_comparison_for_the_door(four, capsys):
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(four)}}})
    write_failure(four / "8", ["a=1"], "bad", "user")
    SweepTable().on_multirun_end(config)
    assert sweep.LAST is not None
    assert len(sweep.LAST.failed) == 1
    assert sweep.ERROR is None
    (four / "0" / RECORD).write_text(json.dumps(json.loads((four / "0" / RECORD).read_text()) | {"schema": 9}))
    SweepTable().on_multirun_end(config)
    assert sweep.LAST is None
    assert isinstance(sweep.ERROR, SchemaError)


def test_a_sweep_folder_that_cannot_be_written_is_the_users_error(four, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device\. Set hydra\.sweep\.dir"):
        report(four)

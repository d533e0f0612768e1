"""The command writes a bundle and the manifest, and refuses bad input with a line."""

from __future__ import annotations

import json

import pytest

from experiments import collect
from experiments.manifest import MANIFEST


def test_the_command_writes_the_bundle_and_the_manifest(sweep, tmp_path, capsys):
    folder = tmp_path / "records"
    collect.main([f"sweep={sweep}", f"output={folder / 'poolings' / 'tiny'}", f"records={folder}"])
    assert "4 runs" in capsys.readouterr().out
    assert len(json.loads((folder / MANIFEST).read_text())["bundles"]["poolings/tiny"]["runs"]) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=nowhere"], "output is not set"),
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

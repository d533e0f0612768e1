"""Options of the benchmark are checked before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import benchmark


@pytest.mark.parametrize(
    "word",
    ["rows=-1", "base_rows=-1", "probe_rows=1", "jobs=-1", "fits=-1", "workers=0", "model.path=nowhere", "output=."],
)
def test_a_value_that_cannot_be_measured_is_refused(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["part=encoder", "data_root=data", f"model.path={tmp_path}", word])
    assert ended.value.code == 1 and word in capsys.readouterr().err

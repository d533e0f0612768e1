"""A bar is met, missed or unmeasured, and a missed one fails the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import benchmark
from experiments.benchmarks import bars, encoder, probe, startup
from experiments.benchmarks.bars import Bar

EXTRACTION = encoder.Figures(
    "SST-2", 3, 2, 9, [1.0, 2.0, 3.0], {"first": [2.0, 5.0, 5.0], "second": [1.5, 2.5, 3.5]}, {}, None,
    {"product": 8.0}, "product", 8.0, 2.0, 0.0,
)  # fmt: skip
PROBE = probe.Figures(2, 10, 4, 1.0, 2.0, [0.5, 0.4, 0.3], 0.4, 1e-12, (0.1, 0.1), [])
STARTED = startup.Figures([1.0, 3.0, 1.2], 10, 20.0, 3.0)


def test_verdicts() -> None:
    assert Bar("a", 0.6, 0.6).verdict == "met" and Bar("a", 0.6, 0.61).verdict == "missed"
    bar = Bar("a", 0.6, None, "no units")
    assert bar.verdict == "unmeasured" and bar.record()["verdict"] == "unmeasured" and "no units" in bar.line()


def test_extraction_is_held_against_its_peer_and_the_quickest_one() -> None:
    found = list(bars.encoder_bars([EXTRACTION], [0.45]))
    assert [(each.value, each.verdict) for each in found] == [(0.5, "missed"), (0.8, "met"), (None, "unmeasured")]
    assert found[1].reason == "second"
    mixed = list(bars.encoder_bars([replace(EXTRACTION, mixed=[0.5, 1.0, 1.5])], [0.6]))[-1]
    assert mixed.value == 0.25 and mixed.verdict == "met"
    assert not list(bars.encoder_bars([], []))


def test_the_probe_and_whole_commands_have_bars() -> None:
    assert [each.value for each in bars.probe_bars([PROBE])] == [0.4, 1e-12]
    assert [each.value for each in bars.startup_bars(STARTED)] == [0.15, 1.2]
    assert [each.verdict for each in bars.startup_bars(startup.Figures([2.0]))] == ["unmeasured", "missed"]


def test_the_command_writes_figures_and_bars_and_fails_if_one_is_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(encoder, "run", lambda *_: [EXTRACTION, EXTRACTION])
    monkeypatch.setattr(probe, "run", lambda rows: [PROBE])
    monkeypatch.setattr(startup, "run", lambda *_: STARTED)
    output = tmp_path / "figures.json"
    words = ["data_root=data", f"model.path={tmp_path}", f"output={output}"]
    benchmark.main(words)
    written = json.loads(output.read_text())
    assert set(written) == {"encoder", "probe", "startup", "bars", "load_average", "provenance"}
    assert {each["verdict"] for each in written["bars"]} == {"met", "unmeasured"}
    assert written["encoder"][0]["product"] == "product" and written["startup"]["ratio"] == 0.15
    printed = capsys.readouterr().out
    assert str(written["provenance"]["cpu"]) in printed and printed.count("met ") == len(written["bars"]) - 1
    monkeypatch.setattr(probe, "run", lambda rows: [replace(PROBE, ratios=[0.9, 0.9, 0.9])])
    with pytest.raises(SystemExit) as ended:
        benchmark.main(words)
    assert ended.value.code == 1 and "missed" in capsys.readouterr().out


def test_an_output_without_a_folder_is_refused_before_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["part=probe", f"output={tmp_path}/none/figures.json"])
    assert "output=" in capsys.readouterr().err

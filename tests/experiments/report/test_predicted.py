"""A report says which predictions held for the sweep's encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.report.html import to_html
from experiments.report.markdown import to_markdown
from src.errors import UserError
from tests.experiments.report.conftest import composed, missed, sweep

FILE = """model: bert-base-uncased
predictions:
  - {id: held, task: tiny, contrast: [mean, cls], sign: higher, lower: 2, upper: 8}
  - {id: turned, task: tiny, contrast: [cls, mean], sign: lower, lower: -8, upper: -2}
  - {id: wrong, task: tiny, contrast: [mean, cls], sign: lower, lower: -8, upper: 0}
  - {id: absent, task: trec, contrast: [mean, cls], sign: higher, lower: 2, upper: 8}
  - {id: alone, stratum: single texts, contrast: [mean, cls], sign: higher, lower: 2, upper: 8}
"""
OUTCOMES = {"held": "held", "turned": "held", "wrong": "did not hold"}


def test_each_prediction_gets_its_outcome(question: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(FILE)
    report = composed(question, predictions=str(tmp_path / "own.yaml"))
    assert report.predicted is not None
    outcomes = {row[0].text: row[-1].text for row in report.predicted.table.rows}
    assert outcomes.items() >= OUTCOMES.items()
    assert outcomes["absent"].startswith("not tested: ") and outcomes["alone"].startswith("not tested: ")
    found = {row[0].text: row[4].value for row in report.predicted.table.rows}
    assert found["held"] == -(found["turned"] or 0) == pytest.approx(0.05)
    assert "compared with checkpoint: 2 held, 1 did not hold, 2 not tested" in report.predicted.sentence
    assert report.predicted.sentence in to_html(report) and "## Predictions" in to_markdown(report)


def test_the_committed_predictions_are_for_their_encoder_alone(question: Path, tmp_path: Path) -> None:
    assert composed(question).predicted is None
    sweep(tmp_path / "base", {"cls": missed(1000), "mean": missed(800)}, model="bert-base-uncased", dataset="trec")
    predicted = composed(tmp_path / "base").predicted
    assert predicted is not None and predicted.sentence.startswith("Of ")
    assert {row[0].text: row[-1].text for row in predicted.table.rows}["trec-mean"] == "held"


def test_records_of_several_encoders_need_the_name_of_one(question: Path, tmp_path: Path) -> None:
    sweep(question, {"cls": missed(1000), "mean": missed(800)}, model="other")
    (tmp_path / "own.yaml").write_text(FILE)
    with pytest.raises(UserError, match="checkpoint, other"):
        composed(question, predictions=str(tmp_path / "own.yaml"))
    (tmp_path / "own.yaml").write_text(FILE.replace("bert-base-uncased", "other"))
    predicted = composed(question, predictions=str(tmp_path / "own.yaml")).predicted
    assert predicted is not None and {row[0].text: row[-1].text for row in predicted.table.rows}["held"] == "held"

"""Predictions are read strictly, and a difference is judged by its interval, sign and size."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.paper.predictions_page import predictions_page
from experiments.predictions import FAILED, HELD, INCONCLUSIVE, Prediction, read_predictions
from src.config.paths import CONF
from src.errors import UserError
from src.evaluation.differences import Difference

GOOD = "{id: one, task: trec, contrast: [pooler, cls], sign: lower, lower: -8, upper: -1}"


def found(value: float | None, spread: float = 0.01, spread90: float = 0.008) -> Difference:
    """A difference in fractions with symmetric intervals."""
    if value is None:
        return Difference(None, None, None, None, None, None, "undefined")
    return Difference(value, value - spread, value + spread, value - spread90, value + spread90, 0.5, "")


def prediction(sign: str, lower: float, upper: float) -> Prediction:
    return Prediction("one", "", "trec", "pooler", "cls", sign, lower, upper)


@pytest.mark.parametrize(
    ("sign", "lower", "upper", "difference", "outcome"),
    [
        ("lower", -8, -1, found(-0.04), HELD),
        ("lower", -8, -1, found(-0.04, spread=0.05), INCONCLUSIVE),  # the sign is not shown
        ("lower", -8, -1, found(-0.085), INCONCLUSIVE),  # the size is not
        ("lower", -8, -1, found(-0.12), FAILED),
        ("lower", -8, 0, found(0.02), FAILED),
        ("higher", 1, 8, found(0.05), HELD),
        ("higher", 0, 8, found(-0.02), FAILED),
        ("none", -2, 2, found(0.005), HELD),
        ("none", -2, 2, found(0.015), INCONCLUSIVE),
        ("none", -2, 2, found(0.05), FAILED),
        ("none", -2, 2, found(None), INCONCLUSIVE),
    ],
)
def test_a_difference_is_judged(sign: str, lower: float, upper: float, difference: Difference, outcome: str) -> None:
    assert prediction(sign, lower, upper).judge(difference) == outcome


def test_options_choose_among_settings() -> None:
    one = Prediction("one", "", "trec", "a", "b", "none", -1, 1, options={"probe.features": "none"})
    assert one.fits({"dataset": "trec"}) and one.fits({"probe.features": "none"})
    assert not one.fits({"probe.features": "whiten"})


def write(folder: Path, *entries: str) -> Path:
    path = folder / "predictions.yaml"
    path.write_text("model: tiny\npredictions:\n" + "".join(f"  - {each}\n" for each in entries))
    return path


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (GOOD.replace("task: trec", "task: trec, stratum: similarity"), "'stratum'"),
        (GOOD.replace("task: trec, ", ""), "'task'"),
        (GOOD.replace("task: trec", "stratum: pairs"), "pairs read together"),
        (GOOD.replace("pooler", "poler"), "poler"),
        (GOOD.replace("[pooler, cls]", "pooler"), "contrast=pooler"),
        (GOOD.replace("sign: lower", "sign: less"), "higher, lower, none"),
        (GOOD.replace("-8", "-0.5"), "lower is below upper"),
        (GOOD.replace("upper: -1", "upper: 1"), "upper <= 0"),
        (GOOD.replace("upper: -1", "upper: much"), "much"),
        (GOOD.replace("id: one, ", ""), "'id'"),
        (GOOD.replace("id: one", "id: one, size: 3"), "'size'"),
        ("7", "number 1"),
        (GOOD.replace("task: trec", "task: [trec]"), "task="),
        (GOOD.replace("id: one", "id: {one: two}"), "id="),
        (GOOD.replace("id: one", "id: one, options: none"), "options=none"),
    ],
)
def test_an_entry_that_is_not_allowed_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_predictions(write(tmp_path, entry))


@pytest.mark.parametrize("content", ["", "a: [", "predictions: 3", "- 1"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "predictions.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"predictions\.yaml"):
        read_predictions(path)


def test_two_entries_of_one_id_are_refused(tmp_path: Path) -> None:
    assert len(read_predictions(write(tmp_path, GOOD)).found) == 1
    with pytest.raises(UserError, match="id=one"):
        read_predictions(write(tmp_path, GOOD, GOOD))


def test_the_committed_predictions_are_about_known_tasks_and_stand_on_their_page() -> None:
    committed = read_predictions()
    assert committed.model == "bert-base-uncased" and f"model={committed.model}" in committed.command
    tasks = {path.stem for path in (CONF / "dataset").glob("*.yaml")}
    assert all(each.stratum or each.task in tasks for each in committed.found)
    page = predictions_page(committed, {"cpu": 1.5, "encode": 0.5, "probes": 1.0})
    assert committed.command in page and all(f"| {each.id} |" in page for each in committed.found)

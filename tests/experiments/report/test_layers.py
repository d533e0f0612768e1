"""Of several layers one is chosen with its pooling, and the report says how; layers are not tested one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.report.charts import LayersChart, part_charts, report_charts, unit_of_metric
from experiments.report.document import Part
from experiments.report.html import to_html
from experiments.report.markdown import to_markdown
from tests.experiments.report.conftest import composed, missed, sweep
from tests.helpers.records import make_result


def run(folder: Path, layer: int, misses: dict[str, int], losses: dict[str, float | None], **changes: Any) -> None:
    """Add the runs of a layer, each with the loss on the rows that chose its penalty."""
    for pooling, count in misses.items():
        loss = losses.get(pooling)
        grid = [{"value": 0.01, "loss": loss, "converged": True}] if loss else []
        chosen = {**make_result().chosen, "grid": grid, "loss": loss, "constant_loss": 0.69, "constants": [[0.5, 0.5]]}
        sweep(folder, {pooling: missed(count)}, layer=layer, chosen=chosen, **changes)


def made(folder: Path, **changes: Any) -> Part:
    (part,) = composed(folder, **changes).parts
    return part


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """Two layers: the mean of layer 2 has the best test score, that of layer 1 the lowest loss."""
    run(tmp_path, 1, {"cls": 1000, "mean": 800}, {"cls": 0.6, "mean": 0.4})
    run(tmp_path, 2, {"cls": 900, "mean": 700}, {"cls": 0.55, "mean": 0.5})
    return tmp_path


def test_the_loss_of_the_selection_rows_chooses(layers: Path) -> None:
    part = made(layers)
    assert part.layers is not None and part.layers.by_loss and part.layers.scores == 4
    assert part.verdict.use == "mean, layer 1" and part.title == "tiny"
    assert part.verdict.sentence.startswith("Use mean at layer 1, 80.0 %")
    assert "not by test scores" in part.verdict.sentence
    assert "mean at layer 2, 82.5 %" in part.verdict.more[0] and "upper estimate" in part.verdict.more[0]
    assert any("Within layer 1: " in line and "over cls" in line for line in part.verdict.more)
    assert part.section.runs[0].result.layer == 1


def test_trivial_predictions_that_are_as_good_stand_in_the_verdict(tmp_path: Path) -> None:
    baseline = {"constant": 0.5, "bag_of_word_pieces": 0.51}
    run(tmp_path, 1, {"cls": 1990, "mean": 1995}, {"cls": 0.4, "mean": 0.5}, baseline=baseline)
    run(tmp_path, 2, {"cls": 1000, "mean": 1990}, {"cls": 0.6, "mean": 0.5}, baseline=baseline)
    (sentence,) = (part.verdict.sentence for part in composed(tmp_path).parts)
    assert sentence.startswith("Use cls at layer 1") and "bag of word pieces scores better than it" in sentence
    assert "not shown to beat one constant answer (50.0)" in sentence


def test_within_the_layer_the_chosen_pooling_alone_is_compared(tmp_path: Path) -> None:
    run(tmp_path, 1, {"cls": 1000, "mean": 800, "pooler": 1000}, {"cls": 0.3, "mean": 0.4, "pooler": 0.4})
    run(tmp_path, 2, {"cls": 900}, {"cls": 0.55})
    part = made(tmp_path)
    (within,) = (line for line in part.verdict.more if "Within layer 1: cls" in line)
    assert part.verdict.use == "cls, layer 1" and "worse than mean (-5.0" in within and "pooler" in within
    assert not any("use mean" in line for line in part.verdict.more)


def test_without_losses_test_scores_choose_and_the_report_says_so(tmp_path: Path) -> None:
    run(tmp_path, 1, {"cls": 1000, "mean": 800}, {}, probe="knn")
    run(tmp_path, 2, {"cls": 900, "mean": 700}, {}, probe="knn")
    part = made(tmp_path)
    assert part.verdict.use == "mean, layer 2" and "by these test scores" in part.verdict.sentence
    assert "upper estimate" in part.verdict.sentence


def test_a_random_projection_is_not_chosen(layers: Path) -> None:
    run(layers, 2, {"random_pooler": 100}, {"random_pooler": 0.1})
    part = made(layers)
    assert part.verdict.use == "mean, layer 1"


def test_each_layer_is_in_the_table_and_the_figure_and_in_no_verdict(layers: Path) -> None:
    report = composed(layers)
    (part,) = report.parts
    assert part.by_layer is not None and [row[0].text for row in part.by_layer.rows] == ["1", "2"]
    assert [cell.text.endswith("(chosen)") for row in part.by_layer.rows for cell in row[1:]].count(True) == 1
    assert len(report.overview.rows) == 1
    chart = next(each for each in report_charts(report) if isinstance(each, LayersChart))
    assert chart.layers == (1, 2) and chart.chosen == ("mean", 1) and set(chart.series) == {"cls", "mean"}
    html, markdown = to_html(report), to_markdown(report)
    assert html.count('class="ring"') == 2 and "cls at layer 2 77.5 %" in html  # in the plot and in its legend
    assert "| 1 | 75.0 %" in markdown


def test_claims_over_tasks_are_made_at_the_last_layer(layers: Path) -> None:
    run(layers, 1, {"cls": 1000, "mean": 800}, {"cls": 0.6, "mean": 0.4}, dataset="other")
    run(layers, 2, {"cls": 900, "mean": 700}, {"cls": 0.55, "mean": 0.5}, dataset="other")
    report = composed(layers)
    assert [setting.label["layer"] for setting, *_ in report.across] == ["2"]
    (sentence,) = report.over_layers
    assert sentence.startswith("single texts: over 2 tasks mean at layer 1 is the best of 4 ")
    assert "removes 42.0 % of the" in sentence
    assert sentence.partition("constant")[0] in to_html(report) and sentence.partition("D²")[0] in to_markdown(report)


def test_a_task_that_cannot_answer_is_greyed_and_recommends_nothing(tmp_path: Path) -> None:
    run(tmp_path, 1, {"cls": 1000, "mean": 800}, {"cls": 0.68, "mean": 0.67})
    run(tmp_path, 2, {"cls": 900, "mean": 700}, {"cls": 0.68, "mean": 0.68})
    report = composed(tmp_path)
    (part,) = report.parts
    assert part.fails and part.verdict.use == "" and "1.4 % of the constant's loss" in part.verdict.sentence
    assert report.overview.rows[0][0].text == "tiny (too little decoded)" and report.overview.faded == {0}
    assert all(chart.faded for chart in part_charts(part.section, part.layers, "x", faded=part.fails))
    html = to_html(report)
    assert '<tr class="faded">' in html and 'class="failed"' in html and 'class="ring"' not in html


def test_correlations_are_not_percent() -> None:
    assert unit_of_metric("f1").endswith(", %") and "%" not in unit_of_metric("mcc") + unit_of_metric("spearman")

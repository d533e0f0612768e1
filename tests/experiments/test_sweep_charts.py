"""What the W&B run of a sweep shows: tables, scores by layer, figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.sweep_charts import MOST_PANELS, figures, layer_history, tables
from src.sweeps.comparison import Comparison, compare_records
from src.sweeps.jobs import find_jobs
from tests.helpers.records import job, make_four, wrong


@pytest.fixture
def by_layer(tmp_path: Path) -> Comparison:
    """A sweep of two models with two layers and two poolings; one score is undefined."""
    number = 0
    for model in ("small", "large.v1"):
        for layer in (2, 1):
            for pooling in ("cls", "mean"):
                undefined = {"value": None} if (model, layer, pooling) == ("small", 1, "cls") else {}
                job(tmp_path, number, wrong(20 * number + 5), model=model, layer=layer, pooling=pooling, **undefined)
                number += 1
    return compare_records(find_jobs(tmp_path))


def test_layers_are_steps_in_ascending_order_with_bounds(by_layer: Comparison) -> None:
    history = layer_history(by_layer)
    assert list(history) == [1, 2] and [values["layer"] for values in history.values()] == [1, 2]
    scores = {run.result.pooling: run.result.score for group in by_layer.groups for run in group.runs
              if (run.result.model, run.result.layer) == ("large.v1", 2)}  # fmt: skip
    for pooling, score in scores.items():
        curve = f"layers/tiny_accuracy_model_large_v1/{pooling}"
        found = [history[2][f"{curve}{bound}"] for bound in ("", "_low", "_high")]
        assert found == [score["value"], score["low"], score["high"]]
    assert "layers/tiny_accuracy_model_small/cls" in history[2]
    assert not [name for name in history[1] if name.startswith("layers/tiny_accuracy_model_small/cls")]


def test_a_sweep_of_one_layer_has_no_curves(tmp_path: Path) -> None:
    assert layer_history(compare_records(find_jobs(make_four(tmp_path)))) == {}


def test_differences_name_layer_and_model_and_no_two_rows_are_alike(tmp_path: Path) -> None:
    number = 0
    for model in ("small", "large"):
        for layer in (1, 2):
            for pooling, misses in (("cls", 40), ("mean", 60)):
                job(tmp_path, number, wrong(misses + number), model=model, layer=layer, pooling=pooling)
                number += 1
    columns, rows = tables(compare_records(find_jobs(tmp_path)))["differences"]
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert {(row["model"], row["layer"]) for row in found} == {("small", 1), ("small", 2), ("large", 1), ("large", 2)}
    assert len({row["contrast"] for row in found}) == len(found) == 4
    assert {row["pair"] for row in found} == {"mean - cls"}
    assert all(row["low"] <= row["difference"] <= row["high"] < 0 for row in found)


def test_the_comparison_names_groups_and_panels(by_layer: Comparison) -> None:
    columns, rows = tables(by_layer)["comparison"]
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert len({row["group"] for row in found}) == 4 and len({row["panel"] for row in found}) == 2
    assert all(f"layer={row['layer']:g}" in row["group"] and "layer" not in row["panel"] for row in found)


def test_figures_have_a_panel_per_group(by_layer: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    drawn = {}

    def save(figure, path: Path) -> list[Path]:
        drawn[path.name] = [axis.get_title().replace("\n", " ") for axis in figure.axes if axis.axison]
        return [path]

    monkeypatch.setattr("experiments.paper.figures.registry.save", save)
    assert set(figures(by_layer, tmp_path)) == {"scores", "layers"}
    assert sorted(drawn["scores"]) == sorted(
        f"tiny accuracy model={model} layer={layer}" for model in ("small", "large.v1") for layer in (1, 2)
    )
    assert sorted(drawn["layers"]) == ["tiny accuracy model=large.v1", "tiny accuracy model=small"]


def test_of_too_many_groups_the_last_layers_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    for layer in range(MOST_PANELS + 1):
        job(tmp_path, layer, wrong(layer + 1), layer=layer)
    titles: list[str] = []
    monkeypatch.setattr(
        "experiments.paper.figures.registry.save",
        lambda figure, path: titles.extend(axis.get_title() for axis in figure.axes) or [path],
    )
    figures(compare_records(find_jobs(tmp_path)), tmp_path)
    assert [title.replace("\n", " ") for title in titles] == [f"tiny accuracy layer={MOST_PANELS}", "tiny accuracy"]

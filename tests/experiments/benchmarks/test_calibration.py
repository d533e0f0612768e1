"""Tests of the calibration: populations with stated values, rates within limits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks import calibration, populations, simulations, unit_simulations
from experiments.benchmarks.calibration import FIELDS, LIMITS, measure, note
from experiments.benchmarks.simulations import ROWS
from src.evaluation.estimates import evaluate
from src.evaluation.metrics import metrics
from src.evaluation.proportions import kappa

COMMITTED = Path(__file__).resolve().parents[3] / "experiments" / "records" / "simulation.csv"


@pytest.mark.parametrize(
    "metric, prior", [("accuracy", (0.5, 0.5)), ("mcc", (0.33, 0.67)), ("macro_f1", (0.5, 0.3, 0.2))]
)
@pytest.mark.parametrize("difference", [0.0, 0.05])
def test_a_table_has_the_requested_difference(metric: str, prior: tuple[float, ...], difference: float) -> None:
    cells = populations.table_with_difference(metric, prior, [0.7] * len(prior), difference)
    a, b = populations.true_values(metric, cells)
    assert a - b == pytest.approx(difference, abs=1e-9) and cells.sum() == pytest.approx(1) and (cells >= 0).all()
    assert cells.sum(axis=(1, 2)) == pytest.approx(prior)
    data = populations.draw(np.random.default_rng(0), cells, 200_000)
    measured = [evaluate(metric, data[0], side, classes=len(prior), resamples=20).value for side in data[1:]]
    assert measured == pytest.approx((a, b), abs=0.01)
    agreement = kappa(*data[1:], classes=len(prior))
    assert agreement is not None and agreement[0] == pytest.approx(populations.cohen_kappa(cells.sum(axis=0)), abs=0.01)


def test_shared_raises_the_agreement() -> None:
    apart, together = (
        populations.joint_table((0.5, 0.5), (0.8, 0.8), (0.8, 0.8), shared=shared) for shared in (0.0, 1.0)
    )
    assert apart.sum(axis=0)[0, 0] < together.sum(axis=0)[0, 0] and populations.cohen_kappa(
        together.sum(axis=0)
    ) == pytest.approx(1)


def test_normal_targets_have_the_requested_correlations() -> None:
    found = np.corrcoef(populations.draw_normal(np.random.default_rng(0), 200_000, 0.7, 0.65))
    assert found[0, 1:] == pytest.approx((0.7, 0.65), abs=0.01) and found[1, 2] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_fifths_have_the_computed_correlation(metric: str) -> None:
    y, a, _ = populations.draw_normal(np.random.default_rng(0), 100_000, 0.77, 0.7)
    measured = metrics[metric].function(populations.round_to_fifths(y), a, np.ones((1, len(y))))[0]
    assert measured == pytest.approx(populations.true_correlation_of_fifths(metric, 0.77), abs=0.003)


@pytest.mark.parametrize("means", [simulations.SETS[2:3], simulations.SETS])
def test_sets_have_the_computed_correlation(means: tuple[tuple[float, float], ...]) -> None:
    data, set_ids = simulations.draw_sets(np.random.default_rng(0), 100_000, (0.6, 0.57), means)
    assert len(np.unique(set_ids)) == len(means)
    for correlation, side in zip((0.6, 0.57), data[1:], strict=True):
        measured = metrics["spearman"].function(data[0], side, np.ones((1, 100_000)))[0]
        assert measured == pytest.approx(populations.true_spearman_of_sets(correlation, means), abs=0.006)


def test_a_fast_run_keeps_the_rates_and_is_seeded() -> None:
    chosen = [
        number
        for number, one in enumerate(simulations.simulations())
        if one.rows == 250 and one.metric in ("accuracy", "f1")
    ]
    rows = [row for number in chosen for row in measure(number, 120, 0)]
    for row in rows:
        low, high = LIMITS[row["quantity"]]
        slack = 3.3 * np.sqrt(0.05 * 0.95 / 120)
        assert low - slack <= row["measured"] <= high + slack and list(row) == list(FIELDS)
    assert measure(chosen[0], 120, 0) == rows[: len(measure(chosen[0], 1, 0))] and measure(
        chosen[0], 120, 1
    ) != measure(chosen[0], 120, 0)


def test_the_command_writes_every_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [one for one in simulations.simulations() if one.rows == 71 or one.setting.startswith("5 units, skewed")]
    monkeypatch.setattr(calibration, "simulations", lambda: few)
    calibration.main([f"output={tmp_path}/rates.csv", "trials=1"])
    rows = read(tmp_path / "rates.csv")
    assert {row["metric"] for row in rows} == {
        "accuracy",
        "D2",
        "kappa",
        "f1",
        "mcc",
        "macro_f1",
        "pearson",
        "spearman",
    }
    assert f"{len(rows)} rates" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "words", [["trials=0"], ["trials=many"], ["seed=-1"], ["output=nowhere/at/all.csv"], ["trialz=3"]]
)
def test_a_refusal_names_the_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        calibration.main(words)
    assert ended.value.code == 1 and capsys.readouterr().err.startswith("error: ")


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_committed_rates_are_within_their_limits_or_say_why_not() -> None:
    rows = read(COMMITTED)
    assert list(rows[0]) == list(FIELDS) and {int(row["rows"]) for row in rows} >= set(ROWS)
    assert {(row["quantity"], row["method"]) for row in rows} >= {
        ("type-I error", "McNemar mid-p"), ("type-I error", "paired bootstrap"), 
        ("coverage", "Wilson"), ("coverage", "BCa"), ("coverage", "Newcombe"),
        ("coverage", "paired bootstrap"), ("coverage", "kappa"), ("coverage", "units"),
        ("type-I error", "units"), ("false equivalence",
        "Newcombe"),
        ("false equivalence", "paired bootstrap"),
    }  # fmt: skip
    for row in rows:
        low, high = LIMITS[row["quantity"]]
        measured = float(row["measured"])
        assert row["within"] == ("yes" if low <= measured <= high else "no")
        numbers = {name: float(row[name]) for name in ("measured", "nominal", "error")}
        assert row["note"] == note({**row, **numbers, "rows": int(row["rows"])})
        assert row["within"] == "yes" or row["note"]
        spread = np.sqrt(measured * (1 - measured) / int(row["trials"]))
        assert float(row["error"]) == pytest.approx(spread, abs=1e-6) and int(row["trials"]) >= 1000
        safe = row["quantity"] == "coverage" and measured > high
        if int(row["rows"]) >= 250 and row["within"] == "no" and not safe:
            assert row["note"] != "outside its limits"


def test_the_rates_of_claims_over_units_hold_the_protocols_limits() -> None:
    rows = [row for row in read(COMMITTED) if row["method"] in ("units", "row influences")]
    assert len({row["setting"] for row in rows}) >= 30
    for row in rows:
        measured, slack = float(row["measured"]), 2 * float(row["error"])
        if row["quantity"] == "coverage":
            assert measured >= 0.93 - slack and 0 < float(row["median_width"]) < 0.2
        else:
            assert measured <= 0.06 + slack


@pytest.mark.parametrize("correlations", [False, True])
def test_a_simulated_claim_has_the_stated_effect(correlations: bool) -> None:
    population = unit_simulations.Population((3, 2, 1, 1, 1), 0.0, 0.03, correlations=correlations)
    generator = np.random.default_rng(0)
    values = [[each.value for each in unit_simulations.draw_claim(generator, population)[0]] for _ in range(60)]
    found, truth = unit_simulations.draw_claim(generator, population)
    assert truth == pytest.approx(0.03) and np.mean(values) == pytest.approx(0.03, abs=0.008)
    assert [each.unit for each in found[:6]] == 3 * ["unit 0"] + 2 * ["unit 1"] + ["unit 2"]
    assert (
        np.array_equal(found[0].clusters, found[1].clusters) and not np.isin(found[0].clusters, found[3].clusters).any()
    )
    floor = unit_simulations.Population((1,) * 6, 0.01, floor=6)
    assert all(abs(each.value) < 0.01 for each in unit_simulations.draw_claim(generator, floor)[0])

"""Labels of groups of runs."""

from __future__ import annotations

from src.results.groups import group_labels, group_runs
from src.results.result import Result
from tests.helpers.records import make_result


def test_a_setting_that_records_leave_out_is_labelled_by_its_default() -> None:
    base = make_result()
    probe = base.config.get("probe", {})
    runs = [
        make_result(config={**base.config, "probe": {**probe, **more}})
        for more in ({}, {"similarity": "dot", "shuffled_labels": True, "protocol": {"name": "other"}, "new": 1})
    ]
    labels, _ = group_labels(runs)
    expected = {
        "similarity": ("cosine", "dot"),
        "shuffled_labels": ("false", "true"),
        "protocol.name": ("suite", "other"),
    }
    for name, values in expected.items():
        assert tuple(label[f"probe.{name}"] for label in labels) == values
    assert labels[0]["probe.new"] not in ("1", ""), "no default is known"


def test_runs_are_compared_whatever_their_grids_chose() -> None:
    def tuned(pooling: str, rate: float, grid: list[float]) -> Result:
        probe = {"name": "finetune", "learning_rate": rate, "grid": {"learning_rate": grid}}
        return make_result(pooling=pooling, config={"model": {"weights": "aa"}, "probe": probe})

    rates = [0.0001, 0.001]
    one, other, alone = tuned("cls", 0.001, rates), tuned("mean", 0.0001, rates), tuned("max", 0.001, [0.001])
    assert group_runs([one, other, alone], lambda result: result) == [[one, other], [alone]]

"""The online code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from src.probes.settings import Rows
from src.results.display import result_table
from tests.helpers.protocols import done, fit, make, probe_config, settings


def coded(noise: float, rows: int = 400, classes: int = 2, shuffled: bool = False) -> dict[str, Any]:
    config = replace(probe_config("mdl"), shuffled_labels=shuffled)
    outcome = fit(config, make(rows, classes, noise=noise), {"test": make(seed=1, classes=classes)}, classes)
    return outcome.details["online_code"]  # type: ignore[no-any-return]


def test_easier_labels_have_a_shorter_code() -> None:
    codes = [coded(noise) for noise in (0.3, 2.0, 20.0)]
    assert [code["uniform_bits"] for code in codes] == [400.0] * 3
    assert codes[0]["compression"] > 2 > codes[1]["compression"] > codes[2]["compression"]
    assert coded(0.3, shuffled=True)["compression"] < 1.05, "nothing is learned from shuffled labels"
    assert coded(0.3, classes=3)["uniform_bits"] == pytest.approx(400 * np.log2(3))


def test_the_code_length_is_the_sum_over_the_blocks() -> None:
    config = replace(probe_config("mdl", blocks=[10.0, 50.0]), grid={"alpha": [0.03]})
    train, test = make(200), make(seed=1)
    outcome = fit(config, train, {"test": test}, seed=3)
    order = np.random.default_rng([3, 6]).permutation(200)
    bits = 20.0
    for end, after in ((20, 100), (100, 200)):
        known, block = order[:end], order[end:after]
        mean, scale = train.x[known].mean(axis=0, dtype=np.float64), train.x[known].std(axis=0, dtype=np.float64)
        model = Reference(C=1 / (0.03 * end), tol=1e-10, max_iter=10000).fit(
            (train.x[known] - mean) / scale, train.y[known]
        )
        likely = model.predict_proba((train.x[block] - mean) / scale)[np.arange(len(block)), train.y[block]]
        bits -= np.log2(likely).sum()
    code = outcome.details["online_code"]
    assert code["bits"] == pytest.approx(bits, rel=1e-5)
    assert code["uniform_rows"] == 20 and [block["coded"] for block in code["blocks"]] == [80, 100]
    assert code["compression"] == pytest.approx(200 / bits, rel=1e-5)
    assert [point.rows for point in outcome.curve] == [20, 100, 200]


def test_the_first_block_grows_until_a_probe_can_be_fitted() -> None:
    train = make(300)
    rare = Rows(train.x, (np.arange(300) % 60 == 0).astype(np.int64))
    code = fit(probe_config("mdl"), rare, {"test": make(seed=1)}).details["online_code"]
    order = np.random.default_rng([0, 6]).permutation(300)
    assert rare.y[order[: code["uniform_rows"]]].any()
    assert sum(block["coded"] for block in code["blocks"]) == 300 - code["uniform_rows"]


def test_the_learning_curve_ends_with_the_suite_score(bert: Path, tmp_path: Path, sentences: list[str]) -> None:
    plain = done(settings(bert, tmp_path, *sentences))[1]
    result = done(settings(bert, tmp_path, *sentences, "probe=mdl"))[1].result
    assert result.score == plain.result.score
    assert result.chosen["curve"][-1] == {
        "rows": 120,
        **{name: result.score[name] for name in ("value", "low", "high")},
    }
    assert f"compression {result.chosen['online_code']['compression']:.2f}" in result_table(result)

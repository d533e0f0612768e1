"""The summary of a record in W&B: flat, and with the names that the documentation lists."""

from __future__ import annotations

import json
import re

import pytest

from src.trackers import wandb
from src.trackers.wandb_summary import wandb_history, wandb_summary
from tests.helpers.records import make_result


def test_the_summary_is_flat_and_without_undefined_values():
    flat = wandb_summary(make_result())
    assert flat["score"] == 0.8
    assert flat["score_low"] < flat["score"] < flat["score_high"]
    assert flat["metric/accuracy"] == 0.8
    assert not [name for name in flat if name.startswith("metric/mcc")]
    assert flat["baseline/constant"] == 0.5
    assert flat["baseline/bag_of_word_pieces_high"] == 0.8
    assert (flat["seconds/encode"], flat["seconds/total"], flat["cache"]) == (30.0, 36.0, "miss")
    assert (flat["counts/train"], flat["pooler/status"], flat["key"]) == (1000, "trained", make_result().key)
    assert all(isinstance(value, str | int | float | bool) for value in flat.values())


def test_a_point_of_the_history_holds_the_layer_and_the_scores_that_are_defined():
    point = wandb_history(make_result(layer=3))
    assert point == {
        "layer": 3, "score": 0.8, "score_low": pytest.approx(0.78), "score_high": pytest.approx(0.82),
        "metric/accuracy": 0.8,
    }  # fmt: skip
    assert set(wandb_history(make_result(value=None))) == {"layer"}


def test_the_documentation_lists_all_names_of_a_summary():
    promised = re.findall(r"^summary: (.+?)  ", str(wandb.__doc__), re.MULTILINE)
    names = {name.strip() for line in promised for name in line.split(",") if not name.strip().startswith("_")}
    assert {re.sub("_(low|high)$", "", re.sub("/.*", "/NAME", name)) for name in wandb_summary(make_result())} == {
        re.sub("/PHASE|/status", "/NAME", name) for name in names
    }


def test_pre_training_shows_no_path():
    from experiments.pretrain import Pretraining, shown_settings

    text = json.dumps(shown_settings(Pretraining(text="/home/me/secret books", output="/home/me/secret model")))
    assert "secret" not in text and '"rate"' in text and '"layers"' in text

"""The name of a sweep: its folder's if a user named it, else when it started, its models and datasets."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.sweeps.naming import LONGEST, sweep_name

CONFIG = OmegaConf.create({"model": {"name": "bert-books"}, "dataset": {"name": "demo_sentiment"}})
BY_TIME = Path("multirun/2026-01-31/12-00-00.123456")


@pytest.mark.parametrize(
    ("jobs", "name"),
    [
        ([("pooling=cls",), ("pooling=mean",)], "bert-books demo_sentiment"),
        ([("dataset=rte",), ("dataset=mrpc",), ("dataset=rte",)], "bert-books rte,mrpc"),
        ([("model=google-bert/bert-base-uncased", "dataset=rte")], "bert-base-uncased rte"),
        ([("model=checkpoint", "model.path='/home/me/my model/'", "dataset=files")], "my model files"),
        ([("+dataset=hub", "dataset.hub.path=owner/texts")], "bert-books texts"),
        ([(f"dataset=d{number}",) for number in range(7)], "bert-books d0,d1,d2,d3 +3"),
    ],
)
def test_a_folder_named_by_the_time_gives_time_models_and_datasets(jobs: list[tuple[str, ...]], name: str) -> None:
    assert sweep_name(BY_TIME, jobs, CONFIG) == f"2026-01-31 12-00-00 {name}"


def test_the_users_name_of_a_folder_is_the_name() -> None:
    assert sweep_name(Path("sweeps/first"), [("dataset=rte",)], CONFIG) == "first"
    assert sweep_name(Path("other/12-00-00.123456"), [("dataset=rte",)], CONFIG) == "12-00-00.123456"


def test_a_name_is_as_long_as_wandb_takes() -> None:
    assert len(sweep_name(BY_TIME, [(f"dataset={'x' * 300}",)], CONFIG)) == LONGEST


def test_credentials_are_masked() -> None:
    secret = "hf_" + 34 * "a"
    assert secret not in sweep_name(BY_TIME, [(f"model.path=https://me:{secret}@host/{secret}",)], CONFIG)

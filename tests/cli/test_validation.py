"""Keys and values are checked before anything is read, and become frozen dataclasses."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from src import run
from src.cli.application import register
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import LocalFiles
from src.runtime.logs import log_once
from tests.cli.refusals import Command, assert_refused


@pytest.mark.parametrize(
    ("words", "named"),
    [
        # keys
        ("trackr=none", ["unknown key 'trackr'; did you mean 'tracker'"]),
        ("+new=1", ["unknown key 'new'"]),
        ("dataset.txt=a", ["dataset: unknown key 'txt'; did you mean 'text'"]),
        ("runtime.thread=2", ["runtime: unknown key 'thread'; did you mean 'threads'"]),
        ("probe.grid.alpah=[1.0]", ["probe.grid: unknown key 'alpah'; did you mean 'alpha'"]),
        ("dataset=cola dataset.local.encodng=x", ["dataset.local: unknown key 'encodng'; did you mean 'encoding'"]),
        ("+dataset.hub.nme=x", ["dataset.hub: unknown key 'nme'; did you mean 'name'"]),
        ("hydra.run.dr=x", ["hydra.run: unknown key 'dr'; did you mean 'dir'"]),
        # values
        ("pooling=concat", ["pooling.of=[]", "pooling.of=[cls,mean]"]),
        ("pooling=concat pooling.of=[cls]", ["pooling.of=[cls]"]),
        ("pooling=concat pooling.of=[cls,mean,max,cls_mean]", ["pooling.of=[cls,mean,max,cls_mean]"]),
        ("pooling=concat pooling.of=[cls,maen]", ["unknown pooling 'maen'", "did you mean 'mean'"]),
        ("pooling=concat pooling.of=[cls,concat]", ["unknown pooling 'concat'"]),
        ("pooling=concat pooling.of=[cls,cls]", ["cls is named twice"]),
        ("pooling=concat pooling.of=cls", ["pooling.of: a list"]),
        ("pooling=concat pooling.of=[cls,first_last_mean] layer=1", ["first_last_mean", "layer=1"]),
        ("pooling=concat pooling.of=[cls,pooler] layer=-2", ["'pooler' exists at the last layer"]),
        ("pooling=cls pooling.of=[cls,mean]", ["pooling=concat", "pooling=cls"]),
        ("seed=abc", ["seed: a whole number", "'abc'"]),
        ("seed=-1", ["seed=-1", "at least 0"]),
        ("seed=\x1b[2J", [r"\x1b"]),
        ("pooling='a\u202eb\x07'", [r"unknown pooling 'a\u202eb\x07'"]),
        ("seed=null", ["seed: a whole number"]),
        ("seed=???", ["seed", "Missing"]),
        ("seed=${nowhere}", ["seed", "'nowhere'"]),
        ("layer=x", ["layer: a whole number", "'x'"]),
        ("dataset.classes=abc", ["dataset.classes: a list"]),
        ("dataset.hub=3", ["dataset.hub: a mapping"]),
        ("draws=0", ["draws=0", "at least 1"]),
        ("draws=1001", ["draws=1001", "at most 1,000"]),
        ("dataset.folds=1001", ["dataset.folds=1001", "at most 1,000"]),
        ("probe.resamples=1000001", ["probe.resamples=1000001", "at most 1,000,000"]),
        ("runtime.threads=-1", ["runtime.threads=-1", "at least 1"]),
        ("runtime.progress=maybe", ["runtime.progress: true or false", "'maybe'"]),
        ("runtime.device=gpu", ["unknown runtime.device 'gpu'", "cuda"]),
        ("dataset.metric=acuracy", ["'acuracy'", "did you mean 'accuracy'"]),
        ("dataset.metric=pearson", ["'pearson' is for regression", "Allowed: accuracy"]),
        ("dataset.task=ranking", ["unknown dataset.task 'ranking'", "classification"]),
        ("tracker.mode=of", ["unknown tracker.mode 'of'", "offline"]),
        ("dataset=cola pairing=separate", ["pairing=separate", "cola", "dataset.text_pair"]),
        ("pooling=pooler layer=1 model.path=/nowhere", ["/nowhere"]),
        ("pooling=pooler layer=-2", ["'pooler'", "layer=-2", "pooling=cls"]),
        ("probe=ridge", ["probe=ridge", "probe=logistic"]),
        ("probe.grid.alpha=[]", ["probe.grid", "alpha"]),
        ("+probe.grid.beta=[1]", ["probe.grid.beta", "Known: alpha"]),
        ("probe.grid.alpha=[x]", ["probe.grid.alpha", "'x'"]),
        ("probe=logistic +probe.grid.beta=[1]", ["probe.grid", "beta", "probe.grid.alpha=null"]),
        ("probe=mteb probe.grid.C=[-1]", ["probe.grid.C=null", "+probe.grid.NAME"]),
        ("dataset=mrpc dataset.splits.development=x", ["dataset.splits", "+dataset.splits.development="]),
        ("probe.estimator._target_=os.system", ["os.system", "no estimator"]),
        ("probe.estimator._target_=nowhere.Thing", ["nowhere.Thing", "cannot be found"]),
        ("probe.estimator._target_=collections.OrderedDict", ["collections.OrderedDict", "fit and predict"]),
        ("probe=logistic +probe.estimator.shape=1", ["'shape'", "cannot be made"]),
        ("probe.estimator._target_=sklearn.cluster.KMeans", ["KMeans", "alpha", "n_clusters"]),
        ("probe.estimator._target_=sklearn.linear_model.Ridge", ["sklearn.linear_model.Ridge", "classifier"]),
    ],
)  # fmt: skip
def test_bad_keys_and_values_are_refused(
    run_main: Command, no_forward_pass: None, words: str, named: list[str]
) -> None:
    assert_refused(run_main(run.main, *words.split(" ")), *named)


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def test_a_parsed_configuration_is_frozen_and_has_a_probe() -> None:
    config = parse_config(composed("dataset=cola", "model.path=elsewhere", "dataset.metric=accuracy"))
    for part in (
        config,
        config.model,
        config.dataset,
        config.dataset.hub,
        config.probe,
        config.runtime,
        config.tracker,
    ):
        with pytest.raises(FrozenInstanceError):
            part.name = "other"
    assert isinstance(config.dataset.local, LocalFiles)
    assert (config.probe.name, config.model.name) == ("logistic", "checkpoint")
    assert config.dataset.metrics == ["accuracy", "mcc"]


def test_a_configuration_without_its_schema_is_parsed_alike() -> None:
    found = composed("dataset=stsb", "layer=${seed}", "seed=2", "probe.grid.alpha=3")
    plain = OmegaConf.create(OmegaConf.to_container(found))
    config = parse_config(plain)
    assert config == parse_config(found)
    assert config.layer == 2 and config.probe.grid == {"alpha": [3.0]}


@pytest.mark.parametrize("probe", ["logistic", "ridge", "senteval", "mteb", "cosine", "knn"])
def test_an_unset_value_of_a_probe_is_that_of_its_option(probe: str) -> None:
    words = ["dataset=stsb" if probe in ("ridge", "cosine") else "dataset=mrpc", f"probe={probe}"]
    nulls = [f"probe.{key}=null" for key in ("features", "carve", "resamples", "similarity", "extend_grid")]
    assert parse_config(composed(*words, *nulls)).probe == parse_config(composed(*words)).probe


def test_the_task_of_the_users_own_rows_is_a_way_out(run_main: Command, no_forward_pass: None) -> None:
    pairs = ["dataset.text_pair=b", "probe=cosine"]
    assert_refused(run_main(run.main, "dataset=files", "dataset.test=x.csv", *pairs), "dataset.task=regression")
    assert_refused(run_main(run.main, "dataset=hub", "dataset.hub.path=me/x", *pairs), "dataset.task=regression")
    ended = run_main(run.main, "dataset=mrpc", "probe=cosine")
    assert_refused(ended, "probe=logistic")
    assert "dataset.task" not in ended.err


def test_a_protocol_may_set_the_pairing() -> None:
    assert parse_config(composed("dataset=mrpc")).pairing == "joint"
    assert parse_config(composed("dataset=mrpc", "probe=senteval")).pairing == "separate"
    assert parse_config(composed("dataset=cola", "probe=senteval")).pairing == "joint"


def test_jobs_of_one_process_log_the_pairing_of_a_read_out_once(caplog: pytest.LogCaptureFixture) -> None:
    log_once.cache_clear()
    with caplog.at_level(logging.INFO, "src.cli.validation"):
        for dataset in ("stsb", "sts12", "sick_r"):
            assert parse_config(composed(f"dataset={dataset}", "probe=cosine")).pairing == "separate"
        for words in (["probe=cosine", "pairing=separate"], []):
            parse_config(composed("dataset=stsb", *words))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "probe=cosine" in line and "pairing=separate" in line

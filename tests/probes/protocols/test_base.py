"""Rules that hold for every protocol, and settings that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.config.schema import ProbeConfig
from src.errors import UserError
from src.pipeline.prepare import prepare
from src.probes.protocols.base import get_protocol, protocols
from src.results.display import result_table
from tests.helpers.protocols import composed, done, fit, make, probe_config, settings

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("selection", ["carve", "development", "nested"])
def test_shuffled_labels_score_chance(selection: str) -> None:
    train, test, config = make(600, noise=0.1), make(2000, seed=1, noise=0.1), probe_config("logistic")
    tests = {} if selection == "nested" else {"test": test}
    options = {
        "selection": selection,
        "development": make(200, seed=2) if selection == "development" else None,
        "folds": 4,
    }
    labels = train.y if selection == "nested" else test.y
    real = fit(config, train, tests, **options)
    config = replace(config, shuffled_labels=True)
    shuffled = fit(config, train, tests, **options)
    assert (real.predictions["test"].values == labels).mean() > 0.9
    assert abs((shuffled.predictions["test"].values == labels).mean() - 0.5) < 0.15
    assert not np.array_equal(shuffled.fitted.weight, fit(config, train, tests, seed=1, **options).fitted.weight)


def test_shuffled_labels_change_the_key_and_are_shown(bert: Path, tmp_path: Path, sentences: list[str]) -> None:
    plain = prepare(settings(bert, tmp_path, *sentences))
    shuffled, finished = done(settings(bert, tmp_path, *sentences, "probe.shuffled_labels=true"))
    assert shuffled.key != plain.key
    assert "labels of the training rows were shuffled" in result_table(finished.result)
    assert (finished.predictions["label"] == plain.data.test.label).all(), "test rows keep theirs"


@pytest.mark.parametrize("name", ["senteval", "mteb", "mdl"])
def test_a_protocol_writes_a_complete_record(bert: Path, tmp_path: Path, sentences: list[str], name: str) -> None:
    prepared, finished = done(settings(bert, tmp_path, *sentences, f"probe={name}"))
    result = type(finished.result).from_json(finished.result.to_json())
    finished.write(tmp_path / "out")
    assert result.probe == name and result.config["probe"]["protocol"]["name"] == name
    assert result.score["low"] <= result.score["value"] <= result.score["high"]
    assert finished.predictions["prediction"].shape == ((10, 60) if name == "mteb" else (60,))
    assert prepare(settings(bert, tmp_path, *sentences)).key != prepared.key


def test_default_settings_enter_no_key() -> None:
    assert not {"protocol", "shuffled_labels"} & set(ProbeConfig().as_record())
    assert composed("dataset=cola").probe == composed("dataset=cola", "probe=logistic").probe
    assert composed("dataset=cola", "probe.protocol.name=mdl").probe.as_record()["protocol"] == {"name": "mdl"}


@pytest.mark.parametrize("name", list(protocols))
def test_every_protocol_has_a_docstring_and_defaults(name: str) -> None:
    assert (protocols[name].__doc__ or "").strip()
    assert get_protocol(ProbeConfig(protocol={"name": name}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=sick_r", "probe=senteval"], "probe=senteval"),
        (["dataset=stsb", "probe=mdl"], "probe=mdl"),
        (["dataset=cola", "probe.protocol.name=sentevil"], "did you mean 'senteval'"),
        (["dataset=cola", "probe=mteb", "+probe.protocol.draws=3"], r"'draws'.*samples_per_label"),
        (["dataset=cola", "probe=mteb", "probe.protocol.experiments=1"], "probe.protocol.experiments=1.*2"),
        (["dataset=cola", "probe=mteb", "probe.grid.C=[1,2]"], r"probe\.grid.*probe\.grid\.C="),
        (["dataset=cola", "probe=mdl", "probe.protocol.blocks=[50,10]"], r"probe\.protocol\.blocks=\[50, 10\].*100"),
        (["dataset=cola", "probe=mdl", "probe.protocol.blocks=[a]"], r"probe\.protocol\.blocks=\['a'\].*100"),
        (
            ["dataset=cola", "probe=mteb", "probe.protocol.samples_per_label=some"],
            "probe.protocol.samples_per_label=some.*8",
        ),
        (["dataset=cola", "probe=senteval", "probe.protocol.folds=1"], "probe.protocol.folds=1.*2"),
    ],
)
def test_invalid_settings_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        composed(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probe=senteval", "draws=2"], "draws=2.*Set draws=1"),
        (["probe=mteb", "draws=2"], "draws=2.*probe.protocol.experiments"),
        (["probe=mdl", "dataset.selection=nested", "dataset.test=null"], "probe=mdl.*Leave probe out"),
        (["probe=senteval", "probe.protocol.folds=100"], "100 folds.*probe.protocol.folds"),
    ],
)
def test_settings_that_the_rows_exclude_are_refused(
    bert: Path, tmp_path: Path, sentences: list[str], words: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prepare(settings(bert, tmp_path, *sentences, *words))

"""Jobs that share a composition have the configuration that Hydra composes."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError

from src.sweeps import composition
from src.sweeps.composition import JobComposer

JOBS = [
    ["seed=0", "dataset=mrpc"],
    ["dataset=mrpc", "seed=7"],
    ["seed=7", "pooling=cls", "dataset=mrpc", "layer=-3"],
    ["dataset=files", "dataset.train='a, b=c.csv'", "+dataset.metrics=[f1]", "data_root=${oc.env:HOME}/x", "draws=2"],
    ["probe=senteval", "probe.grid.C=[1,2]", "hydra.sweep.dir=elsewhere", "tracker=none", "tracker.mode=auto"],
    ["probe.protocol={name: mdl}", "hydra.verbose=true", "++model.path=m", "seed=3", "pairing=joint"],
    ["seed=1", "+experiment=demo", "dataset=cola", "tracker.mode=auto"],
    ["~tracker", "seed=1", "layer=2"],
    [
        "probe.grid={alpha: [1]}",
        "probe.grid.alpha=[0.1,2]",
        "probe.carve=0.3",
        "dataset.metric=null",
    ],
    ["probe.carve=0.3", "dataset=mrpc", "model.path='my, model'", 'data_root="${dataset.name}"', "pairing=joint"],
]
REFUSED = [
    ["probe.grdi.C=1"], ["dataset.nmae=a"], ["seed=[1"], ["dataset=nothing"], ["runtime=x"], ["see=1"], ["seed=x"],
]  # fmt: skip


def test_a_job_over_a_shared_composition_is_what_hydra_composes(composed: Any) -> None:
    exclude = "hydra.job.config.override_dirname.exclude_keys=[seed]"
    config = composed("seed=0,1", exclude, "hydra.sweep.subdir=job_${hydra.job.num}")
    loader = GlobalHydra.instance().config_loader()
    composer = JobComposer(loader)
    for _ in range(2):
        for words in JOBS:
            expected = OmegaConf.to_yaml(loader.load_sweep_config(config, words))
            assert OmegaConf.to_yaml(composer.load_sweep_config(config, words)) == expected
    for words in REFUSED:
        with pytest.raises(Exception) as expected_error:
            loader.load_sweep_config(config, words)
        with pytest.raises(type(expected_error.value)) as error:
            composer.load_sweep_config(config, words)
        assert str(error.value) == str(expected_error.value)


def test_a_configuration_can_be_changed_without_changing_the_next(composed: Any) -> None:
    config = composed("seed=0,1")
    composer = JobComposer(GlobalHydra.instance().config_loader())
    first = composer.load_sweep_config(config, ["seed=1"])
    with pytest.raises(ConfigAttributeError):
        first.nothing = 1
    first.model.path = "changed"
    assert composer.load_sweep_config(config, ["seed=1"]).model.path != "changed"


def test_each_choice_of_options_is_composed_once(composed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("seed=0,1")
    loader = GlobalHydra.instance().config_loader()
    calls: list[list[str]] = []
    load = type(loader).load_sweep_config

    def counted(self: Any, master: Any, words: list[str]) -> Any:
        calls.append(words)
        return load(self, master, words)

    kept = 5
    monkeypatch.setattr(composition, "MAX_COMPOSITIONS", kept)
    monkeypatch.setattr(type(loader), "load_sweep_config", counted)
    composer = JobComposer(loader)
    assert [composer.load_sweep_config(config, ["pooling=cls", f"seed={seed}"]).seed for seed in (0, 1)] == [0, 1]
    carved = [composer.load_sweep_config(config, ["pooling=cls", f"probe.carve={carve}"]) for carve in (0.1, 0.2)]
    assert [each.probe.carve for each in carved] == [0.1, 0.2]
    assert calls == [["pooling=cls"]]
    for number in range(kept):
        composer.load_sweep_config(config, [f"hydra.job.name=job{number}"])
    composer.load_sweep_config(config, ["pooling=cls"])
    assert len(calls) == kept + 2


def test_a_composer_that_is_unpickled_again_keeps_its_compositions(composed: Any) -> None:
    config = composed("seed=0,1")
    composer = JobComposer(GlobalHydra.instance().config_loader())
    content = pickle.dumps(composer)
    calls = []
    for seed in (0, 1):
        again = pickle.loads(content)
        again._loader.load_sweep_config = lambda *given, load=again._loader.load_sweep_config: (
            calls.append(given) or load(*given)
        )
        assert again.load_sweep_config(config, [f"seed={seed}"]).seed == seed
    assert len(calls) == 1

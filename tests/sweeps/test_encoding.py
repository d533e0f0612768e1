"""The forward passes that a sweep needs are made before its jobs, each once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import OmegaConf

from src.pipeline.encoding import SplitsEncoder
from src.sweeps.encoding import encode_missing
from src.sweeps.passes import passes


def context() -> HydraContext:
    callbacks: Any = None
    return HydraContext(GlobalHydra.instance().config_loader(), callbacks)


def test_one_pass_serves_all_jobs_that_read_the_same_features() -> None:
    more = ["probe.resamples=200", "runtime.also_layers=[5]"]
    jobs = [
        [f"dataset={dataset}", f"pooling={pooling}", f"layer={layer}", f"seed={seed}", *more]
        for dataset in "ab"
        for pooling in ("cls", "max")
        for layer in (0, 3)
        for seed in (0, 1)
    ]
    words = ["pooling=cls", "layer=0", "runtime.also_layers=[3,5]"]
    assert passes(jobs) == [["dataset=a", *words], ["dataset=b", *words]]


def test_a_probe_may_read_other_texts_but_its_settings_change_no_pass() -> None:
    jobs = [[f"probe={name}", f"probe.features={kind}"] for name in ("ridge", "cosine") for kind in ("none", "whiten")]
    assert passes(jobs) == [["probe=ridge", "pooling=cls"], ["probe=cosine", "pooling=cls"]]


def test_only_missing_passes_are_made(
    planned: Any, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan, config = planned(
        *files, "pooling=cls,mean", "layer=0,-1,9", "runtime.cache_dir=store", "hydra/launcher=joblib"
    )
    encode_missing(plan, context(), config)
    stored = sorted((tmp_path / "store").glob("features/*/*"))
    assert stored
    made: list[object] = []
    monkeypatch.setattr(SplitsEncoder, "encode", made.append)
    encode_missing(plan, context(), config)
    assert not made and sorted((tmp_path / "store").glob("features/*/*")) == stored
    (tmp_path / "test.csv").unlink()  # a job fails with the reason
    encode_missing(plan, context(), config)
    assert not made


def test_passes_that_are_split_are_run_by_the_launcher(
    planned: Any, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    launched: list[list[str]] = []

    def launcher(context: HydraContext, task: Any, config: Any) -> Any:
        def run_all(words: list[list[str]], initial_job_idx: int) -> None:
            launched.extend(words)
            for each in words:
                loaded = context.config_loader.load_sweep_config(config, each)
                task(OmegaConf.masked_copy(loaded, [key for key in loaded if key != "hydra"]))

        return SimpleNamespace(launch=run_all)

    monkeypatch.setattr(Plugins, "instance", lambda: SimpleNamespace(instantiate_launcher=launcher))
    plan, config = planned(
        *files, "pooling=cls,mean", "runtime.cache_dir=store", "runtime.shards=2", "hydra/launcher=slurm"
    )
    encode_missing(plan, context(), config)
    shards = [next(word for word in words if "runtime.shard=" in word) for words in launched]
    assert shards == ["runtime.shard=0", "runtime.shard=1"]
    launched.clear()
    encode_missing(plan, context(), config)
    assert not launched

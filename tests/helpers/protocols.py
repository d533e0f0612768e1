"""Fits and runs of protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.cli.application import register
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config, ProbeConfig
from src.pipeline.prepare import PreparedRun, prepare
from src.pipeline.record import FinishedRun
from src.pipeline.run import run_probe
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import get_protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.run import instantiate


def probe_config(name: str, **changes: Any) -> ProbeConfig:
    """Return a file of conf/probe with changed settings of its protocol."""
    values: Any = OmegaConf.to_container(OmegaConf.load(CONF / "probe" / f"{name}.yaml"))
    values["protocol"] = {**(values.get("protocol") or {"name": "suite"}), **changes}
    return ProbeConfig(**values)


def fit(config: ProbeConfig, train: Rows, tests: dict[str, Rows], classes: int = 2, **options: Any) -> ProbeOutcome:
    """Fit by the probe's protocol; options are fields of the data or of the settings."""
    names = {name: options.pop(name) for name in ("development", "order") if name in options}
    chosen, data = ProbeSettings.from_config(config, **options), ProbeData(train, tests, classes, **names)
    return get_protocol(config).fit(instantiate(config), chosen, data)


def make(rows: int = 160, classes: int = 2, seed: int = 0, noise: float = 2.0) -> Rows:
    """Return rows of noisy linear labels."""
    generator = np.random.default_rng(seed)
    x = (generator.standard_normal((rows, 5)) + 1).astype(np.float32)
    turn = np.random.default_rng(99).standard_normal((5, classes))
    scores = (x - 1) @ turn + noise * generator.gumbel(size=(rows, classes))
    return Rows(x, scores.argmax(axis=1).astype(np.int64))


def composed(*words: str) -> Config:
    """Return the configuration of overrides."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return parse_config(compose("config", list(words)))


def settings(bert: Path | str, tmp_path: Path, *words: str) -> Config:
    """Return the configuration of a run on files of text."""
    common = [
        "dataset=files",
        "dataset.text=text",
        "dataset.label=label",
        "tracker=none",
        "runtime.progress=false",
        "probe.resamples=200",
    ]
    return composed(f"model.path={bert}", f"runtime.cache_dir={tmp_path / 'store'}", *common, *words)


def done(config: Config) -> tuple[PreparedRun, FinishedRun]:
    """Prepare and run."""
    prepared = prepare(config)
    return prepared, run_probe(prepared, instantiate(config.probe))

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from src.cli.application import register
from src.config.paths import CONF
from src.sweeps.plan import SweepPlan, plan_sweep
from tests.helpers.records import make_four


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Folder of a sweep: two datasets under four poolings."""
    return make_four(tmp_path)


@pytest.fixture
def composed() -> Iterator[Callable[..., DictConfig]]:
    """`composed(overrides)` is the configuration of a sweep as a sweeper gets it."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        yield lambda *words: hydra.compose_config(
            "config", list(words), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )


@pytest.fixture
def planned(composed: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., tuple[SweepPlan, DictConfig]]:
    """`planned(overrides)` is the plan of a sweep into the test's folder, and its configuration."""

    def plan(*words: str) -> tuple[SweepPlan, DictConfig]:
        config = composed(f"hydra.sweep.dir={tmp_path / 'sweep'}", *words)
        return plan_sweep(words, config, GlobalHydra.instance().config_loader()), config

    return plan

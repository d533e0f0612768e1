"""The plugins of the suite, where Hydra looks for them."""

from hydra.core.config_store import ConfigStore

from src.cli.hub_models import HubModelSearchPath, HubModelSource
from src.sweeps.sweeper import ProbeSweeper, SweeperConfig

__all__ = ["HubModelSearchPath", "HubModelSource", "PoolingProbesSweeper"]

ConfigStore.instance().store(
    group="hydra/sweeper", name="pooling_probes", node=SweeperConfig, provider="pooling_probes"
)


class PoolingProbesSweeper(ProbeSweeper):
    """`ProbeSweeper` under a name that Hydra instantiates: it takes plugins of this package alone."""

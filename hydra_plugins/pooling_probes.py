"""The sweeper of the suite, where Hydra looks for plugins."""

from hydra.core.config_store import ConfigStore

from src.sweeps.sweeper import ProbeSweeper, SweeperConfig

ConfigStore.instance().store(
    group="hydra/sweeper", name="pooling_probes", node=SweeperConfig, provider="pooling_probes"
)


class PoolingProbesSweeper(ProbeSweeper):
    """`ProbeSweeper` under a name that Hydra instantiates: it takes plugins of this package alone."""

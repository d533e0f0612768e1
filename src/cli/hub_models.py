"""Options ``model=OWNER/NAME`` of the command line: models of the hub, which need no file in conf/."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from src.config.paths import CONF
from src.config.schema import ModelConfig
from src.runtime.hub import is_hub_id

GROUP = "model"


class HubModelSource(ConfigSource):
    """Source of configurations that has ``model/OWNER/NAME`` for every valid id of that form."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of this source in Hydra's search path."""
        return "hubmodel"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the options of the model with an id: its path, as ``model=checkpoint`` takes it."""
        config = OmegaConf.create({"name": ModelConfig.name, "path": _hub_id(config_path)})
        return ConfigResult(self.provider, self.full_path(), config, {"package": GROUP})

    def available(self) -> bool:
        """Return True: no file or network is needed to name a model."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return False: the ids cannot be listed."""
        return False

    def is_config(self, config_path: str) -> bool:
        """Return whether a path is ``model/OWNER/NAME`` with a valid id."""
        return bool(_hub_id(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return no option: the ids cannot be listed."""
        return []


class HubModelSearchPath(SearchPathPlugin):
    """Append the source of hub models to the search path of this suite, and to no other application's."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append `HubModelSource` if the search path holds conf/ of the suite."""
        places = [str(element.path).removeprefix("file://") for element in search_path.get_path()]
        if str(CONF) in places:
            search_path.append(provider="hub models", path=f"{HubModelSource.scheme()}://")


def _hub_id(config_path: str) -> str:
    """Return the id in ``model/OWNER/NAME``, or an empty text if there is no valid one."""
    group, _, name = config_path.partition("/")
    return name if group == GROUP and "/" in name and is_hub_id(name) else ""

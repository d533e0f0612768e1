"""Check that the data of a task are there, without reading or downloading them."""

from __future__ import annotations

from src.config.schema import DatasetConfig
from src.data.hub import check_cached
from src.data.hub_files import check_hub_data
from src.data.official import check_sets, official_files
from src.data.reading.files import expand_home, open_file

OWN_FILES = ("train", "validation", "test")


def check_data(config: DatasetConfig, data_root: str | None) -> None:
    """Check that the data of a task are there.

    A dataset of the hub is looked up in the hub's cache if the hub cannot be reached; else it is
    taken to be there.

    Raises
    ------
    UserError
        A folder or a file is missing, or the hub cannot be reached and its cache lacks the dataset.
    """
    if config.is_hub_only:
        check_hub_data(config)
    elif config.generated is not None:
        return
    elif config.local is None and config.hub.path is None:
        for given in (getattr(config, name) for name in OWN_FILES):
            if given is not None:
                open_file(expand_home(given), given).close()
    elif config.local is not None and data_root is not None:
        if config.local.format == "sts":
            check_sets(config, config.local, data_root)
        else:
            official_files(config, config.local, data_root)
    elif config.hub.path is not None:
        check_cached(config)

"""Check that the data of a task are there, without reading them whole or downloading them."""

from __future__ import annotations

from src.config.schema import DatasetConfig
from src.data.hub import check_cached
from src.data.hub_files import check_hub_data
from src.data.official import check_sets, official_files
from src.data.reading.columns import role_columns
from src.data.reading.files import expand_home, open_file
from src.data.reading.json_lines import surrogates_refused
from src.data.user_files import read_rows
from src.errors import UserError

OWN_FILES = ("train", "validation", "test")


def check_data(config: DatasetConfig, data_root: str | None, *, labels: bool = True) -> None:
    """Check that the data of a task are there.

    A dataset of the hub is looked up in the hub's cache if the hub cannot be reached; else it is
    taken to be there. Of the user's own files the columns and the first row are read.

    Parameters
    ----------
    labels : bool, default True
        Whether the user's own files need a column of labels.

    Raises
    ------
    UserError
        A folder or a file is missing, a file of the user's has no row or lacks a column, or the hub cannot
        be reached and its cache lacks the dataset.
    """
    if config.is_hub_only:
        check_hub_data(config)
    elif config.generated is not None:
        return
    elif config.local is None and config.hub.path is None:
        for given in (getattr(config, name) for name in OWN_FILES):
            if given is not None:
                _check_own_file(config, given, labels)
    elif config.local is not None and data_root is not None:
        if config.local.format == "sts":
            check_sets(config, config.local, data_root)
        else:
            official_files(config, config.local, data_root)
    elif config.hub.path is not None:
        check_cached(config)


def _check_own_file(config: DatasetConfig, given: str, labels: bool) -> None:
    """Raise a UserError if a file cannot be opened, has no row, or lacks a column."""
    path = expand_home(given)
    open_file(path, given).close()
    columns = role_columns(config.text, config.text_pair, config.label if labels else None)
    with surrogates_refused(given):
        if next(iter(read_rows(path, given, list(dict.fromkeys(columns.values())), config.quoting)), None) is None:
            raise UserError(f"'{given}' has no rows.")

"""Load a task from the hub, an official download, the user's files or a generator of texts."""

from __future__ import annotations

from src.config.schema import DatasetConfig
from src.data.assembly import assemble
from src.data.dataset import Dataset
from src.data.generated.tables import read_generated
from src.data.hub import read_hub
from src.data.hub_task import load_hub_task
from src.data.official import read_official, top_folder
from src.data.user_files import load_user_files
from src.errors import UserError

USER_FILE_KEYS = ("train", "validation", "test", "test_fraction", "group")


def load_dataset(config: DatasetConfig, data_root: str | None, *, labels: bool = True) -> Dataset:
    """Read the splits of a task, and check their texts and labels.

    `src.data.checks.check_probe` checks whether a probe can be fitted to them.

    Parameters
    ----------
    config : DatasetConfig
        One file of conf/dataset, with the user's changes.
    data_root : str or None
        A folder in the layout of the official downloads; None reads from the hub. It has no effect
        on the user's own files and on generated tasks.
    labels : bool, default True
        Whether the user's own rows need labels; see `load_user_files`.

    Raises
    ------
    UserError
        A file, split or column is missing, a text is not UTF-8, a label is missing, unknown or
        hidden, or the hub cannot be reached.
    """
    if config.is_hub_only:
        return load_hub_task(config)
    own_files = config.local is None and config.hub.path is None and config.generated is None
    if config.text is None or (config.label is None and (labels or not own_files)):
        raise UserError(
            f"{config.name}: dataset.text and dataset.label name the columns of the text and its label; "
            "both are needed."
        )
    if own_files:
        return load_user_files(config, labels=labels)
    if given := [key for key in USER_FILE_KEYS if getattr(config, key) is not None]:
        raise UserError(f"{config.name}: dataset.{given[0]} is for your own files. Add dataset=files, or leave it out.")
    needed = {"test"} if config.task == "regression" else {"train", "test"}  # scores need no fit
    if missing := needed - set(config.roles):
        raise UserError(f"{config.name}: dataset.splits.{min(missing)} is not set. It names the split for that role.")
    if config.generated is not None:
        tables, source = read_generated(config.generated)
        place = ""
    elif config.local is not None and data_root is not None:
        tables, source = read_official(config, config.local, data_root)
        place = f"{config.local.folder}, "
    elif config.hub.path is not None:
        tables, source = read_hub(config)
        place = f"{config.hub.path}, "
    else:
        raise UserError(f"{config.name} is not on the hub: give data_root=<folder holding {top_folder(config)}/>.")
    places = {name: f"{place}split '{name}'" for name in tables}
    return assemble(config, tables, places, config.roles, config.selection, source)

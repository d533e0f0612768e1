"""Find a dataset of the hub and load it: from a folder, from the hub, or from its caches without a network."""

from __future__ import annotations

import importlib.util
import logging
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.config.schema import DatasetConfig, HubFiles
from src.data.reading.files import expand_home, file_sha256
from src.errors import UserError, flatten
from src.runtime import hub

log = logging.getLogger(__name__)

COMMIT = re.compile("[0-9a-f]{40}")
Check = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class HubData:
    """A dataset of the hub as its library loads it.

    Attributes
    ----------
    splits : mapping
        `datasets.Dataset` by split name; None for a split without rows.
    features : mapping
        Type of each column, an object of the library.
    source : dict
        Provenance, as in `src.data.dataset.Dataset`.
    """

    splits: Mapping[str, Any]
    features: Mapping[str, Any]
    source: dict[str, Any]


def load_hub_data(config: DatasetConfig, check: Check) -> HubData:
    """Load the splits of ``dataset.hub.path``.

    Parameters
    ----------
    config : DatasetConfig
    check : callable
        Gets the types of the columns by name, before the rows are downloaded where the hub states
        them; it may raise a UserError.

    Raises
    ------
    UserError
        There is no such folder or id, the hub cannot be reached and its caches lack the dataset, or
        the dataset cannot be read.
    """
    files, given = config.hub, str(config.hub.path)
    folder = _find_folder(given)
    if folder is not None:
        if files.revision != HubFiles.revision:
            raise UserError(
                f"dataset.hub.revision={files.revision}: dataset.hub.path={given} is a local folder, and folders have "
                "no revision. Leave it out, or run from another folder to read the hub."
            )
        if hub.is_hub_id(given):
            log.info("%s: the folder '%s' here is read, not the hub's dataset of that name", config.name, given)
        return _load_folder(config, folder, check)
    _check_id(given)
    hub.check_revision("dataset.hub.revision", files.revision)
    return _load_id(config, check)


def check_hub_data(config: DatasetConfig) -> None:
    """Check that there is a dataset's folder or, where the hub cannot be reached, a copy in its cache.

    For errors see `load_hub_data`.
    """
    files, given = config.hub, str(config.hub.path)
    if _find_folder(given) is not None:
        return
    _check_id(given)
    if not hub.go_offline_unless_reachable() and _cached_snapshot(given, files.revision) is None:
        load_hub_data(config, lambda _: None)


def _find_folder(given: str) -> Path | None:
    """Return the folder that a path names, None if it names none; an empty path does not name the current one."""
    folder = expand_home(given)
    return folder if given and folder.is_dir() else None


def _check_id(given: str) -> None:
    """Raise a UserError if a path that is no folder is no id of the hub either."""
    if expand_home(given).is_file():
        raise UserError(f"dataset.hub.path={given} is a file. Use dataset=files dataset.train={given}.")
    if hub.looks_like_path(given) or not hub.is_hub_id(given):
        raise UserError(
            f"dataset.hub.path={given} is neither a folder here nor an id of the hub (name or owner/name). For files "
            "of your own, use dataset=files."
        )


def _load_id(config: DatasetConfig, check: Check) -> HubData:
    """Load a dataset by its id."""
    files, path = config.hub, str(config.hub.path)
    online = hub.go_offline_unless_reachable()
    # Of a format, such as csv, the library would read the files of the current folder.
    if path.isidentifier() and importlib.util.find_spec(f"datasets.packaged_modules.{path}"):
        raise UserError(f"dataset.hub.path={path} is a format, not a dataset. Use dataset=files dataset.train=FILE.")
    failure: Exception | None = None
    if online:
        hub.log_request(path)
    try:
        builder = _builder(path, files.name, revision=files.revision)
        commit = builder.hash if COMMIT.fullmatch(str(builder.hash)) else None
        # Without a network the library takes what it has prepared last, whatever the revision.
        if online or files.revision in (HubFiles.revision, commit):
            return HubData(*_prepare(builder, check), _hub_source(config, commit))
    except UserError:
        raise
    except Exception as error:  # the library's errors have no common class
        if online:
            raise _load_error(config, error) from None
        failure = error
    if (snapshot := _cached_snapshot(path, files.revision)) is None:
        if isinstance(failure, ValueError):  # it is in the cache, and several configurations are
            raise _load_error(config, failure)
        raise UserError(
            f"{config.name}: cannot reach the hub, and '{path}' is not in its cache{_configuration(files)}.\n"
            "Connect, or read a folder: dataset.hub.path=FOLDER, dataset=files, or data_root=FOLDER where a dataset "
            "has official files."
        )
    loaded = _load_folder(config, snapshot, check)
    return HubData(loaded.splits, loaded.features, _hub_source(config, snapshot.name))


def _configuration(files: HubFiles) -> str:
    """Return the configuration and revision that were asked for, for a message."""
    named = [f"name {files.name}"] if files.name else []
    named += [f"revision {files.revision}"] if files.revision != HubFiles.revision else []
    return f" ({', '.join(named)})" if named else ""


def _hub_source(config: DatasetConfig, commit: str | None) -> dict[str, Any]:
    named = {"name": config.hub.name} if config.hub.name else {}
    return {"from": "hub", "path": config.hub.path, **named, "revision": commit, "files": {}}


def _cached_snapshot(path: str, revision: str) -> Path | None:
    """Return the folder of a dataset in the hub's cache of files, or None."""
    import huggingface_hub

    try:
        found = huggingface_hub.snapshot_download(path, repo_type="dataset", revision=revision, local_files_only=True)
    except (OSError, ValueError):
        return None
    return Path(found)


def _load_folder(config: DatasetConfig, folder: Path, check: Check) -> HubData:
    """Load a folder in the layout of a dataset of the hub."""
    # Read anew each time: the library's cache does not notice every change of a file.
    with tempfile.TemporaryDirectory(prefix="dataset-") as cache:
        try:
            builder = _builder(str(folder), config.hub.name, cache_dir=cache)
            splits, features = _prepare(builder, check, in_memory=True)
        except UserError:
            raise
        except Exception as error:  # the library's errors have no common class
            raise _load_error(config, error) from None
        named = builder.config.data_files or {}
        paths = sorted({Path(place) for places in named.values() for place in places})
    root = folder.resolve()
    digests = {_relative(path, root): file_sha256(path, path.name) for path in paths}
    source = {"from": "folder", "path": root.name, "revision": None, "files": digests}
    return HubData(splits, features, source)


def _relative(path: Path, root: Path) -> str:
    """Return a file's path below its folder; its name alone, if it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _builder(path: str, name: str | None, **options: Any) -> Any:
    """Return the library's builder of a dataset; scripts of datasets are never run."""
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # what goes wrong is raised too
    return datasets.load_dataset_builder(path, name, **options)


def _prepare(builder: Any, check: Check, *, in_memory: bool = False) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the splits of a builder and the types of their columns."""
    if builder.info.features:
        check(builder.info.features)
    builder.download_and_prepare()
    splits = {
        str(name): builder.as_dataset(str(name), in_memory=in_memory) if split.num_examples else None
        for name, split in builder.info.splits.items()
    }
    return splits, builder.info.features


def _load_error(config: DatasetConfig, error: Exception) -> UserError:
    """Return the error for a dataset that the library cannot load."""
    path, text = config.hub.path, flatten(error.__cause__ or error, 240)
    if (config.hub.name is None and "onfig" in text) or "BuilderConfig" in text:
        way_out = "Name a configuration in dataset.hub.name=."
    elif any(mark in str(path) for mark in "*?[") and expand_home(str(path)).is_dir():
        way_out = "The library reads *, ? and [ in the name of a folder as a pattern. Rename the folder."
    elif "BatchSize" in text:  # pyarrow, of a Parquet file without rows
        way_out = "One of its files has no rows, which the library cannot read. Use dataset=files with the others."
    elif "script" in text:
        way_out = (
            "Scripts of datasets are not run. The hub's own conversion is at dataset.hub.revision=refs/convert/parquet."
        )
    else:
        way_out = "Check dataset.hub.path and dataset.hub.revision, or use dataset=files."
    return UserError(f"{config.name}: cannot load '{path}': {text}\n{way_out}")

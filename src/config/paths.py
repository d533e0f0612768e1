"""Folders: the configuration files of the suite, and the store of features."""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
# A checkout has conf/ beside src/; an installed package carries it along as src/_conf.
CONF = next(folder for folder in (SOURCE.parent / "conf", SOURCE / "_conf") if (folder / "config.yaml").is_file())


def cache_folder(cache_dir: str | None) -> Path:
    """Return the folder of the store: `cache_dir`, or if unset a folder in the user's cache."""
    if cache_dir:
        return Path(cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-pooling-probes"

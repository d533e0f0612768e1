"""Folders of the configuration and of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.config.paths import CONF, cache_folder


def test_the_folder_of_the_configuration_is_found_from_any_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CONF.is_absolute() and (CONF / "config.yaml").is_file()


def test_the_store_lies_where_the_setting_or_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder("~/store") == Path("/home/me/store")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder(None) == Path("/cache/bert-pooling-probes")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(None) == Path("/home/me/.cache/bert-pooling-probes")

"""Mutable copies of the configuration's dataclasses, and the frozen ones made of their values."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli import structured
from src.cli.structured import Schema, load_option, merge_into, mergeable, to_dataclass
from src.config import schema
from src.config.schema import Config, DatasetConfig, HubFiles, LocalFiles, ProbeConfig
from src.errors import UserError

CLASSES = [
    each for each in vars(schema).values() if dataclasses.is_dataclass(each) and each.__module__ == schema.__name__
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_frozen_and_its_copy_has_the_same_defaults(kind: type) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), dataclasses.fields(kind)[0].name, "other")  # type: ignore[arg-type]
    copied = OmegaConf.to_container(OmegaConf.structured(mergeable(kind)))
    assert copied == dataclasses.asdict(kind())


@pytest.mark.parametrize("kind", [Schema, *map(mergeable, CLASSES)])
def test_a_copy_can_be_pickled(kind: type) -> None:
    """Launchers pickle configurations, whose nodes name these classes."""
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert getattr(structured, kind.__name__) is kind


def test_values_are_converted_to_the_types_of_their_fields() -> None:
    found = merge_into(DatasetConfig, {"folds": "5", "local": {"folder": 3}, "hub": {"path": "a/b"}})
    assert (found.folds, found.local, found.hub) == (5, LocalFiles(folder="3"), HubFiles(path="a/b"))


@pytest.mark.parametrize(
    ("values", "key"), [({"carve": "x"}, "probe.carve"), ({"crave": 0.1}, "probe.crave"), ({"name": "${no}"}, "no")]
)
def test_an_error_names_the_whole_key(values: dict[str, object], key: str) -> None:
    with pytest.raises(OmegaConfBaseException, match=key):
        merge_into(ProbeConfig, values, "probe")


def test_a_name_without_a_field_is_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.hub: unknown key 'nme'; did you mean 'name'"):
        to_dataclass(Config, {"dataset": {"hub": {"nme": "x"}}})


def test_an_option_is_read_with_changes() -> None:
    found = load_option(DatasetConfig, "dataset", "cola", local={"folder": "elsewhere"}, folds=3)
    assert found.local is not None
    assert (found.name, found.folds, found.local.folder, found.local.format) == ("cola", 3, "elsewhere", "tsv")

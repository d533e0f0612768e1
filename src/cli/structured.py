"""Typed configurations for OmegaConf, and frozen dataclasses made of their values.

OmegaConf turns a frozen dataclass into a read-only node. Files and overrides are therefore merged
into a mutable copy of the class, which checks keys and types.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from omegaconf import OmegaConf

from src.config.paths import CONF
from src.config.schema import Config, ProbeConfig
from src.registry import unknown

T = TypeVar("T")


def not_none(hint: Any) -> Any:
    """Return the first type that a hint allows beside None.

    >>> not_none(int | None)
    <class 'int'>
    """
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not types.NoneType)
    return hint


def field_type(kind: Any, name: str) -> Any:
    """Return the type of a dataclass's field without its parameters and without None, such as list for a list of str.

    >>> field_type(Config, "layer"), field_type(ProbeConfig, "grid")
    (<class 'int'>, <class 'dict'>)
    """
    hint = not_none(typing.get_type_hints(kind).get(name))
    return typing.get_origin(hint) or hint


@functools.cache
def nested(kind: Any) -> dict[str, type]:
    """Return the fields of a dataclass that hold a dataclass: name and class."""
    found = {name: not_none(hint) for name, hint in typing.get_type_hints(kind).items()}
    return {name: each for name, each in found.items() if isinstance(each, type) and dataclasses.is_dataclass(each)}


@functools.cache
def mergeable(kind: Any) -> type:
    """Return a mutable copy of a dataclass, into which OmegaConf can merge values."""
    hints, copied, fields = typing.get_type_hints(kind), nested(kind), []
    for each in dataclasses.fields(kind):
        hint: Any = hints[each.name]
        factory: Any = each.default_factory
        if each.name in copied:
            made = mergeable(copied[each.name])
            hint = made | None if isinstance(hint, types.UnionType) else made
            factory = factory if factory is dataclasses.MISSING else made
        fields.append((each.name, hint, _field(each.default, factory)))
    name = f"Mutable{kind.__name__}"
    # Launchers pickle configurations; pickle finds a class by its module and name.
    globals()[name] = dataclasses.make_dataclass(name, fields, namespace={"__module__": __name__})
    return globals()[name]


def _field(default: Any, factory: Any) -> Any:
    """Return a field of a dataclass with a default, or with a factory of defaults."""
    unset = default is dataclasses.MISSING
    return dataclasses.field(default_factory=factory) if unset else dataclasses.field(default=default)


def to_dataclass(kind: Callable[..., T], values: Mapping[str, Any], key: str = "") -> T:
    """Return a dataclass made of typed values.

    Parameters
    ----------
    kind : type
        A dataclass.
    values : mapping
        Values by name, of the types of its fields; what holds a dataclass is a mapping too.
    key : str
        The key of the mapping in the configuration, for errors.

    Raises
    ------
    UserError
        A name that no field has: an override with a plus sign can add one.
    """
    names, copied = {each.name for each in dataclasses.fields(kind)}, dict(values)  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise unknown("key", name, names, where=f"{key}: " if key else "")
    for name, each in nested(kind).items():
        if copied.get(name) is not None:
            copied[name] = to_dataclass(each, copied[name], f"{key}.{name}" if key else name)
    return kind(**copied)


def merge_into(kind: Callable[..., T], values: Any, key: str = "config") -> T:
    """Return a dataclass with some of its defaults replaced.

    Parameters
    ----------
    kind : type
        A dataclass.
    values : mapping or DictConfig
        Values by name; interpolations are resolved.
    key : str
        What errors call the mapping.

    Raises
    ------
    omegaconf.errors.OmegaConfBaseException
        An unknown key, a value of the wrong type, or an interpolation that cannot be resolved.
    """
    merged = OmegaConf.merge({key: mergeable(kind)}, {key: values})
    return to_dataclass(kind, OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)[key])  # type: ignore


def load_option(kind: Callable[..., T], group: str, name: str, /, **changes: Any) -> T:
    """Return an option of conf/, such as ``dataset/sst2``, as the dataclass of its group.

    Parameters
    ----------
    kind : type
        The dataclass of the group.
    group, name : str
        Folder and file name, without the suffix.
    **changes
        Values that replace those of the file.
    """
    return merge_into(kind, OmegaConf.merge(OmegaConf.load(CONF / group / f"{name}.yaml"), changes), group)


def _unset_probe() -> dict[str, Any]:
    """Return the probe before the task chooses one: every key is known, every value null."""
    return {
        **dict.fromkeys(each.name for each in dataclasses.fields(ProbeConfig)),
        "estimator": {"_target_": None},
        "grid": {"alpha": None},
        "protocol": {"name": None},
    }


# Hydra composes upon this, so that a key is known even if no file of conf/ names it.
Schema = dataclasses.make_dataclass(
    "Schema", [
        ("probe", Any, dataclasses.field(default_factory=_unset_probe)),
        ("pairing", str | None, dataclasses.field(default=None)),  # unset: the protocol's
    ],
    bases=(mergeable(Config),), namespace={"__module__": __name__},
)  # fmt: skip

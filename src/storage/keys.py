"""Turn an identity into a content key: a digest of canonical JSON, equal on every machine."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def content_key(identity: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of an identity's canonical JSON.

    The order of keys does not matter.

    Raises
    ------
    ValueError
        A number is NaN or infinite, so that two identities could share a key by accident.
    TypeError
        JSON has no type for a value.

    Examples
    --------
    >>> content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    True
    """
    text = json.dumps(
        plain_values(identity, numpy_scalars=False), sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def plain_values(value: Any, where: str = "", *, numpy_scalars: bool = True) -> Any:
    """Return a value in JSON's own types.

    Parameters
    ----------
    value : mapping, list, tuple or scalar
    where : str
        Name of the value in the messages of errors.
    numpy_scalars : bool
        Convert numpy's scalars to Python's; otherwise refuse them.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    TypeError
        JSON has no type for a value, or a key is not a string.
    """
    if numpy_scalars and hasattr(value, "dtype") and getattr(value, "shape", None) == ():
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where or 'the value'} is {value}: an undefined value is null with its reason")
        return value
    if isinstance(value, Mapping):
        if invalid := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{where or 'the value'} has the key {invalid[0]!r}, which is not a string")
        return {
            key: plain_values(item, f"{where}.{key}" if where else key, numpy_scalars=numpy_scalars)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            plain_values(item, f"{where}[{position}]", numpy_scalars=numpy_scalars)
            for position, item in enumerate(value)
        ]
    raise TypeError(f"{where or 'the value'} is a {type(value).__name__}, for which JSON has no type")

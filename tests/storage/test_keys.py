"""Content keys: equal for equal values, in every process, and for nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from src.storage.keys import content_key


def test_the_key_depends_on_every_value_but_not_on_the_order_of_keys() -> None:
    identity = {"texts": "aa", "layer": -1, "probe": {"grid": [0.1, 1.0], "scale": True, "none": None}}
    shuffled = {"probe": {"none": None, "scale": True, "grid": (0.1, 1.0)}, "layer": -1, "texts": "aa"}
    key = content_key(identity)
    assert content_key(shuffled) == key
    assert len(key) == 64
    assert int(key, 16)
    changes = [
        {"texts": "ab"},
        {"layer": 1},
        {"layer": "-1"},
        {"more": None},
        {"probe": {"grid": [1.0, 0.1], "scale": True, "none": None}},
        {"probe": {"grid": [0.1, 1.0], "scale": False, "none": None}},
    ]
    assert len({key, *(content_key(identity | change) for change in changes)}) == 1 + len(changes)


def test_the_key_is_the_same_in_every_process() -> None:
    line = "from src.storage.keys import content_key; print(content_key({'b': 0.1, 'a': {'z': 'é', 'y': [1, None]}}))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", line],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert keys == {content_key({"a": {"y": [1, None], "z": "é"}, "b": 0.1}) + "\n"}


@pytest.mark.parametrize(
    ("value", "error"), [(float("nan"), ValueError), (np.int64(1), TypeError), ({3: 1}, TypeError), (b"", TypeError)]
)
def test_values_that_json_lacks_are_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="a"):
        content_key({"a": value})

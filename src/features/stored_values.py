"""Check stored values before they are used.

Each function raises one of `src.storage.files.DAMAGE` for a value that its reader cannot use; the
store then removes the value, and it is computed again.
"""

from __future__ import annotations

import types
import typing
from typing import Any

import numpy as np

from src.features.derivation import PoolerWeights
from src.models.encoder_info import EncoderInfo
from src.models.tokenizer import Tokens
from src.runtime.clock import PHASES
from src.storage.arrays import Value
from src.storage.files import Unreadable, parse_json, require_fields

MAX_NUMBER = 1 << 31  # of layers, dimensions and tokens, which are far below


def read_info(value: Value) -> EncoderInfo:
    """Return stored encoder information, each field of its type and in its range."""

    def types_of(hint: Any) -> Any:
        origin = typing.get_origin(hint)
        return typing.get_args(hint) if origin is types.UnionType else origin or hint

    kinds = {name: types_of(hint) for name, hint in typing.get_type_hints(EncoderInfo).items()}
    found = require_fields(parse_json(value.meta["facts"]), kinds)
    if wrong := [name for name, item in found.items() if type(item) is int and not 0 <= item < MAX_NUMBER]:
        raise Unreadable(f"'{wrong[0]}' is out of its range")
    require_fields(found["pooler"], {"status": str})
    return EncoderInfo(**found)


def read_pooler_weights(value: Value, width: int) -> PoolerWeights:
    """Return stored weights of poolers, float32 and of an encoder's width."""
    weights = PoolerWeights(**value.arrays)
    for name, array in weights.arrays().items():
        if array.dtype != np.float32 or array.shape != ((width,) if name == "pooler_bias" else (width, width)):
            raise Unreadable(f"'{name}' is {array.shape} {array.dtype}, which is not that of width {width}")
    return weights


def read_tokens(value: Value, rows: int) -> Tokens:
    """Return the stored word pieces of a column of `rows` rows."""
    tokens = Tokens(**value.arrays, truncated=require_fields(value.meta, {"truncated": int})["truncated"])
    flat = [tokens.ids, tokens.segments, tokens.special]
    if tokens.offsets.shape != (rows + 1,) or any(array.shape != (int(tokens.offsets[-1]),) for array in flat):
        raise Unreadable(f"its arrays are not those of {rows} rows")
    return tokens


def check_timing(value: Value) -> None:
    """Check that stored features have the timing of their pass."""
    timing = require_fields(value.meta, {"pass": dict})["pass"]
    require_fields(timing, {"shards_resumed": int}, dict.fromkeys(PHASES, float))

"""Load encoders, and keep the last one for the next run of the same process."""

from __future__ import annotations

import logging
from dataclasses import asdict

from src.models.checkpoint import Checkpoint
from src.models.encoder import Encoder
from src.models.options import EncodingOptions
from src.runtime.garbage import garbage_collection_paused
from src.runtime.provenance import version
from src.storage.keys import content_key

log = logging.getLogger(__name__)

_kept: dict[str, Encoder] = {}  # at most one, by the key of its checkpoint and options


def load_encoder(checkpoint: Checkpoint, options: EncodingOptions) -> Encoder:
    """Return the encoder of a checkpoint.

    The last one is kept, so that a sweep over datasets loads it once.
    """
    key = content_key({"model": checkpoint.identity, "tokenizer": checkpoint.tokenizer, "options": asdict(options)})
    if key not in _kept:
        _kept.clear()
        log.info("loading %s", checkpoint.label)
        with garbage_collection_paused():  # torch and transformers are imported here
            _kept[key] = Encoder(checkpoint, options)
    return _kept[key]


def library_versions() -> dict[str, str | None]:
    """Return the versions of the libraries whose defaults affect a loaded model."""
    return {name: version(name) for name in ("torch", "transformers")}

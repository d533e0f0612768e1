"""Extraction: the pooled features of every split as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa

from src.config.schema import Config
from src.data.in_memory import memory_dataset
from src.errors import UserError
from src.features.inputs import encoder_inputs
from src.features.vectors import PooledFeatures, pair_features
from src.pipeline.feature_files import write_features
from src.pipeline.prepare import PreparedRun, open_run
from src.pipeline.threads import resolved_threads
from src.pooling import needs_pooler
from src.results.statements import joint_reading_caution
from src.runtime.logs import log_once

log = logging.getLogger("src.extract")


def extract(config: Config, folder: Path, report: Callable[[str], None] = print) -> list[Path]:
    """Write ``<split>.safetensors`` for every split, and return the paths.

    A file holds ``features``, float32 of shape (rows, width) in the order of the rows, and ``labels``
    where the rows have any.
    With ``runtime.shard`` one part of each forward pass is encoded. The job that completes the last part
    writes the files. `report` gets a line per file for the user.

    Raises
    ------
    UserError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"output={folder} cannot be written: {error.strerror}. Choose another folder.") from error
    prepared = open_run(config)
    warn_of_reading(prepared)
    if config.runtime.shard is not None and config.runtime.shards > 1 and not _encode_shard(prepared, report):
        return []
    return [_write_split(prepared, name, folder, report) for name in prepared.data.splits]


def warn_of_reading(prepared: PreparedRun) -> None:
    """Warn of a pooler that was never trained, and of pairs that the model was not made to read jointly."""
    pooling, extractor = prepared.target[0], prepared.extractor
    if extractor.info.pooler["status"] == "untrained" and needs_pooler(pooling):
        log.warning(
            "warning: the pooler of %s was never trained: what '%s' takes from it is a random projection of [CLS].",
            extractor.checkpoint.label,
            pooling,
        )
    stated, pairing = extractor.checkpoint.stated or {}, prepared.config.pairing
    if caution := joint_reading_caution(stated, pairing=pairing, pairs=prepared.data.has_pairs):
        log_once(log, f"{extractor.checkpoint.label}: {caution}")


def _encode_shard(prepared: PreparedRun, report: Callable[[str], None]) -> bool:
    """Encode this job's part of the forward passes; return whether the other jobs have encoded theirs."""
    read, extractor, target, runtime = prepared.data, prepared.extractor, prepared.target, prepared.config.runtime
    assert runtime.shard is not None
    every = [
        text for split in read.splits.values() for text in encoder_inputs(split, prepared.config.pairing, read.name)
    ]
    for text in every:
        extractor.encode_shard(text, target, runtime.also_layers, runtime.shard, runtime.shards)
    # Counted after the last text, or no job might find all texts complete.
    remaining = sum(extractor.remaining_shards(text, target, runtime.also_layers) for text in every)
    if remaining:
        report(
            f"part {runtime.shard} of {runtime.shards} is encoded; the job that encodes the last of the other "
            f"{remaining} shards writes the files"
        )
    return not remaining


def split_features(prepared: PreparedRun, name: str) -> list[PooledFeatures]:
    """Return the features of a split: of its rows, or of both sides of pairs read apart."""
    read, also_layers = prepared.data, prepared.config.runtime.also_layers
    texts = encoder_inputs(read.splits[name], prepared.config.pairing, read.name)
    return [prepared.extractor.features(text, prepared.target, also_layers) for text in texts]


def text_features(config: Config, table: pa.Table, name: str) -> np.ndarray:
    """Return the features of rows in memory, float32 (rows, width), as `extract` writes them.

    Parameters
    ----------
    config : Config
        Its dataset has no labels.
    table : pa.Table
        See `src.data.in_memory.memory_table`.
    name : str
        Of the rows, in messages and in the progress bar.
    """
    with resolved_threads(config) as resolved:
        prepared = open_run(resolved, data=memory_dataset(resolved.dataset, {name: table}))
        warn_of_reading(prepared)
        values = pair_features([side.values for side in split_features(prepared, name)])
        return values if values.flags.writeable else values.copy()  # what is stored is not to be changed


def _write_split(prepared: PreparedRun, name: str, folder: Path, report: Callable[[str], None]) -> Path:
    """Write the features of one split, which are encoded if the store lacks them."""
    read, extractor, target, config = prepared.data, prepared.extractor, prepared.target, prepared.config
    split, before = read.splits[name], extractor.encoded
    sides = [side.parts for side in split_features(prepared, name)]
    metadata = {
        "pooling": target[0],
        "layer": str(target[1]),
        "pairing": config.pairing,
        "model": extractor.checkpoint.label,
        "classes": json.dumps(list(read.classes)),
    }
    path = folder / f"{name}.safetensors"
    write_features(path, sides, split.label if split.is_labelled else None, metadata)
    report(f"{path}: {len(split):,} rows, cache {'miss' if extractor.encoded > before else 'hit'}")
    return path

"""Extraction: the pooled features of every split as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from src.config.schema import Config
from src.errors import UserError
from src.features.inputs import encoder_inputs
from src.features.text_losses import warn_once
from src.pipeline.feature_files import write_features
from src.pipeline.prepare import PreparedRun, open_run
from src.pooling import needs_pooler
from src.results.statements import joint_reading_caution

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
    pooling, model = prepared.target[0], prepared.extractor.checkpoint.label
    if prepared.extractor.info.pooler["status"] == "untrained" and needs_pooler(pooling):
        log.warning(
            "warning: the pooler of %s was never trained: what '%s' takes from it is a random projection of [CLS].",
            model,
            pooling,
        )
    stated = prepared.extractor.checkpoint.stated or {}
    if caution := joint_reading_caution(stated, pairing=config.pairing, pairs=prepared.data.has_pairs):
        warn_once(f"{model}: {caution}")
    if config.runtime.shard is not None and config.runtime.shards > 1 and not _encode_shard(prepared, report):
        return []
    return [_write_split(prepared, name, folder, report) for name in prepared.data.splits]


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


def _write_split(prepared: PreparedRun, name: str, folder: Path, report: Callable[[str], None]) -> Path:
    """Write the features of one split, which are encoded if the store lacks them."""
    read, extractor, target, config = prepared.data, prepared.extractor, prepared.target, prepared.config
    split, before = read.splits[name], extractor.encoded
    sides = [
        extractor.features(text, target, config.runtime.also_layers).parts
        for text in encoder_inputs(split, config.pairing, read.name)
    ]
    metadata = {
        "pooling": target[0],
        "layer": str(target[1]),
        "pairing": config.pairing,
        "model": extractor.checkpoint.label,
        "classes": json.dumps(list(read.classes)),
    }
    path = folder / f"{name}.safetensors"
    write_features(path, sides, split.label if split.is_labelled else None, metadata)
    report(f"{path}: {len(split):,} rows, {'encoded' if extractor.encoded > before else 'from the store'}")
    return path

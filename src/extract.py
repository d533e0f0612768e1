"""The second door: ``python -m src.extract ... output=DIR`` writes the pooled features themselves."""

from __future__ import annotations

import sys

if not __package__:  # python src/extract.py would put this folder's modules in the place of the standard library's
    sys.exit("error: call it as a module, from the folder that holds src/: python -m src.extract ...")

import json
import logging
import os
import uuid
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src.cli.application import job_overrides, run_app
from src.cli.messages import exit_with_error, format_crash, print_text
from src.cli.validation import parse_config
from src.config.schema import Config
from src.errors import UserError
from src.pooling import poolings
from src.runtime.threads import limit_threads
from src.storage.folder_lock import folders_released

log = logging.getLogger("src.extract")  # __main__ when run
BLOCK = 1 << 14  # rows written at once


@folders_released()
def main() -> None:
    """Extract what the command line asks for; exit 1 when a job of a sweep failed."""
    from src.sweeps import sweep

    sweep.forget()
    try:
        run_app(task)
    except SystemExit as ending:
        if ending.code == 1:
            sweep.close()
        raise
    if sweep.ERROR is not None:
        exit_with_error(format_crash(sweep.ERROR))
    if sweep.LAST is not None and sweep.LAST.failed:
        sys.exit(1)


def task(composed: DictConfig) -> None:
    """One job. In a sweep a failure is written down for the closing lines, and the other jobs go on."""
    import src.pipeline.run  # noqa: F401  # with all libraries whose threads are limited
    from src.sweeps.launch import check_shards
    from src.sweeps.status import begin, write_status
    from src.sweeps.sweep import note_failure

    hydra = HydraConfig.get()
    sweeps, folder = hydra.mode == RunMode.MULTIRUN, Path(hydra.runtime.output_dir)
    try:
        if sweeps:
            begin(folder)
        config = parse_config(composed)
        if not config.output:
            raise UserError("src.extract needs output=FOLDER, where <split>.safetensors goes.")
        check_shards(config.runtime, sweep=sweeps, extracts=True)
        with limit_threads(config.runtime.threads) as threads:
            extract(replace(config, runtime=replace(config.runtime, threads=threads)), Path(config.output).expanduser())
    except Exception as error:
        if not sweeps:
            raise
        note_failure(folder, job_overrides(), error)
    else:
        if sweeps:
            write_status(folder, "done")


def extract(config: Config, folder: Path) -> list[Path]:
    """Write ``<split>.safetensors`` for every labelled split: ``features`` (rows, width) float32 in the order of the rows, ``labels``.

    With `runtime.shard`, encode that share; the files are written by the job that finds all shares done.
    """
    from src.features.inputs import encoder_inputs
    from src.pipeline.run import opened

    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"output={folder} cannot be written: {error.strerror}. Choose another folder.") from error
    prepared = opened(config)
    read, extractor, target, model = (
        prepared.data,
        prepared.extractor,
        prepared.target,
        prepared.extractor.checkpoint.label,
    )
    if extractor.info.pooler["status"] == "untrained" and poolings[target[0]].needs_pooler:
        log.warning(
            "warning: the pooler of %s was never trained: '%s' is a random projection of its [CLS] state.",
            model,
            target[0],
        )
    written: list[Path] = []
    runtime = config.runtime
    if runtime.shard is not None and runtime.shards > 1:
        every = [text for split in read.splits.values() for text in encoder_inputs(split, config.pairing, read.name)]
        for text in every:
            extractor.encode_shard(text, target, runtime.also_layers, runtime.shard, runtime.shards)
        # Counted when all is done here, not text by text: jobs that end one text each as the last would each leave the files to another.
        if left := sum(extractor.remaining_shards(text, target, runtime.also_layers) for text in every):
            print_text(
                f"share {runtime.shard} of {runtime.shards} is done; the files are written once the other jobs' {left} parts are"
            )
            return written
    for name, split in read.splits.items():
        before = extractor.encoded
        pieces = [
            extractor.features(text, target, config.runtime.also_layers)
            for text in encoder_inputs(split, config.pairing, read.name)
        ]
        notes = {
            "pooling": target[0],
            "layer": str(target[1]),
            "pairing": config.pairing,
            "model": model,
            "classes": json.dumps(list(read.classes)),
        }
        path = folder / f"{name}.safetensors"
        write(path, [piece.values for piece in pieces], split.label, notes)
        written.append(path)
        print_text(f"{path}: {len(split):,} rows, {'encoded' if extractor.encoded > before else 'from the store'}")
    return written


def write(path: Path, sides: list[np.ndarray], labels: np.ndarray, notes: dict[str, str]) -> None:
    """Write features and labels in the safetensors layout, block by block: the library's own writer wants them in memory at once.

    References
    ----------
    The format: 8 bytes of header length, little-endian; a JSON header of names, dtypes, shapes and offsets; the arrays, row-major.
    """
    from src.features.vectors import pair_features

    rows = len(labels)
    width = sides[0].shape[1] * (1 if len(sides) == 1 else 4)
    labels = labels.astype("<i8" if labels.dtype.kind == "i" else "<f4")
    size = rows * width * 4
    header: dict[str, Any] = {
        "__metadata__": notes,
        "labels": {
            "dtype": "I64" if labels.dtype.kind == "i" else "F32",
            "shape": [rows],
            "data_offsets": [0, labels.nbytes],
        },
        "features": {"dtype": "F32", "shape": [rows, width], "data_offsets": [labels.nbytes, labels.nbytes + size]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin aligned
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.write(labels.tobytes())
            for start in range(0, rows, BLOCK):
                file.write(
                    np.ascontiguousarray(
                        pair_features([side[start : start + BLOCK] for side in sides]), "<f4"
                    ).tobytes()
                )
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Free some room, or choose another output=."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    main()

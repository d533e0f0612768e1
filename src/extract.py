"""The second door: ``python -m src.extract ... output=DIR`` writes the pooled features themselves."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from omegaconf import DictConfig

from src.config import Config, parse
from src.door import open_door, tell
from src.errors import UserError
from src.pooling import poolings

log = logging.getLogger("src.extract")  # __main__ when run
BLOCK = 1 << 14  # rows written at once


def main() -> None:
    """Extract what the command line asks for."""
    open_door(task, sweeps=False)


def task(composed: DictConfig) -> None:
    config = parse(composed)
    if not config.output:
        raise UserError("src.extract needs output=FOLDER, where <split>.safetensors goes.")
    extract(config, Path(config.output).expanduser())


def extract(config: Config, folder: Path) -> list[Path]:
    """Write ``<split>.safetensors`` for every labelled split: ``features`` (rows, width) float32 in the order of the rows, ``labels``."""
    from src.features import texts
    from src.pipeline import opened

    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"output={folder} cannot be written: {error.strerror}. Choose another folder.") from error
    prepared = opened(config)
    read, extractor, target, model = prepared.data, prepared.extractor, prepared.target, prepared.extractor.checkpoint.label
    if extractor.facts.pooler["status"] == "untrained" and poolings[target[0]].needs_pooler:
        log.warning("warning: the pooler of %s was never trained: '%s' is a random projection of its [CLS] state.", model, target[0])
    written = []
    for name, split in read.splits.items():
        before = extractor.encoded
        pieces = [extractor.features(text, target, config.runtime.also_layers) for text in texts(split, config.pairing, read.name)]
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
        tell(f"{path}: {len(split):,} rows, {'encoded' if extractor.encoded > before else 'from the store'}")
    return written


def write(path: Path, sides: list[np.ndarray], labels: np.ndarray, notes: dict[str, str]) -> None:
    """Write features and labels in the safetensors layout, block by block: the library's own writer wants them in memory at once.

    References
    ----------
    The format: 8 bytes of header length, little-endian; a JSON header of names, dtypes, shapes and offsets; the arrays, row-major.
    """
    from src.features import pair_features

    rows = len(labels)
    width = sides[0].shape[1] * (1 if len(sides) == 1 else 4)
    labels = labels.astype("<i8" if labels.dtype.kind == "i" else "<f4")
    size = rows * width * 4
    header: dict[str, Any] = {
        "__metadata__": notes,
        "labels": {"dtype": "I64" if labels.dtype.kind == "i" else "F32", "shape": [rows], "data_offsets": [0, labels.nbytes]},
        "features": {"dtype": "F32", "shape": [rows, width], "data_offsets": [labels.nbytes, labels.nbytes + size]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin aligned
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.write(labels.tobytes())
            for start in range(0, rows, BLOCK):
                file.write(np.ascontiguousarray(pair_features([side[start : start + BLOCK] for side in sides]), "<f4").tobytes())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}. Free some room, or choose another output=.") from error
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    main()

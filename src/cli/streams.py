"""Streams, log and warnings of a process that runs jobs."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import sys
import warnings
from typing import Any

from src.config.schema import LOG_LEVELS
from src.errors import printable


def configure_process() -> None:
    """Set up streams, log and warnings. A second call has no effect."""
    # Without it, Hydra prints its own errors and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    open_streams()
    if not any(isinstance(handler.formatter, PrintableFormatter) for handler in logging.root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(PrintableFormatter())
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("src").setLevel(logging.INFO)
    logging.raiseExceptions = False  # on a full disk, a library's log would print a traceback
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; this package logs its warnings
    # Otherwise the interpreter, as it ends, walks twice over all objects of torch and transformers.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def set_log_level(level: Any) -> None:
    """Set the lowest level of the lines that this process logs; without effect if it is none of `LOG_LEVELS`."""
    if level in LOG_LEVELS:
        logging.getLogger("src").setLevel(str(level).upper())


class PrintableFormatter(logging.Formatter):
    """Formatter of messages without a prefix, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return printable(super().format(record))


class TolerantFile(io.FileIO):
    """File that drops what cannot be written, as when ``| head -1`` has closed the pipe."""

    def write(self, data: Any) -> int:
        """Write, and report success if that fails."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def open_streams() -> None:
    """Replace stdout and stderr by streams that accept any character and survive a closed reader.

    Streams that are closed become the null device.
    """
    # In the order of their descriptors: the null device takes the lowest free one.
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
        elif name != "stdin" and stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(TolerantFile(stream.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True))

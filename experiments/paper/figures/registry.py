"""The paper's figures, one file each, from committed records alone.

A figure's file holds ``PLACE`` (its number in the paper), ``NEEDS`` (bundles such as ``poolings/bert-books`` and other files of records),
``CAPTION`` and ``draw(data, files)``. The folder is walked, so a new file is a new figure.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from experiments.figures import style
from src.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Figures go to files: the backend that a notebook's environment asks for may not be installed, and matplotlib would refuse to be imported.
os.environ["MPLBACKEND"] = "agg"

DPI = 150
RUN_LENGTHS = 3  # Z_RLE of zlib


def _walk() -> dict[str, ModuleType]:
    """Every figure's module by its name, in the paper's order."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    figures = sorted((each for each in modules if hasattr(each, "PLACE")), key=lambda each: each.PLACE)
    return {each.__name__.rpartition(".")[2]: each for each in figures}


FIGURES = _walk()


def require_matplotlib() -> None:
    """Refuse to go on where nothing can be drawn.

    Raises
    ------
    UserError
        matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("figures need matplotlib, which is not installed. Run pip install -e '.[paper]'.")


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PDF and as PNG beside each other: the same bytes at every run and on every machine.

    Parameters
    ----------
    path : Path
        Without a suffix.

    Notes
    -----
    What compresses best depends on the zlib at hand, so the PDF is stored plain and the PNG by run lengths, which leave no choice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("pdf", "png")]
    with style.look():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once: each format alone would round differently
        figure.savefig(files[0], metadata={"Creator": None, "Producer": None, "CreationDate": None})
        figure.savefig(files[1], dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_type": RUN_LENGTHS})
    return files

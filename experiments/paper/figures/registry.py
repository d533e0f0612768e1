"""Finds the paper's figures, and writes their files.

Every module of this folder that has a ``PLACE`` is a figure, so a new file is a new figure.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, saving
from src.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = saving.DPI
PACKAGE = __name__.rpartition(".")[0]


def find_figures() -> dict[str, ModuleType]:
    """Return every figure's module by its name, in the paper's order."""
    names = sorted(found.name for found in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__))
    modules = [importlib.import_module(f"{PACKAGE}.{name}") for name in names if name != "registry"]
    figures = sorted((each for each in modules if hasattr(each, "PLACE")), key=lambda each: each.PLACE)
    return {each.__name__.rpartition(".")[2]: each for each in figures}


FIGURES = find_figures()


def drawable(data: drawing.Bundles, files: Path) -> dict[str, ModuleType]:
    """Return the figures whose records are there, in the paper's order.

    A figure may have ``has_content(data, files)``, which says whether these records give it anything to show.

    Parameters
    ----------
    data : mapping of bundles
    files : Path
        Folder of the other records.
    """
    return {
        name: figure
        for name, figure in FIGURES.items()
        if not drawing.missing_records(figure.NEEDS, data, files)
        and (not hasattr(figure, "has_content") or figure.has_content(data, files))
    }


def require_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises
    ------
    UserError
        It is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("figures need matplotlib, which is not installed. Run pip install -e '.[paper]'.")


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PDF and PNG files; `path` has no suffix."""
    return saving.save(figure, path, dpi=DPI)

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

from experiments.paper.figures import drawing
from src.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
RUN_LENGTHS = 3  # Z_RLE of zlib
PACKAGE = __name__.rpartition(".")[0]


def find_figures() -> dict[str, ModuleType]:
    """Return every figure's module by its name, in the paper's order."""
    names = sorted(found.name for found in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__))
    modules = [importlib.import_module(f"{PACKAGE}.{name}") for name in names if name != "registry"]
    figures = sorted((each for each in modules if hasattr(each, "PLACE")), key=lambda each: each.PLACE)
    return {each.__name__.rpartition(".")[2]: each for each in figures}


FIGURES = find_figures()


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
    """Write a figure as PDF and PNG, with the same bytes at every run and on every machine.

    Parameters
    ----------
    figure : Figure
    path : Path
        Without a suffix.

    Notes
    -----
    The best compression depends on the version of zlib. The PDF is therefore not compressed, and the
    PNG is compressed by run lengths.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("pdf", "png")]
    with drawing.project_style():
        if engine := figure.get_layout_engine():
            engine.execute(figure)
        figure.set_layout_engine("none")  # laid out once: each format alone would round differently
        # `Figure.savefig` would draw each file twice, first for a layout.
        FigureCanvasPdf(figure).print_pdf(files[0], metadata={"Creator": None, "Producer": None, "CreationDate": None})
        resolution = figure.get_dpi()
        figure.set_dpi(DPI)
        options = {"compress_type": RUN_LENGTHS}
        FigureCanvasAgg(figure).print_png(files[1], metadata={"Software": None}, pil_kwargs=options)
        figure.set_dpi(resolution)
    return files

"""Writes a figure as PDF and PNG, with the same bytes at every run and on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
RUN_LENGTHS = 3  # Z_RLE of zlib: its bytes do not depend on zlib's version


def save(figure: Figure, path: Path, *, dpi: int = DPI) -> list[Path]:
    """Write a figure, and return both files.

    Parameters
    ----------
    figure : Figure
    path : Path
        Without a suffix.
    dpi : int, default 150
        Of the PNG.

    Notes
    -----
    The best compression depends on the version of zlib. The PDF is therefore not compressed, and the
    PNG is compressed by run lengths. `Figure.savefig` would draw each file twice, first for a layout.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("pdf", "png")]
    with drawing.project_style():
        resolution = figure.get_dpi()
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                if not axis.label.get_text():
                    axis.set_label_coords(0, 0)  # else a place is searched for it at each drawing
        figure.set_dpi(dpi)  # of the PNG, whose hinted text is wider than that of other resolutions
        if engine := figure.get_layout_engine():
            engine.execute(figure)
        figure.set_dpi(resolution)
        figure.set_layout_engine("none")  # laid out once: each format alone would round differently
        FigureCanvasPdf(figure).print_pdf(files[0], metadata={"Creator": None, "Producer": None, "CreationDate": None})
        figure.set_dpi(dpi)
        options = {"compress_type": RUN_LENGTHS}
        FigureCanvasAgg(figure).print_png(files[1], metadata={"Software": None}, pil_kwargs=options)
        figure.set_dpi(resolution)
    return files

"""Build the paper: ``python -m experiments.paper [output=paper] [records=FOLDER]``.

Draws every figure (PDF and PNG) and table (Markdown, LaTeX, CSV) and writes report.md,
report.html and predictions.md, from the committed records alone. Equal records give equal bytes: no date, machine or
order of files enters them. Results of resampling are read from resampling.json beside the records;
what is missing there is computed and added. Needs neither torch nor git, and writes nowhere else.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.cli import command
from experiments.files import make_folder
from experiments.manifest import RECORDS_DIR
from experiments.paper.evidence import Evidence
from experiments.paper.figures import registry
from src.cli.messages import print_text
from src.runtime.threads import limit_threads

PAGES = ("report.md", "report.html", "predictions.md")


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = "paper"
    records: str = str(RECORDS_DIR)


@command(Options)
def main(options: Options) -> None:
    """Build the paper."""
    written = build(Path(options.output), Path(options.records), store=Path(options.records))
    print_text(f"{options.output}: {', '.join(PAGES)} and {len(written) - len(PAGES)} files of figures and tables")


def build(output: Path, records: Path = RECORDS_DIR, *, store: Path | None = None) -> list[Path]:
    """Write the pages, ``figures/`` and ``tables/`` into a folder, and return the files.

    Parameters
    ----------
    output, records : Path
        Folders.
    store : Path, optional
        Folder where the results of resampling are kept; default: they are not.

    Raises
    ------
    UserError
        matplotlib is not installed, or a record is missing, has changed or has another schema
        version: nothing is written then. Or the results of resampling cannot be kept, once all else is
        written.
    """
    from experiments.paper.blocks import base_hours
    from experiments.paper.figures.parallel import drawing_processes
    from experiments.paper.html import to_html
    from experiments.paper.markdown import to_markdown
    from experiments.paper.page import compose_page
    from experiments.paper.predictions_page import predictions_page
    from experiments.paper.tables.catalogue import all_tables
    from experiments.predictions import read_predictions

    registry.require_matplotlib()
    # Products of matrices are small here: threads that wait for one another cost more than they save.
    with TemporaryDirectory() as place, limit_threads(1), drawing_processes(records, Path(place)) as others:
        evidence = Evidence.read(records)
        figures = registry.drawable(evidence, records)
        others.begin(figures)
        tables = all_tables(evidence)
        captions = {name: figure.CAPTION for name, figure in figures.items()}
        page = compose_page(evidence, captions, {table.name: table.caption for table in tables})
        drawn = others.finish(evidence)
        images = [path for each in drawn.values() for path in each.files]
        texts = {
            "report.md": to_markdown(page),
            "predictions.md": predictions_page(read_predictions(), base_hours(evidence)),
            "report.html": to_html(page, {name: each.source for name, each in drawn.items()}),
        }
        earlier = earlier_files(output)
        for folder in ("figures", "tables"):
            make_folder(output / folder)
        written = [Path(shutil.copyfile(path, output / "figures" / path.name)) for path in images]
    for table in tables:
        contents = {"md": f"{table.markdown()}\n{table.caption}\n", "tex": table.latex(), "csv": table.csv()}
        written += [_write(output / "tables" / f"{table.name}.{kind}", text) for kind, text in contents.items()]
    for path in earlier - set(written):
        path.unlink(missing_ok=True)
    written += [_write(output / name, texts[name]) for name in PAGES]
    if store is not None:
        evidence.resampling.write(store)
    return written


def earlier_files(output: Path) -> set[Path]:
    """Return the figures and tables that the page of an earlier paper names; other files are the user's."""
    page = output / "report.md"
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    kinds = {"figures": ("pdf", "png"), "tables": ("md", "tex", "csv")}
    named = re.findall(r"\((figures|tables)/([\w.-]+)\.(?:png|md)\)", text)
    return {output / folder / f"{name}.{kind}" for folder, name in named for kind in kinds[folder]}


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


if __name__ == "__main__":
    main()

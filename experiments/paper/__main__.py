"""The paper: ``python -m experiments.paper [output=paper] [records=experiments/records]``.

Draws every figure (PDF and PNG) and table (Markdown, LaTeX, CSV) and writes report.md, from the committed records alone. The same records
give the same bytes: nothing of the date, the machine or the order of files is in them. Needs no torch, no git, and writes nowhere else.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.cli import command
from experiments.manifest import RECORDS_DIR
from experiments.paper.evidence import Evidence
from experiments.paper.figures import registry
from src.cli.application import print_text
from src.runtime.provenance import cores


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = "paper"
    records: str = str(RECORDS_DIR)


@command(Options)
def main(options: Options) -> None:
    """Build the paper."""
    written = build(Path(options.output), Path(options.records))
    print_text(f"{options.output}: report.md and {len(written) - 1} files of figures and tables")


def build(output: Path, records: Path = RECORDS_DIR) -> list[Path]:
    """Write ``report.md``, ``figures/`` and ``tables/`` into `output`; gives the files written.

    Raises
    ------
    UserError
        A record is missing, changed or of another schema version: nothing is written then. matplotlib is not installed.
    """
    from tqdm import tqdm

    from experiments.paper.tables.catalogue import all_tables

    registry.require_matplotlib()
    evidence = Evidence.read(records)
    bar = tqdm(registry.FIGURES.items(), desc="figures", unit="figure", leave=False, disable=None)
    # Writing a figure takes as long as computing it, so that other processes write while this one goes on.
    with TemporaryDirectory() as place, ProcessPoolExecutor(min(4, max(1, cores() - 1)), get_context("spawn")) as pool:
        saving = [
            pool.submit(registry.save, figure.draw(evidence, records), Path(place) / name) for name, figure in bar
        ]
        tables = all_tables(evidence)
        captions = {name: figure.CAPTION for name, figure in registry.FIGURES.items()}
        page = report(evidence, captions, {table.name: table.caption for table in tables})
        images = [path for each in saving for path in each.result()]
        for folder in ("figures", "tables"):
            (output / folder).mkdir(parents=True, exist_ok=True)
        written = [Path(shutil.copyfile(path, output / "figures" / path.name)) for path in images]
    for table in tables:
        kinds = {"md": f"{table.markdown()}\n{table.caption}\n", "tex": table.latex(), "csv": table.csv()}
        written += [_write(output / "tables" / f"{table.name}.{kind}", text) for kind, text in kinds.items()]
    for path in {*output.glob("figures/*.p[dn][fg]"), *output.glob("tables/*.*")} - set(written):
        path.unlink()  # of an earlier paper
    return [_write(output / "report.md", page), *written]


def report(evidence: Evidence, drawn: dict[str, str], tables: dict[str, str]) -> str:
    """The page: the answer, then each claim with its numbers, and what was run."""
    from experiments.paper.claims.answer import CLAIMS, answer, scope

    lines = ["# What [CLS], pooled_output and mean pooling are worth", "", scope(evidence), "", "## The answer", ""]
    lines += [f"{number}. {sentence}" for number, sentence in enumerate(answer(evidence), 1)]
    lines += ["", "## Claims", ""]
    for number, each in enumerate((claim(evidence) for claim in CLAIMS), 1):
        lines += [f"### {number}. {each.title}", "", each.text, ""]
        if each.numbers:
            lines += ["| what | points | 95 % interval | test |", "| --- | ---: | ---: | --- |"]
            lines += [f"| {one.what} | {one.value} | {one.interval} | {one.test} |" for one in each.numbers]
            lines += [""]
        lines += [f"`{each.command}`", "", f"See {', '.join(map(_link, each.see))}.", ""]
    lines += ["## Figures", ""]
    for name, caption in drawn.items():
        lines += [f"![{name}](figures/{name}.png)", "", f"*{name}.* {caption}", ""]
    lines += ["## Tables", "", *(f"- [{name}](tables/{name}.md): {caption}" for name, caption in tables.items()), ""]
    return "\n".join(lines)


def _link(name: str) -> str:
    folder, _, plain = name.partition("/")
    return f"[{plain}]({name}.{'png' if folder == 'figures' else 'md'})"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


if __name__ == "__main__":
    main()

"""Report on a sweep: ``python -m experiments.report records=FOLDER [output=FOLDER] [margin=0.01]``.

Reads the records below a sweep's folder, or a bundle (then with ``output=``). Writes ``report.md`` and
``report.html``, one page without further files, and its figures as PNG and PDF into
``report-figures/`` (``figures=false`` leaves them out, as does a missing matplotlib). The page states
which pooling to use on each task, by how much it is better, and which differences the rows could
have shown. ``predictions=FILE`` compares the sweep with predictions, a file like
experiments/paper/predictions.yaml, which is the default for a sweep of its encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.bundles import RECORDS_FILE, is_bundle
from experiments.cli import command, required
from experiments.files import make_folder
from experiments.report import plots
from experiments.report.charts import report_charts
from experiments.report.document import AGAIN, Report, compose
from experiments.report.html import to_html
from experiments.report.markdown import to_markdown
from experiments.report.reading import read_sweeps
from src.cli.messages import print_text
from src.errors import UserError, flatten
from src.evaluation.contrasts import MARGIN
from src.storage.atomic import replace_files

MARKDOWN, PAGE, FIGURES = "report.md", "report.html", "report-figures"


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    records: str = required("a sweep's folder, such as multirun/2026-01-31/12-00-00.000000")
    output: str | None = None
    margin: float = MARGIN
    figures: bool = True
    predictions: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Write the report and print its verdicts."""
    if not 0 < options.margin < 1:
        raise UserError(
            f"margin={options.margin}: an equivalence margin is a fraction above 0 and below 1; 0.01 is one point."
        )
    folder = Path(options.records)
    if not options.output and next(folder.rglob(RECORDS_FILE), None):
        raise UserError(
            f"records={folder} holds bundles, which are for records alone. Name a folder for the report: output=FOLDER."
        )
    if options.output and is_bundle(Path(options.output)):
        raise UserError(f"output={options.output} is a bundle, which is for records alone. Name another folder.")
    output = make_folder(Path(options.output)) if options.output else folder
    records, left_out = read_sweeps(folder)
    report = compose(records, left_out, margin=options.margin, predictions=options.predictions)
    replace_files(output, {MARKDOWN: to_markdown(report).encode(), PAGE: to_html(report).encode()})
    for part in report.parts:
        print_text(f"{part.title}: {part.verdict.sentence}")
    for sentence in report.over_layers:
        print_text(sentence)
    if report.predicted:
        print_text(f"predictions: {report.predicted.sentence}")
    if report.left_out:
        print_text(f"left out: {len(report.left_out)}; the page says why. {AGAIN}")
    for each in (MARKDOWN, PAGE):
        print_text(str(output / each))
    if options.figures:
        print_text(_write_figures(report, output / FIGURES))


def _write_figures(report: Report, folder: Path) -> str:
    """Write the figures as files, and return a line about them."""
    if not plots.has_matplotlib():
        return "no PNG and PDF files: matplotlib is not installed. Run pip install -e '.[paper]'."
    try:
        files = plots.write_figures(report_charts(report), folder)
    except OSError as error:
        raise UserError(
            f"output={folder.parent}: the figures cannot be written: {flatten(error)}. The page is complete; "
            "figures=false leaves them out."
        ) from error
    return f"{folder}: {_count(len(files) // 2, 'figure')}, as PNG and PDF"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


if __name__ == "__main__":
    main()

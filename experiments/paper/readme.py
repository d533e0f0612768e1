"""Write the numbers of the README and of docs/: ``python -m experiments.paper.readme``.

The numbers come from the committed records. With ``check=true`` the command only compares. A block
of numbers lies between the comments ``<!-- NAME: python -m experiments.paper.readme -->`` and
``<!-- end -->``.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bundles import Record
from experiments.cli import command
from experiments.formatting import markdown_table
from experiments.manifest import RECORDS_DIR
from experiments.paper.blocks import compute, coverage, hours, limits, table_alone, wrap
from experiments.paper.claims.answer import READING, all_claims, answer, lead
from experiments.paper.claims.sentences import Number
from experiments.paper.evidence import Evidence
from experiments.paper.markdown import numbered
from src.cli.messages import print_text
from src.errors import UserError
from src.sweeps.comparison import compare_records
from src.sweeps.rendering import render

BLOCK = re.compile(r"(<!-- (\w+): python -m experiments\.paper\.readme -->\n).*?(<!-- end -->)", re.DOTALL)
FIRST = {  # the runs of the README's first command
    "dataset": ("demo_sentiment", "demo_coherence"),
    "pooling": ("cls", "pooler", "mean", "max"),
}
SYSTEMS = {
    "sequence_output": "`sequence_output`",
    "pooled_output": "`pooled_output`",
    "pooler_formula": "`pooled_output` - `tanh(W h + b)`",
    "pooled_against_cls": "`pooled_output` - `sequence_output[:,0]`",
}


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    pages: tuple[str, ...] = (
        "README.md",
        "docs/probes.md",
        "docs/question.md",
        "docs/speed.md",
        "experiments/README.md",
    )
    records: str = str(RECORDS_DIR)
    check: bool = False


@command(Options)
def main(options: Options) -> None:
    """Write the blocks of the pages, or check them."""
    evidence = Evidence.read(Path(options.records))
    for page in map(Path, options.pages):
        if not page.is_file():
            raise UserError(f"pages={page}: there is no such file.")
        before = page.read_text(encoding="utf-8")
        after = fill(before, evidence)
        if after != before and options.check:
            raise UserError(f"{page} differs from the records. Write it again: python -m experiments.paper.readme")
        if after != before:
            page.write_text(after, encoding="utf-8", newline="\n")
        print_text(f"{page}: {'agrees with the records' if after == before else 'written'}")


def fill(text: str, evidence: Evidence) -> str:
    """Return a page with its blocks written from the evidence.

    Raises
    ------
    UserError
        A block has an unknown name.
    """

    def write(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        if name not in BLOCKS:
            raise UserError(f"no block is called '{name}'. Known: {', '.join(BLOCKS)}.")
        return f"{opening}{BLOCKS[name](evidence)}\n{closing}"

    return BLOCK.sub(write, text)


def _answer(evidence: Evidence) -> str:
    items = [line for item in numbered(answer(evidence)) for line in wrap(item, further="   ")]
    return "\n".join([*wrap(lead(evidence)), "", *items, "", *wrap(READING)])


def _claims(evidence: Evidence) -> str:
    rows = []
    for each in all_claims(evidence):
        for place, one in enumerate(each.numbers[:3] or [Number("see the page", "", "", "")]):
            first = (each.title, f"`paper/{each.see[0]}`", f"`{each.command}`") if place == 0 else ("", "", "")
            verdict = f"; {one.verdict}" if one.verdict else ""
            number = f"{one.what}: {one.value}{verdict}" if one.value else one.what
            rows.append((first[0], number, one.interval, *first[1:]))
    columns = ("claim", "number", "95 % interval", "output", "command")
    return "\n".join(markdown_table(columns, rows, [False, False, True, False, False]))


def _first(evidence: Evidence) -> str:
    """Return what the README's first command prints, from the committed records of its runs."""
    records = [
        each
        for each in evidence["demo/bert-books"]
        if all(getattr(each.result, name) in kept for name, kept in FIRST.items())
    ]
    records.sort(key=lambda each: tuple(kept.index(getattr(each.result, name)) for name, kept in FIRST.items()))
    with tempfile.TemporaryDirectory() as place:
        folders = [_write_run(record, Path(place) / str(number)) for number, record in enumerate(records)]
        text = render(compare_records(folders))
    return f"```\n{text}```"


def _write_run(record: Record, folder: Path) -> Path:
    arrays = {**record.predictions, "decision": np.zeros(len(record.predictions["row"]), np.float32)}
    record.result.write(folder, arrays, None)
    return folder


def _speed(evidence: Evidence) -> str:
    found, launching = evidence.json("benchmark.json"), evidence.json("overhead.json")
    columns = ("measured in one run on the same cores", "the suite", "named peer", "ratio")
    rows = [*map(_encoder_row, found["encoder"]), *map(_probe_row, found["probe"]), _workers_row(launching["workers"])]
    shares = [f"{each['share']:.2f} against {each['share_peer']:.2f}" for each in found["encoder"]]
    machine, jobs = found["provenance"], launching["jobs"]
    lines = [
        *markdown_table(columns, rows, [False, True, True, True]),
        "",
        *wrap(
            f"{machine['cores']} cores of an {machine['cpu']}. "
            f"Share of the machine's own matrix-product rate: {', '.join(shares)}."
        ),
        "",
        f"A sweep of {jobs['jobs']} tiny jobs takes {jobs['overhead']:.2f} s a job beyond what the probes take, "
        "start-up included.",
    ]
    return "\n".join(lines)


def _workers_row(figures: dict[str, Any]) -> tuple[str, ...]:
    what = f"{figures['fits']} jobs of ten fits each, {figures['workers']} workers of joblib"
    ours, theirs = figures["joblib"], figures["basic"]
    return what, f"{ours:.0f} s", f"the basic launcher: {theirs:.0f} s", f"{ours / theirs:.2f}"


def _encoder_row(figures: dict[str, Any]) -> tuple[str, ...]:
    size = f"{figures['rows']:,} rows, {figures['poolings']} poolings from one pass"
    what = f"{figures['name']}: {size}, against one pooling"
    peer = f"{figures['peer']}, batches of 32: {figures['theirs']:.0f} s"
    return what, f"{figures['ours']:.0f} s", peer, f"{figures['ratio']:.2f}"


def _probe_row(figures: dict[str, Any]) -> tuple[str, ...]:
    size = f"{figures['rows']:,} x {figures['width']}, {figures['classes']} classes"
    peer = f"{figures['peer']}: {figures['theirs']:.1f} s"
    return f"seven-value logistic grid, {size}, refitted", f"{figures['ours']:.1f} s", peer, f"{figures['ratio']:.2f}"


def _parity(evidence: Evidence) -> str:
    rows = [
        (
            each["title"],
            "erf" if each["hidden_act"] == "gelu" else "tanh",
            *(f"{each[name]:.1e}" for name in SYSTEMS),
        )
        for each in evidence.json("parity.json")["bert-books"]["systems"]
    ]
    numeric = [False, False, *(True for _ in SYSTEMS)]
    return "\n".join(markdown_table(("system", "GELU", *SYSTEMS.values()), rows, numeric))


BLOCKS: dict[str, Callable[[Evidence], str]] = {
    "answer": _answer,
    "claims": _claims,
    "compute": compute,
    "coverage": coverage,
    "first": lambda evidence: table_alone(_first(evidence)),
    "hours": hours,
    "limits": limits,
    "parity": _parity,
    "speed": _speed,
}


if __name__ == "__main__":
    main()

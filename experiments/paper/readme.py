"""The numbers of the READMEs: ``python -m experiments.readme`` writes their blocks anew from the committed records; check=true only looks.

A block stands between ``<!-- NAME: python -m experiments.readme -->`` and ``<!-- end -->``.
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
from experiments.manifest import RECORDS_DIR
from experiments.paper.claims.answer import CLAIMS, answer
from experiments.paper.claims.sentences import Number
from experiments.paper.evidence import Evidence
from src.cli.application import print_text
from src.errors import UserError
from src.sweeps.comparison import compare_records, render

BLOCK = re.compile(r"(<!-- (\w+): python -m experiments\.readme -->\n).*?(<!-- end -->)", re.DOTALL)
FIRST = {
    "dataset": ("demo_sentiment", "demo_coherence"),
    "pooling": ("cls", "pooler", "mean", "max"),
}  # the README's first command


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    pages: tuple[str, ...] = ("README.md", "experiments/README.md")
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
            raise UserError(
                f"{page} does not say what the records do. Write its blocks anew: python -m experiments.readme"
            )
        if after != before:
            page.write_text(after, encoding="utf-8", newline="\n")
        print_text(f"{page}: {'as the records say' if after == before else 'written anew'}")


def fill(text: str, evidence: Evidence) -> str:
    """A page with its blocks written anew; UserError for a block that nothing here makes."""

    def block(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        if name not in BLOCKS:
            raise UserError(f"no block is called '{name}'. Known: {', '.join(BLOCKS)}.")
        return f"{opening}{BLOCKS[name](evidence)}\n{closing}"

    return BLOCK.sub(block, text)


def _answer(evidence: Evidence) -> str:
    return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(answer(evidence), 1))


def _claims(evidence: Evidence) -> str:
    lines = ["| claim | number | 95 % interval | output | command |", "| --- | --- | ---: | --- | --- |"]
    for each in (claim(evidence) for claim in CLAIMS):
        for place, one in enumerate(each.numbers[:3] or [Number("see the page", "", "", "")]):
            first = (each.title, f"`paper/{each.see[0]}`", f"`{each.command}`") if place == 0 else ("", "", "")
            lines.append(f"| {first[0]} | {one.what}: {one.value} | {one.interval} | {first[1]} | {first[2]} |")
    return "\n".join(lines)


def _first(evidence: Evidence) -> str:
    """What the first command prints at its end, from the records of the same runs."""
    records = [
        each
        for each in evidence["demo/bert-books"]
        if all(getattr(each.result, name) in kept for name, kept in FIRST.items())
    ]
    records.sort(key=lambda each: tuple(kept.index(getattr(each.result, name)) for name, kept in FIRST.items()))
    with tempfile.TemporaryDirectory() as place:
        folders = [_written(record, Path(place) / str(number)) for number, record in enumerate(records)]
        lines = render(compare_records(folders)).splitlines()
    return "\n".join(["```", *(line for line in lines if not re.search(r"\b(hit|miss|partial) \d+ s", line)), "```"])


def _written(record: Record, folder: Path) -> Path:
    arrays = {**record.predictions, "decision": np.zeros(len(record.predictions["row"]), np.float32)}
    record.result.write(folder, arrays, {})
    return folder


def _speed(evidence: Evidence) -> str:
    found = evidence.json("benchmark.json")
    lines = [
        "| measured in one run on the same cores | the suite | named peer | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [_encoder(each) for each in found["encoder"]] + [_probe(each) for each in found["probe"]]
    launched = evidence.json("overhead.json")
    lines += [_workers(launched["workers"])]
    made = found["provenance"]
    share = [f"{each['share']:.2f} against {each['share_peer']:.2f}" for each in found["encoder"]]
    lines += [
        "",
        f"{made['cores']} cores of an {made['cpu']}. Share of the machine's own matrix-product rate: {', '.join(share)}.",
    ]
    jobs = launched["jobs"]
    lines += [
        "",
        f"A sweep of {jobs['jobs']} tiny jobs takes {jobs['overhead']:.2f} s a job beyond what the probes take, start-up included.",
    ]
    return "\n".join(lines)


def _workers(figures: dict[str, Any]) -> str:
    what = f"{figures['fits']} jobs of ten fits each, {figures['workers']} workers of joblib"
    ours, theirs = figures["joblib"], figures["basic"]
    return f"| {what} | {ours:.0f} s | the basic launcher: {theirs:.0f} s | {ours / theirs:.2f} |"


def _encoder(figures: dict[str, Any]) -> str:
    what = f"{figures['name']}: {figures['rows']:,} rows, {figures['poolings']} poolings stored, against one pooling"
    return f"| {what} | {figures['ours']:.0f} s | {figures['peer']}, batches of 32: {figures['theirs']:.0f} s | {figures['ratio']:.2f} |"


def _probe(figures: dict[str, Any]) -> str:
    what = (
        f"seven-value logistic grid, {figures['rows']:,} x {figures['width']}, {figures['classes']} classes, refitted"
    )
    return (
        f"| {what} | {figures['ours']:.1f} s | {figures['peer']}: {figures['theirs']:.1f} s | {figures['ratio']:.2f} |"
    )


def _parity(evidence: Evidence) -> str:
    columns = ("sequence_output", "pooled_output", "pooler_formula", "pooled_against_cls")
    names = (
        "`sequence_output`",
        "`pooled_output`",
        "`pooled_output` - `tanh(W h + b)`",
        "`pooled_output` - `sequence_output[:,0]`",
    )
    lines = [f"| system | GELU | {' | '.join(names)} |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for each in evidence.json("parity.json")["bert-books"]["systems"]:
        kind = "erf" if each["hidden_act"] == "gelu" else "tanh"
        lines.append(f"| {each['title']} | {kind} | {' | '.join(f'{each[name]:.1e}' for name in columns)} |")
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[Evidence], str]] = {
    "answer": _answer,
    "claims": _claims,
    "first": _first,
    "parity": _parity,
    "speed": _speed,
}


if __name__ == "__main__":
    main()

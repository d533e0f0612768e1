"""Write blocks of the README and of docs/: limits, hours, machines and intervals, from the records."""

from __future__ import annotations

import math
import re
import textwrap

from experiments.formatting import join_names
from experiments.paper.claims.answer import has_base, other_encoders
from experiments.paper.evidence import Evidence
from experiments.paper.page import BERT_BASE, bag_counts

WIDTH = 100  # columns of prose
BASE = "BERT-base"
BASE_WIDTH = 768
BERT_PIECES = "all-MiniLM-L6-v2"  # has the word pieces of bert-base-uncased


def wrap(text: str, first: str = "", further: str = "") -> list[str]:
    """Return a paragraph as lines that break no code; `first` and `further` begin the first line and the others."""
    kept = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(
        kept, WIDTH, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def table_alone(block: str) -> str:
    """Return a block of code with the rows of its table alone."""
    first, *lines, last = block.splitlines()
    return "\n".join([first, *(line for line in lines if line.startswith("|")), last])


def limits(evidence: Evidence) -> str:
    """Return what the answer does not show, as a quotation."""
    measured = has_base(evidence)
    text = (
        f"**What this does not show.** Encoders are {'' if measured else 'small, '}frozen and English. "
        f"{other_encoders(evidence)} A bag of word pieces scores above all three (no test) on "
        f"{bag_counts(evidence)}."
    )
    if not measured:
        found = base_hours(evidence)
        text += (
            f" {BASE} is only [predicted](paper/predictions.md). `{BERT_BASE}` measures it, in "
            f"about {found['cpu']:.1f} hours on two CPU cores, or {found['probes']:.1f} with a GPU "
            "([estimates](docs/speed.md#hours-for-bert-base))."
        )
    return "\n".join(wrap(text, "> ", "> "))


def base_hours(evidence: Evidence) -> dict[str, float]:
    """Return estimated hours of the sweep `poolings` with BERT-base, and what they follow from.

    Returns
    -------
    dict
        ``tokens`` are the word pieces of all tasks, ``rate`` the measured word pieces a second
        through BERT-base's shape, ``encode`` the hours of the forward passes on two cores.
        ``probes`` are the hours of everything else, the ``measured`` ones of the narrower model in
        proportion to each pooling's width. ``cpu`` is the sum of both.
    """
    records = [record.result for record in evidence[f"poolings/{BERT_PIECES}"]]
    tokens = sum({each.dataset: each.counts["tokens"] for each in records}.values())
    shape = next(each for each in evidence.json("benchmark.json")["encoder"] if BASE in each["name"])
    rate = shape["tokens"] / shape["ours"]
    rest = math.fsum(
        (each.timing["total"] - each.timing["encode"]) * BASE_WIDTH / each.counts["width"] for each in records
    )
    encode, probes = tokens / rate / 3600, rest / 3600
    measured = math.fsum(each.timing["total"] - each.timing["encode"] for each in records) / 3600
    return {
        "tokens": tokens, "rate": rate, "encode": encode, "measured": measured, "probes": probes,
        "cpu": encode + probes,
    }  # fmt: skip


def hours(evidence: Evidence) -> str:
    """Return how the hours for BERT-base are estimated."""
    found = base_hours(evidence)
    lines = wrap(
        f"`{BERT_BASE}` encodes {found['tokens'] / 1e6:.1f} million word pieces, as counted with BERT's vocabulary. At "
        f"the {found['rate']:,.0f} a second that {BASE}'s shape reached in the table above, its forward passes take "
        f"{found['encode']:.1f} hours. The rest of such a sweep took {60 * found['measured']:.0f} minutes with "
        f"`{BERT_PIECES}`, and takes {found['probes']:.1f} hours at width {BASE_WIDTH} in proportion."
    )
    return "\n".join(lines)


def compute(evidence: Evidence) -> str:
    """Return what a pass takes on a CPU, as an item of a list."""
    found, launching = evidence.json("benchmark.json"), evidence.json("overhead.json")["jobs"]
    machine = found["provenance"]
    passes = [
        f"{each['name']} ({each['rows']:,} rows, {each['poolings']} poolings) {each['ours']:.0f} s"
        for each in found["encoder"]
    ]
    text = (
        f"**Time** on {machine['cores']} cores of an {machine['cpu']}: {join_names(passes)}. A sweep adds "
        f"{launching['overhead']:.2f} s a job. Another pooling of the same texts is read from the store."
    )
    return "\n".join(wrap(text, "- ", "  "))


def coverage(evidence: Evidence) -> str:
    """Return how often paired intervals of Spearman's differences contain the truth."""
    kept = [
        row
        for row in evidence.csv("simulation.csv")
        if (row["quantity"], row["method"], row["metric"]) == ("coverage", "paired bootstrap", "spearman")
        and "correlations" in row["setting"]
    ]
    values = [100 * float(row["measured"]) for row in kept]
    rows = join_names([f"{size}" for size in sorted({int(row["rows"]) for row in kept})])
    text = (
        f"In simulation, paired 95 % intervals of differences contain the truth in {min(values):.1f} to "
        f"{max(values):.1f} % of {int(kept[0]['trials']):,} trials, at {rows} rows, with and without sets "
        "(`python -m experiments.benchmarks.calibration`)."
    )
    return "\n".join(wrap(text))

"""Write the model card of an exported folder."""

from __future__ import annotations

import json

from src.results.display import format_score
from src.results.escaping import markdown
from src.results.result import Result

HEAD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- feature-extraction
---
"""


def model_card(result: Result, *, pooling: str, record: str, output: str, max_length: int, notes: list[str]) -> str:
    """Return the card as Markdown, without a path of the machine.

    Parameters
    ----------
    pooling : str
        The pooling, or those that are concatenated.
    record, output : str
        Names of the two folders.
    max_length : int
        Word pieces of a row.
    notes : list of str
        What a user of the folder has to know, a sentence each.
    """
    model = result.provenance.get("model") or {}
    commit = f", commit {model['commit']}" if model.get("commit") else ""
    score = format_score(result.score["metric"], result.score)
    lines = [
        HEAD,
        f"# {markdown(output)}",
        "",
        "A frozen encoder with the pooling that a run of bert-pooling-probes measured. Nothing was trained.",
        "",
        f"- Base model: {markdown(f'{result.model}{commit}')}",
        f"- Pooling: {markdown(pooling)}",
        f"- Layer: {result.layer}",
        f"- Word pieces of a row: {max_length}",
        f"- Measured: {markdown(result.dataset)}, {result.score['metric']} {score} (read-out {result.probe}, pairing "
        f"{result.pairing})",
        f"- Made with: `python -m experiments.export record={record} output={output}`",
        "",
        *(f"{note}\n" for note in notes),
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        f'SentenceTransformer({json.dumps(output)}).encode(["a text", "another text"])',
        "```",
    ]
    return "\n".join(lines) + "\n"

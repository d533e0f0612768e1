"""Measure the geometry of each representation from [CLS] to the pooler.

``python -m experiments.studies.geometry [model=NAME] dataset=a,b output=FILE``

Takes the overrides of ``python -m src.run``. Describes every pooling of the ladder, mean and max on
every task: saturation, dimension, anisotropy, conditioning, and the similarity of any two. Also
describes the pooler's singular values, and the part of [CLS] that they remove.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli import command
from experiments.configurations import configs
from experiments.files import write_json
from src.cli.messages import print_text
from src.config.schema import Config
from src.errors import UserError
from src.evaluation import geometry
from src.features.inputs import encoder_inputs
from src.models.pooler import marchenko_pastur
from src.pipeline.prepare import PreparedRun, open_run
from src.runtime import provenance
from src.runtime.parallel import parallel_map

REPRESENTATIONS = ("cls", "pooler_preactivation", "pooler", "pooler_inverse", "random_pooler", "mean", "max")
BOUNDED = ("pooler", "random_pooler")  # by tanh
ROWS = 5000  # of a task's training split, evenly spaced
Views = dict[str, np.ndarray]


@command(configs)
def main(tasks: list[Config]) -> None:
    """Write the record and print its main lines."""
    if not tasks[0].output:
        raise UserError("output is not set. Name the file that the record goes into: output=FILE.json.")
    output = Path(tasks[0].output)
    found = measure(tasks)
    write_json(output, found)
    for line in format_record(found):
        print_text(line)
    print_text(str(output))


def measure(tasks: list[Config]) -> dict[str, Any]:
    """Return the record of one model on some tasks."""
    found: dict[str, Any] = {"tasks": {}}
    for config in tasks:
        prepared = open_run(config)
        weight = prepared.extractor.encoder.pooler.weight
        found["tasks"][prepared.data.name] = _measure_task(prepared, weight)
        found |= {
            "model": prepared.model_name,
            "pooler": {**prepared.extractor.info.pooler, "weight": None if weight is None else spectrum(weight)},
            "provenance": _provenance(prepared),
        }
    return found


def _measure_task(prepared: PreparedRun, weight: np.ndarray | None) -> dict[str, Any]:
    found, rows = views(prepared)
    pairs = list(combinations(found, 2))
    with parallel_map() as over:
        described = list(over(lambda name: describe(name, found[name]), found))
        alike = list(over(lambda pair: geometry.cka(found[pair[0]], found[pair[1]]), pairs))
    return {
        "split": prepared.data.train.name,
        "rows": rows,
        "pairing": prepared.config.pairing if prepared.data.train.text_pair is not None else None,
        "texts": [prepared.data.train.text_digest, prepared.data.train.text_pair_digest],
        "lacking": sorted(set(REPRESENTATIONS) - set(found)),  # without a pooler
        "representations": dict(zip(found, described, strict=True)),
        "cka": {" ".join(pair): value for pair, value in zip(pairs, alike, strict=True)},
        "difference": {name: geometry.difference(found["cls"], found[name]) for name in found if name != "cls"},
        "dropped_by_pooler": None if weight is None else geometry.dropped(found["cls"], weight),
    }


def views(prepared: PreparedRun) -> tuple[Views, int]:
    """Return each representation of the same texts, and the number of rows.

    Returns
    -------
    views : dict of str to (texts, width) float32
        Two texts of a pair that are encoded apart count as two.
    rows : int
    """
    read, extractor, config = prepared.data, prepared.extractor, prepared.config
    known = [
        name
        for name, layer in extractor.supported_targets([extractor.resolve_layer(config.layer)])
        if name in REPRESENTATIONS
    ]
    kept = np.unique(np.linspace(0, len(read.train) - 1, min(ROWS, len(read.train))).astype(np.int64))
    found = {}
    for name in sorted(known, key=REPRESENTATIONS.index):
        target = extractor.resolve_target(name, config.layer)
        pieces = [
            extractor.features(text, target).values[kept]
            for text in encoder_inputs(read.train, config.pairing, read.name)
        ]
        found[name] = np.concatenate(pieces)
    return found, len(kept)


def describe(name: str, values: np.ndarray) -> dict[str, Any]:
    """Return the figures of one representation; saturation only if tanh is its last step."""
    return {
        "width": values.shape[1],
        "rank": geometry.rank(values),
        "effective_rank": geometry.effective_rank(values),
        "participation_ratio": geometry.participation_ratio(values),
        "condition_number": geometry.condition_number(values),
        "condition_number_standardised": geometry.condition_number(values, standardise=True),
        "anisotropy": geometry.anisotropy(values),
        "saturation": geometry.saturation(values) if name in BOUNDED else None,
    }


def spectrum(weight: np.ndarray) -> dict[str, Any]:
    """Return a matrix's singular values, its condition number, and the law of a random one."""
    singular = np.linalg.svd(weight, compute_uv=False)
    condition = singular[0] / singular[-1] if singular[-1] else np.inf
    return {"singular_values": singular.tolist(), "condition_number": float(condition), **marchenko_pastur(weight)}


def _provenance(prepared: PreparedRun) -> dict[str, Any]:
    extractor, runtime = prepared.extractor, prepared.config.runtime
    given = extractor.checkpoint
    return provenance.collect(
        device=extractor.options.device,
        gpu=extractor.gpu,
        threads=extractor.workers,
        dtype=runtime.dtype,
        attention=extractor.info.attention,
        model={"path": given.label, "commit": given.commit, "weights": given.weights, "tokenizer": given.tokenizer},
    )


def format_record(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each representation of each task."""
    printed = [f"{found['model']}: pooler {found['pooler']['status']}"]
    for task, each in found["tasks"].items():
        for name, figures in each["representations"].items():
            ends = figures["saturation"]
            printed.append(
                f"{task:<15} {name:<21}effective rank {figures['effective_rank']:6.1f} of {figures['width']}  "
                f"anisotropy {figures['anisotropy']:6.3f}  condition {figures['condition_number']:9.3g}"
                + (f"  saturated {ends['nearly']:.3%} (bfloat16 {ends['bfloat16']:.3%})" if ends else "")
            )
    return printed


if __name__ == "__main__":
    main()

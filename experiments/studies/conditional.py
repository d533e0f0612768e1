"""Measure what a representation adds to [CLS].

``python -m experiments.studies.conditional [model=NAME] dataset=a,b output=FOLDER``

Takes the overrides of ``python -m src.run``. Probes [CLS] alone and beside another representation,
with one protocol, so that the other's columns can add only what no linear probe finds in [CLS]. The
baseline is [CLS] beside zeros; a penalised probe fits it as [CLS] alone, because constant columns
get no weight.

Two controls are functions of [CLS] with the pooler's width. ``random_pooler``, a tanh of random
directions, shows what any nonlinearity adds. ``pooler_preactivation`` shows what a linear map adds,
which is a lighter penalty on some directions. ``mean`` depends on the other tokens too. Each run
writes a record like any other, and information.csv holds the bits gained.

References
----------
Hewitt et al. (2021), Conditional probing: measuring usable information beyond a baseline.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli import command
from experiments.configurations import configs
from experiments.files import make_folder, task_folder, write_csv
from experiments.losses import WITH_DEVIANCE
from src.cli.messages import print_text
from src.config.schema import Config, PoolingConfig
from src.errors import UserError
from src.pipeline.prepare import prepare
from src.pipeline.record import renamed
from src.pipeline.run import run_probe
from src.pooling import CONCAT
from src.probes.decisions import losses
from src.results.cache import ResultCache
from src.results.display import result_summary
from src.results.result import RECORD, Result, read_predictions
from src.run import instantiate
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import find_jobs
from src.sweeps.report import write_comparison
from src.sweeps.status import write_status

BASELINE = "cls"
ADDED = ("pooler", "pooler_preactivation", "random_pooler", "mean")
COLUMNS = ("model", "dataset", "pooling", "rows", "bits", "gain", "low", "high", "metric", "value")


@command(configs)
def main(tasks: list[Config]) -> None:
    """Probe every task with every representation and print the comparison."""
    if not tasks[0].output:
        raise UserError("output is not set. Name the folder that the records go into: output=FOLDER.")
    if tasks[0].probe.name not in WITH_DEVIANCE:
        raise UserError(
            f"probe={tasks[0].probe.name}: bits are those of a fitted probability. Use probe=logistic or probe=ridge."
        )
    folder = Path(tasks[0].output)
    places = [task_folder(folder, config.dataset.name) for config in tasks]
    for config, place in zip(tasks, places, strict=True):
        for each in representations():
            run(replace(config, pooling=each), place / each.label)
    # Of all records there, so that a later command over other tasks loses none.
    order = [each.label for each in representations()]
    found = [path for path in find_jobs(folder) if path.name in order and (path / RECORD).is_file()]
    found.sort(key=lambda path: (path.parent.name, order.index(path.name)))
    rows = [information(path.parent, path.name, Result.read(path)) for path in found]
    write_csv(folder / "information.csv", COLUMNS, rows, digits=6)
    write_comparison(compare_records(find_jobs(folder)), folder)


def representations() -> list[PoolingConfig]:
    """Return [CLS] alone, then beside each of `ADDED`."""
    return [PoolingConfig(BASELINE), *(PoolingConfig(CONCAT, [BASELINE, each]) for each in ADDED)]


def run(config: Config, folder: Path) -> Result:
    """Return the record in `folder`, after running what has not been run before.

    Raises
    ------
    UserError
        The folder holds the record of another run.
    """
    prepared = prepare(config)
    if (folder / RECORD).is_file() and (other := Result.read(folder)).key != prepared.key:
        raise UserError(
            f"{folder} holds a record of {other.model} with seed={other.seed}, or with other options. Name another "
            "output= for this one."
        )
    make_folder(folder)
    cache = ResultCache(prepared.extractor.store.root)
    if cache.get(prepared.key, folder, partial(renamed, prepared)):
        write_status(folder, "skipped")
        return Result.read(folder)
    finished = run_probe(prepared, instantiate(config.probe))
    cache.put(prepared.key, finished.files)
    finished.write(folder)
    write_status(folder, "done")
    print_text(result_summary(finished.result))
    return finished.result


def information(folder: Path, name: str, result: Result) -> dict[str, Any]:
    """Return a probe's loss in bits a test row, and its gain over [CLS] alone with a 95 % interval.

    A regression has half the logarithm of its mean squared error, by which Gaussian codes of two
    probes differ. Its gain has no interval.

    References
    ----------
    Hewitt et al. (2021), section 2.
    Xu et al. (2020), A theory of usable information under computational constraints.
    """
    classes = int(result.counts["classes"])
    own, baseline = (_losses(folder / each, classes) for each in (name, BASELINE))
    found = {"model": result.model, "dataset": result.dataset, "pooling": name, "rows": len(own)}
    found |= {"metric": result.score["metric"], "value": result.score["value"]}
    if classes == 0:
        gain = np.log2(baseline.mean() / own.mean()) / 2
        return {**found, "bits": np.log2(own.mean()) / 2, "gain": gain, "low": None, "high": None}
    gain, spread = (baseline - own).mean(), 1.96 * (baseline - own).std(ddof=1) / np.sqrt(len(own))
    return {**found, "bits": own.mean(), "gain": gain, "low": gain - spread, "high": gain + spread}


def _losses(folder: Path, classes: int) -> np.ndarray:
    """Return the loss of each test row, in bits or squared error, averaged over draws."""
    arrays = read_predictions(folder)
    label, outputs = arrays["label"], arrays["prediction" if classes == 0 else "decision"].astype(np.float64)
    draws = outputs if arrays["prediction"].ndim == 2 else outputs[None]
    found: np.ndarray = np.mean([losses(each.reshape(len(label), -1), label, classes) for each in draws], axis=0)
    return found if classes == 0 else found / np.log(2)


if __name__ == "__main__":
    main()

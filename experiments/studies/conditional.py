"""Does anything add to [CLS]? ``python -m experiments.studies.conditional [model=NAME] dataset=a,b output=FOLDER``.

Takes the words of ``python -m src.run``. Probes [CLS] alone and beside another representation, with one protocol, so that the other's
columns gain what no linear probe finds in [CLS] itself. The baseline is [CLS] beside zeros, which a penalised probe fits as [CLS] alone:
columns that never vary get no weight. Two controls have the pooler's width and are functions of [CLS] too: ``random_pooler``, the same
tanh of as many random directions, for what any nonlinearity adds; ``pooler_preactivation``, for what a linear map adds, which is a lighter
penalty on some directions and nothing else. Beside them stands ``mean``, which has seen the other tokens. Each run leaves a record like
any other, and information.csv holds the bits gained.

References
----------
Hewitt et al. (2021), Conditional probing: measuring usable information beyond a baseline.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli import command
from experiments.configurations import configs
from src.cli.messages import print_text
from src.config.schema import Config
from src.errors import UserError
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput, PoolingTarget
from src.features.vectors import PooledFeatures
from src.pipeline.run import PreparedRun, prepare, run_probe
from src.pooling import poolings
from src.probes.decisions import losses
from src.results.cache import ResultCache
from src.results.display import result_summary
from src.results.result import Result, read_predictions
from src.run import instantiate
from src.sweeps import sweep
from src.sweeps.status import write_status

BASELINE = "cls"
BESIDE = ("pooler", "pooler_preactivation", "random_pooler", "mean")
JOIN = "+"
NAMES = (BASELINE, *(f"{BASELINE}{JOIN}{each}" for each in BESIDE))
COLUMNS = ("model", "dataset", "pooling", "rows", "bits", "gain", "low", "high", "metric", "value")


@command(configs)
def main(tasks: list[Config]) -> None:
    """Probe every task with every representation and print the comparison."""
    if not tasks[0].output:
        raise UserError("output is not set. Name the folder that the records go into: output=FOLDER.")
    folder, rows = Path(tasks[0].output), []
    for config in tasks:
        done = {name: run(config, name, folder / config.dataset.name / name) for name in NAMES}
        rows += [information(folder / config.dataset.name, name, result) for name, result in done.items()]
    write(folder / "information.csv", rows)
    sweep.report(folder)


@dataclass
class Beside(FeatureExtractor):
    """An extractor for which ``cls+pooler`` is a pooling too: the columns of both, side by side."""

    def features(self, text: EncoderInput, target: PoolingTarget, also_layers: Any = ()) -> PooledFeatures:
        pieces = [
            FeatureExtractor.features(self, text, (name, target[1]), also_layers) for name in target[0].split(JOIN)
        ]
        values = np.concatenate([piece.values for piece in pieces], axis=1)
        return replace(pieces[0], values=values, hit=all(piece.hit for piece in pieces))


@dataclass
class Joined(PreparedRun):
    """A run on several poolings side by side; its key is made of all of them."""

    @property
    def identity(self) -> dict[str, Any]:
        each = self.target[0].split(JOIN)
        plain = PreparedRun(self.config, self.data, self.extractor, (each[0], self.target[1]), self.clock)
        if len(each) == 1:  # as the main door runs it
            return plain.identity
        return {**plain.identity, "pooling": self.target[0], "code": [poolings[name].code for name in each]}


def run(config: Config, name: str, folder: Path) -> Result:
    """One record in `folder`; a run that was done before is not done again."""
    prepared = joined(prepare(config), name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={config.output} cannot be written: {error.strerror}. Name another folder.") from error
    cache = ResultCache(prepared.extractor.store.root)
    if cache.get(prepared.key, folder, prepared.names):
        write_status(folder, "skipped")
        return Result.read(folder)
    finished = run_probe(prepared, instantiate(config.probe))
    cache.put(prepared.key, finished.files)
    finished.write(folder)
    write_status(folder, "done")
    print_text(result_summary(finished.result))
    return finished.result


def joined(plain: PreparedRun, name: str) -> Joined:
    """The same run on these poolings, each of which has to be one that the checkpoint has."""
    layers = {plain.extractor.resolve_target(each, plain.config.layer)[1] for each in name.split(JOIN)}
    extractor = Beside(**vars(plain.extractor))
    return Joined(plain.config, plain.data, extractor, (name, layers.pop()), plain.clock)


def information(folder: Path, name: str, result: Result) -> dict[str, Any]:
    """What a probe is short of its labels, in bits a test row, and what it gains on [CLS] alone, with a 95 % interval over rows.

    Of a regression it is half the logarithm of the mean squared error, by which alone Gaussian codes of two probes differ; its gain has no
    interval here.

    References
    ----------
    Hewitt et al. (2021), section 2; Xu et al. (2020), A theory of usable information under computational constraints.
    """
    classes = int(result.counts["classes"])
    own, other = (_losses(folder / each, classes) for each in (name, BASELINE))
    found = {"model": result.model, "dataset": result.dataset, "pooling": name, "rows": len(own)}
    found |= {"metric": result.score["metric"], "value": result.score["value"]}
    if classes == 0:
        return {
            **found,
            "bits": np.log2(own.mean()) / 2,
            "gain": np.log2(other.mean() / own.mean()) / 2,
            "low": None,
            "high": None,
        }
    gain, spread = (other - own).mean(), 1.96 * (other - own).std(ddof=1) / np.sqrt(len(own))
    return {**found, "bits": own.mean(), "gain": gain, "low": gain - spread, "high": gain + spread}


def _losses(folder: Path, classes: int) -> np.ndarray:
    """Of each test row, (rows,): bits, or squared error; the mean over training draws where there are several."""
    arrays = read_predictions(folder)
    label, made = arrays["label"], arrays["prediction" if classes == 0 else "decision"].astype(np.float64)
    draws = made if arrays["prediction"].ndim == 2 else made[None]
    found: np.ndarray = np.mean([losses(each.reshape(len(label), -1), label, classes) for each in draws], axis=0)
    return found if classes == 0 else found / np.log(2)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
                for row in rows
            )
    except OSError as error:
        raise UserError(f"output={path.parent} cannot be written: {error.strerror}. Name another folder.") from error


if __name__ == "__main__":
    main()

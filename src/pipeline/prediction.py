"""Prediction: the stored probe, or the similarity, of a run on new rows without labels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.config.paths import cache_folder
from src.config.schema import Config
from src.data.dataset import Split
from src.data.unlabelled import UnlabelledFile
from src.errors import UserError
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput, encoder_inputs
from src.features.text_losses import TextLosses, loss_warnings
from src.features.unstored import UnstoredEncoder, unstored_encoder
from src.pipeline.prediction_files import Columns, check_output, prediction_writer
from src.pipeline.prepare import open_extractor
from src.pipeline.recorded import check_recorded, find_recorded_checkpoint
from src.probes.decisions import are_logits, probabilities
from src.probes.fitted import Prediction
from src.probes.protocols.base import get_protocol
from src.probes.stored import StoredProbe, StoredSimilarity, read_probe, read_similarity
from src.results.result import Result
from src.runtime.clock import Clock
from src.runtime.logs import log_once
from src.runtime.terminal import progress_bar
from src.storage.arrays import ArrayStore

Stored = StoredProbe | StoredSimilarity

log = logging.getLogger(__name__)


BLOCK_ROWS = 4096  # read, encoded and written at once: bounds the memory


@dataclass(frozen=True)
class PredictionFiles:
    """The files of a prediction.

    Attributes
    ----------
    record : Path
        Folder of the run.
    input, output : str
    text, text_pair : str or None
        Columns of `input`; None: those of the run's own configuration.
    """

    record: Path
    input: str
    output: str
    text: str | None = None
    text_pair: str | None = None


def predict(config: Config, files: PredictionFiles, report: Callable[[str], None] = print) -> Path:
    """Write the stored probe's predictions of new rows, in their order, and return the file's path.

    The output has the columns ``label`` and ``probability`` (of that label), or ``decision`` where
    the estimator gives no probabilities. It is ``score`` for regression, and ``similarity`` where
    the run fitted nothing. The rows are read, encoded and written in blocks. Their features are not stored.

    Parameters
    ----------
    config : Config
        The run's own configuration, with another place of the model or another runtime.
    files : PredictionFiles
    report : callable
        Gets a line for the user.

    Raises
    ------
    UserError
        The record, the input or the output cannot be used, or the checkpoint is not the run's.
    """
    result = Result.read(files.record)
    fitted = get_protocol(config.probe).FITTED
    stored = read_probe(files.record, result) if fitted else read_similarity(files.record, result)
    rows, output = _input_rows(_with_columns(config, result), files), check_output(files.output, files.input)
    count = rows.count(BLOCK_ROWS)
    extractor = _open_checkpoint(config, result, stored)
    with unstored_encoder(extractor, stored.target) as encoder:
        _write(output, rows, count, _Predictor(config, stored, encoder))
    (pooling, layer), by = stored.target, f"the probe of {result.dataset}" if fitted else config.probe.similarity
    report(f"{output}: {count:,} rows by {by} ({pooling}, layer {layer}, fitted on {stored.trained_on})")
    return output


def _with_columns(config: Config, result: Result) -> Config:
    """Return the configuration with the columns that the run found by their types, if it did."""
    data = result.provenance.get("data")
    found = data.get("columns") if isinstance(data, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        return config
    dataset = config.dataset
    text, text_pair = dataset.text or found.get("text"), dataset.text_pair or found.get("text_pair")
    return replace(config, dataset=replace(dataset, text=text, text_pair=text_pair))


def _input_rows(config: Config, files: PredictionFiles) -> UnlabelledFile:
    """Return the file of the new rows, with the columns that the run reads."""
    dataset = config.dataset
    text, text_pair = files.text or dataset.text, dataset.text_pair and (files.text_pair or dataset.text_pair)
    if files.text_pair and dataset.text_pair is None:
        raise UserError(
            f"text_pair={files.text_pair}: the probe of '{files.record.name}' reads one text a row. Leave it out."
        )
    if text is None:
        raise UserError("the run's configuration names no column of texts. Give text=COLUMN.")
    return UnlabelledFile(files.input, text, text_pair, dataset.quoting)


def _open_checkpoint(config: Config, result: Result, stored: Stored) -> FeatureExtractor:
    """Return the extractor of the run's checkpoint; UserError if it is another one."""
    checkpoint = find_recorded_checkpoint(config, result)
    extractor = open_extractor(config, checkpoint, ArrayStore(cache_folder(config.runtime.cache_dir)), Clock())
    target = extractor.resolve_target(config.pooling.label, config.layer)
    check_recorded(
        result,
        checkpoint,
        max_length=extractor.info.max_length,
        **{"pooling and layer": (target, stored.target), "pairing": (config.pairing, stored.pairing)},
    )
    return extractor


def _write(output: Path, rows: UnlabelledFile, count: int, predictor: _Predictor) -> None:
    """Write the predictions of all rows, and show the progress."""
    name, losses = Path(rows.path).name, list[TextLosses]()
    texts = count * (2 if predictor.reads_apart(rows) else 1)
    with (
        prediction_writer(output) as write,
        progress_bar(name, predictor.config.runtime.progress, total=texts, unit="text") as bar,
    ):
        for block in rows.blocks(BLOCK_ROWS):
            prediction, lost = predictor.predict(block, name, bar.update)
            losses += lost
            write(predictor.columns(prediction))
    total = TextLosses(*(sum(column) for column in zip(*map(dataclasses.astuple, losses), strict=True)))
    for line in loss_warnings(total, EncoderInput(range(texts), None, "", name), predictor.encoder.extractor.info):
        log_once(log, line)


@dataclass(frozen=True)
class _Predictor:
    """A stored probe with the encoder of its features."""

    config: Config
    stored: Stored
    encoder: UnstoredEncoder

    def reads_apart(self, rows: UnlabelledFile) -> bool:
        """Return whether each row is two inputs of the encoder."""
        return rows.text_pair is not None and self.stored.pairing == "separate"

    def predict(self, block: Split, name: str, report: Callable[[int], object]) -> tuple[Prediction, list[TextLosses]]:
        """Return the predictions of a block of rows, and what tokenizing lost of each side."""
        inputs = encoder_inputs(block, self.stored.pairing, name)
        encoded = [self.encoder.encode(column, report) for column in inputs]
        features = get_protocol(self.config.probe).pair_features([values for values, _ in encoded])
        return self.stored.predict(features), [lost for _, lost in encoded]

    def columns(self, prediction: Prediction) -> Columns:
        """Return the columns of the output for some rows."""
        values, decisions = prediction.labels, prediction.decisions
        if not self.stored.classes:
            return {"score" if isinstance(self.stored, StoredProbe) else "similarity": values.tolist()}
        labels = [self.stored.classes[number] for number in values]
        place = np.arange(len(values))
        if _has_probabilities(self.config):
            return {"label": labels, "probability": probabilities(decisions)[place, values].tolist()}
        chosen = decisions if decisions.ndim == 1 else decisions[place, values]
        return {"label": labels, "decision": chosen.astype(np.float64).tolist()}


def _has_probabilities(config: Config) -> bool:
    """Return whether the softmax of the probe's decision values is its probabilities."""
    return are_logits(str(config.probe.estimator.get("_target_")).rpartition(".")[2])

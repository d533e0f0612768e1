"""The options of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

from src.config.paths import CONF

FIXTURE = CONF.parent / "tests" / "fixtures" / "google"


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    folder: str = str(FIXTURE)  # with checkpoint/, hub/, savedmodel/, savedmodel-2019/
    checkpoint: str | None = None  # folder of a TensorFlow 1 checkpoint
    hub: str | None = None  # folder or URL of a TF-Hub module
    savedmodel: str | None = None  # folder or URL of a TensorFlow 2 SavedModel
    config: str | None = None  # bert_config.json
    vocab: str | None = None  # vocab.txt
    do_lower_case: bool | None = None
    modeling: str | None = None  # google-research/bert's modeling.py
    sentences: str | None = None  # text file with a sentence a line
    name: str | None = None  # of the model in the record
    output: str | None = None  # JSON file that the record is added to

"""Pre-train a small BERT on plain text: ``python -m experiments.pretrain text=FOLDER output=FOLDER``.

A folder of .txt files, a document each, becomes a checkpoint in the Hugging Face layout with a WordPiece tokenizer of its own, trained by
masked language modelling and next-sentence prediction. The same command goes on after a kill, to the same weights.

``model.path=FOLDER`` goes on from the weights and the tokenizer of any BERT checkpoint instead; ``schedule.objective=mlm`` leaves next
sentences out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.pretraining.recipe import DTYPES, NEGATIVES, OBJECTIVES, Pace, Schedule, Shape, Start
from src import trackers
from src.cli.application import run_app
from src.cli.messages import explain, print_text
from src.cli.structured import merge_into, mergeable
from src.config.schema import TrackerConfig
from src.errors import UserError
from src.runtime.provenance import folder_name


@dataclass
class Pretraining:
    """One pre-training, checked by `parse`."""

    text: str | None = None  # folder of .txt files
    output: str = "outputs/pretrain"
    held_out: float = 0.02  # last part of every document, never trained on
    model: Start = field(default_factory=Start)
    shape: Shape = field(default_factory=Shape)
    schedule: Schedule = field(default_factory=Schedule)
    pace: Pace = field(default_factory=Pace)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)


def main() -> None:
    ConfigStore.instance().store(name="pretraining", node=mergeable(Pretraining), provider="experiments.pretrain")
    run_app(task, config="pretrain", sweeps=False)


def task(composed: DictConfig) -> None:
    """Prepare the text, start the workers, log and report."""
    config = parse(composed)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    tracker = trackers.build(config.tracker)
    failed = True
    tracker.start(
        shown(config),
        name="pretrain",
        group=config.tracker.group,
        job_type="pretrain",
        tags=["pretrain"],
        folder=output,
    )
    try:
        from experiments.pretraining import workers

        workers.run(config, output, log=lambda row: tracker.measure(row, int(row["step"])))
        failed = False
    finally:
        line = tracker.finish(failed)
        if line:
            print_text(line)
    print_text(f"checkpoint: {output}, its figures by step in {output / 'training.csv'}")


def shown(config: Pretraining) -> dict[str, Any]:
    """The configuration as a tracker shows it, with no path of the machine."""
    found = {name: value for name, value in asdict(config).items() if name not in ("text", "output", "tracker")}
    found["model"] = {"path": config.model.path and folder_name(config.model.path)}
    found["pace"].pop("prepared")
    return found


def parse(composed: DictConfig) -> Pretraining:
    """Check a composed configuration.

    Raises
    ------
    UserError
        An unknown key, a value of the wrong type or out of its range.
    """
    try:
        plain: Any = OmegaConf.to_container(composed, throw_on_missing=True)
        plain.pop("hydra", None)
        config = merge_into(Pretraining, plain)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if config.text is None:
        raise UserError("text is not set. Name a folder of .txt files, a document each: text=FOLDER.")
    shape, schedule, pace = config.shape, config.schedule, config.pace
    for name, part, least in (
        ("shape", shape, {"layers": 1, "width": 1, "heads": 1, "vocab_size": 100}),
        ("schedule", schedule, {"steps": 1, "seed": 0, "warmup": 0, "decay": 0}),
        ("pace", pace, {"evaluate": 1, "save": 1, "workers": 1, "threads": 1, "held_out_rows": 1}),
    ):
        for key, smallest in least.items():
            value = getattr(part, key)
            if value is not None and value < smallest:
                raise UserError(f"{name}.{key}={value}: at least {smallest} is needed.")
    if config.model.path is not None and shape != Shape():
        raise UserError(
            "shape.* describes fresh weights, and model.path names a checkpoint that has a shape of its own. Leave one out."
        )
    if shape.width % shape.heads:
        raise UserError(f"shape.width={shape.width} cannot be shared by shape.heads={shape.heads}: use a multiple.")
    if not schedule.lengths or min(schedule.lengths.values()) < 0 or sum(schedule.lengths.values()) <= 0:
        raise UserError(
            f"schedule.lengths={schedule.lengths}: word pieces a row with their shares of the steps are needed, such as {{128: 1}}."
        )
    asked = [pace.held_out_length, *(length for length, share in schedule.lengths.items() if share)]
    if min(asked) < 16 or (config.model.path is None and max(asked) > shape.positions):
        raise UserError(
            f"schedule.lengths={schedule.lengths}: rows of 16 to shape.positions={shape.positions} word pieces are allowed."
        )
    if not 0 < config.held_out < 1:
        raise UserError(f"held_out={config.held_out}: a fraction between 0 and 1 is needed, such as 0.02.")
    if pace.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"pace.device={pace.device}: one of auto, cpu, cuda is needed.")
    for name, value, allowed in (
        ("embeddings", schedule.embeddings, ("svd", "random")),
        ("objective", schedule.objective, OBJECTIVES),
        ("negatives", schedule.negatives, NEGATIVES),
        ("dtype", schedule.dtype, DTYPES),
    ):
        if value not in allowed:
            raise UserError(f"schedule.{name}={value}: one of {', '.join(allowed)} is needed.")
    if not 0 <= schedule.dropout < 1:
        raise UserError(f"schedule.dropout={schedule.dropout}: a share from 0 up to 1 is needed, such as 0.1.")
    return config


if __name__ == "__main__":
    main()

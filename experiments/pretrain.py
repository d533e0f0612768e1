"""Pre-train a small BERT: ``python -m experiments.pretrain text=FOLDER output=FOLDER``.

A folder of .txt files, a document each, becomes a checkpoint in the Hugging Face layout with its
own WordPiece tokenizer. The objectives are masked language modelling and next-sentence prediction.
After an interruption, the same command continues to the same weights.

``model.path=FOLDER`` continues from the weights and the tokenizer of any BERT checkpoint instead;
``schedule.objective=mlm`` leaves next-sentence prediction out.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from experiments.files import make_folder
from experiments.pretraining.recipe import Pretraining
from experiments.pretraining.validation import parse
from src.cli.application import run_app
from src.cli.messages import print_text
from src.cli.structured import mergeable
from src.runtime.provenance import folder_name
from src.trackers.registry import build_tracker


def main() -> None:
    """Run the command under Hydra."""
    ConfigStore.instance().store(name="pretraining", node=mergeable(Pretraining), provider="experiments.pretrain")
    run_app(pretrain, config="pretrain", sweeps=False)


def pretrain(composed: DictConfig) -> None:
    """Prepare the text, train, log the figures and print where the checkpoint is."""
    config = parse(composed)
    output = Path(config.output)
    make_folder(output)
    tracker = build_tracker(config.tracker)
    failed = True
    tracker.start(
        shown_settings(config),
        name="pretrain",
        group=config.tracker.group,
        job_type="pretrain",
        tags=["pretrain"],
        folder=output,
    )
    try:
        from experiments.pretraining.workers import run_workers

        run_workers(config, output, log=lambda row: tracker.measure(row, int(row["step"])))
        failed = False
    finally:
        line = tracker.finish(failed)
        if line:
            print_text(line)
    print_text(f"checkpoint: {output}; its figures by step: {output / 'training.csv'}")


def shown_settings(config: Pretraining) -> dict[str, Any]:
    """Return the settings that a tracker shows, without paths of this machine."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("text", "output", "tracker")}
    settings["model"] = {"path": config.model.path and folder_name(config.model.path)}
    settings["pace"].pop("prepared")
    return settings


if __name__ == "__main__":
    main()

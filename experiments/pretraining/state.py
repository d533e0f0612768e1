"""The state of a training, from which an interrupted training continues to the same weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import BertForPreTraining

from experiments.pretraining.corpus import Corpus
from experiments.pretraining.recipe import Schedule, Shape
from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint
from src.storage.files import Unreadable, parse_json, require_fields

FIELDS = {"identity": dict, "step": int, "seconds": float, "rows": list}
OPTIMISER_VALUES = ("step", "exp_avg", "exp_avg_sq")  # AdamW's, per parameter


def training_identity(
    shape: Shape, schedule: Schedule, corpus: Corpus, workers: int, start: Checkpoint | None
) -> dict[str, Any]:
    """Return the settings that a continued training must share with its beginning.

    Steps, decay and rate are left out, so that the schedule's end may be moved.
    """
    kept = {key: value for key, value in asdict(schedule).items() if key not in ("steps", "decay", "rate")}
    kept["lengths"] = {str(length): share for length, share in schedule.lengths.items()}
    begin = {"shape": asdict(shape)} if start is None else {"weights": start.weights}
    return {**begin, "schedule": kept, "text": corpus.digest, "workers": workers}


class TrainingState:
    """Reads and writes weights, optimiser and progress as one file, which is replaced atomically.

    Parameters
    ----------
    folder : Path
        The training's output; the file is ``state.safetensors`` in it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.safetensors"

    def write(self, model: BertForPreTraining, optimiser: torch.optim.Optimizer, progress: Mapping[str, Any]) -> None:
        """Replace the file by the present state; `progress` goes into its metadata as JSON."""
        tensors = {f"weight.{name}": value.detach().contiguous() for name, value in model.named_parameters()}
        for name, parameter in model.named_parameters():
            for key, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{key}.{name}"] = value.contiguous()
        partial = self.path.with_suffix(".half")
        save_file(tensors, partial, metadata={"facts": json.dumps(progress)})
        os.replace(partial, self.path)

    def read(
        self, model: BertForPreTraining, optimiser: torch.optim.Optimizer, identity: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Restore weights and optimiser and return the progress.

        Raises
        ------
        UserError
            The file is damaged, or its training had another identity.
        """
        with safe_open(self.path, "pt") as file:
            progress = self._progress(file.metadata(), identity)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(file.get_tensor(f"weight.{name}"))
                    if not parameter.requires_grad:
                        continue
                    optimiser.state[parameter] = {
                        key: file.get_tensor(f"optimiser.{key}.{name}").to(parameter.device if key != "step" else "cpu")
                        for key in OPTIMISER_VALUES
                    }
        return progress

    def _progress(self, metadata: Mapping[str, str] | None, identity: Mapping[str, Any]) -> dict[str, Any]:
        try:
            progress = require_fields(parse_json((metadata or {})["facts"]), FIELDS)
        except (Unreadable, KeyError) as error:
            raise UserError(
                f"{self.path} is damaged ({flatten(error, 120)}). Remove it, and the training begins again."
            ) from error
        if differing := [key for key in identity if progress["identity"].get(key) != identity[key]]:
            raise UserError(
                f"output={self.path.parent} holds a training of another {' and '.join(differing)}. "
                "Name another output, or use the same settings."
            )
        return progress

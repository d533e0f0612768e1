"""What the commands of `experiments/` share: their decorator, and the option of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from src.cli.arguments import at_least, command, read_options, required

__all__ = ["ModelPath", "at_least", "command", "read_options", "required"]


@dataclass(frozen=True)
class ModelPath:
    """The option ``model.path``: a folder or hub id of a checkpoint."""

    path: str | None = None

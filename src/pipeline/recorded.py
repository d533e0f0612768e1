"""Open a finished run's checkpoint again, and refuse another one."""

from __future__ import annotations

from src.config.schema import Config
from src.errors import UserError
from src.models.checkpoint import Checkpoint
from src.models.finding import find_checkpoint
from src.results.result import Result


def find_recorded_checkpoint(config: Config, result: Result) -> Checkpoint:
    """Return the checkpoint of a record.

    Parameters
    ----------
    config : Config
        The run's own configuration, which may name another place of the model.
    result : Result

    Raises
    ------
    UserError
        The checkpoint cannot be found, or its weights or its tokenizer are not those of the record.
    """
    checkpoint = find_checkpoint(config.model)
    recorded = result.provenance.get("model")
    made: dict[str, object] = recorded if isinstance(recorded, dict) else {}
    for name, found in (("weights", checkpoint.weights), ("tokenizer", checkpoint.tokenizer)):
        if made.get(name) != found:
            raise UserError(
                f"model.path={config.model.path} is not the checkpoint of this run: its {name} have other SHA-256 "
                f"digests. Name the one that the run was made with ('{made.get('path')}') by model.path=."
            )
    return checkpoint


def check_recorded(result: Result, checkpoint: Checkpoint, *, max_length: int, **others: tuple[object, object]) -> None:
    """Check that a configuration gives what the record states.

    Parameters
    ----------
    max_length : int
        Word pieces of a row, as resolved.
    **others : tuple
        Further values by name: that of the configuration, and that of the record.

    Raises
    ------
    UserError
        A value differs, so that files of several runs lie in one folder.
    """
    settings = result.config.get("model") or {}
    read = {
        "length in word pieces": (max_length, settings.get("max_length")),
        "activation": (checkpoint.config.get("hidden_act"), settings.get("hidden_act")),
        **others,
    }
    for name, (given, kept) in read.items():
        if given != kept:
            raise UserError(
                f"the record's {name} is {kept}, and its configuration gives {given}. Name a folder whose files "
                "are of one run, with the model as that run read it."
            )

"""Command ``python -m src.extract ... output=FOLDER``: write the pooled features themselves.

``input=FILE`` stands for a file of rows without labels: ``dataset=files dataset.train=FILE
dataset.label=null``.
"""

from __future__ import annotations

import sys

if not __package__:  # python src/extract.py would put this folder's modules in the place of the standard library's
    sys.exit("error: call it as a module, from the folder that holds src/: python -m src.extract ...")

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from src.cli.application import run_app
from src.cli.messages import exit_on_error, print_json, print_text, short_path
from src.cli.streams import configure_process
from src.cli.validation import parse_config
from src.errors import UserError, shortened
from src.sweeps.checks import check_shards
from src.sweeps.job_process import SweepJob

log = logging.getLogger("src.extract")  # __main__ when run


def main() -> None:
    """Extract what the command line asks for; exit with status 1 if that fails or a job of a sweep fails."""
    configure_process()
    with exit_on_error("stopped."):
        sys.argv[1:] = expand_input(sys.argv[1:])
    run_app(task)


def expand_input(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``input=FILE`` replaced by what it stands for.

    >>> expand_input(["pooling=cls", "input=new.csv"])
    ['pooling=cls', 'dataset=files', 'dataset.train=new.csv', 'dataset.label=null']

    Raises
    ------
    UserError
        `input` names no file or several, or another dataset is named beside it.
    """
    given = [word for word in arguments if word.startswith("input=")]
    if not given:
        return list(arguments)
    if given[1:] or given[0] == "input=":
        raise UserError(f"{shortened(' '.join(given))}: input names one file. Give input=FILE.")
    named = [word for word in arguments if word.startswith("dataset=")]
    if other := [word for word in named if word != "dataset=files"]:
        raise UserError(f"{shortened(other[0])} and {given[0]} both name the rows. Leave one of them out.")
    files = [] if named else ["dataset=files"]
    meant = [*files, f"dataset.train={given[0].partition('=')[2]}", "dataset.label=null"]
    place = arguments.index(given[0])
    return [*arguments[:place], *meant, *arguments[place + 1 :]]


def task(composed: DictConfig) -> None:
    """Do a single extraction, or one job of a sweep, whose failure is written down and does not stop the others."""
    job = SweepJob.current()
    if job is None:
        _extract_checked(composed, sweep=False)
        return
    try:
        job.start()
        _extract_checked(composed, sweep=True)
    except Exception as error:
        job.fail(error)
    else:
        job.finish("done")


def _extract_checked(composed: DictConfig, *, sweep: bool) -> None:
    from src.pipeline.extraction import extract
    from src.pipeline.threads import resolved_threads

    config = parse_config(composed)
    if not config.output:
        raise UserError("src.extract needs output=FOLDER, where <split>.safetensors goes.")
    check_shards(config.runtime, sweep=sweep, extracts=True)
    with resolved_threads(config) as resolved:
        as_json = config.runtime.json
        paths = extract(resolved, Path(config.output).expanduser(), log.info if as_json else print_text)
    if as_json and not sweep:  # a sweep ends with its own line
        print_json({"results": [short_path(path) for path in paths]})


if __name__ == "__main__":
    main()

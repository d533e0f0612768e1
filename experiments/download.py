"""Download the files of runs from W&B, which `tracker.artifacts=true` has sent there.

``python -m experiments.download ENTITY/PROJECT output=FOLDER [group=GROUP] [sweep=ID]``

The folder then holds a record per run, as a sweep's folder does, so that runs of several machines
can be compared by paired tests: ``python -m experiments.report records=FOLDER``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cli import command, required
from experiments.dashboard import split_project
from src.cli.messages import print_text
from src.errors import UserError, flatten, shortened
from src.results.escaping import option
from src.results.result import RECORD, Result
from src.trackers.wandb_artifacts import ARTIFACT_FILES, ARTIFACT_TYPE, artifact_name


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    project: str = required("the W&B project, as ENTITY/PROJECT")
    output: str = required("the folder of the files, such as downloads/first")
    group: str | None = None
    sweep: str | None = None


@command(Options, positional="project")
def main(options: Options) -> None:
    """Download the files and print what they can be read with."""
    from src.trackers.wandb_server import offline_reason

    if options.group and options.sweep:
        raise UserError("group= and sweep= were both given. Name one: a group of runs, or a sweep of W&B.")
    split_project(options.project)
    output = Path(options.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"output={output} is no folder. Name another one.")
    reason = offline_reason()
    if reason is not None:
        raise UserError(f"nothing was downloaded from {options.project}: {reason}.\nRun `wandb login`.")
    try:
        found = save(_runs(options), output)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the runs of {options.project} could not be downloaded: {flatten(error)}.") from error
    if not found:
        raise UserError(
            f"no run of {options.project} that was asked for has files. Runs have them with tracker.artifacts=true."
        )
    print_text(f"{output}: {found} run{'s' if found > 1 else ''}")
    print_text(f"Compare them: python -m experiments.report {option('records', str(output))}")


def _runs(options: Options) -> Iterable[Any]:
    """Return the runs that were asked for."""
    import wandb

    api = wandb.Api()
    if options.sweep:
        return api.sweep(f"{options.project}/{options.sweep}").runs
    return api.runs(options.project, filters={"group": options.group} if options.group else {})


def save(runs: Iterable[Any], output: Path) -> int:
    """Download the artifacts of runs into a folder each, and return how many records there are.

    Parameters
    ----------
    runs : iterable of wandb.apis.public.Run
    output : Path
        The folder of an artifact has the artifact's name. Runs of equal records share it.

    Raises
    ------
    UserError
        An artifact has no name of a record, holds other files than those of a record or refers to files
        elsewhere, or its record cannot be read.
    """
    found = set()
    for run in runs:
        for artifact in run.logged_artifacts():
            if artifact.type != ARTIFACT_TYPE:
                continue
            folder = output / check_artifact(artifact)
            artifact.download(root=str(folder))
            Result.read(folder / RECORD)
            found.add(folder)
    return len(found)


def check_artifact(artifact: Any) -> str:
    """Return the name of an artifact's folder; raise a UserError if the artifact is not that of a record."""
    name = str(artifact.name).partition(":")[0]
    if not re.fullmatch(r"record-\w+", name, re.ASCII):
        raise UserError(f"artifact {shortened(name)!r} has no name of a record, such as {artifact_name('0' * 16)}.")
    for file, entry in sorted(artifact.manifest.entries.items()):
        if file not in ARTIFACT_FILES or getattr(entry, "ref", None):
            raise UserError(f"artifact {name} holds {shortened(file)!r}, which is no file of a record.")
    return name


if __name__ == "__main__":
    main()

"""Texts of errors, and how commands print."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import shutil
import sys
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.cli.structured import not_none
from src.config.schema import Config
from src.errors import UserError, flatten, mask, printable, shortened
from src.registry import unknown

if TYPE_CHECKING:
    from hydra.errors import MissingConfigException

QUOTING = (
    "Write key=value; a value with commas, equals signs, brackets or quotes is quoted twice: "
    "'dataset.train=\"my, file.csv\"'."
)
KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list such as [a,b]",
    dict: "a mapping",
}
# What else than an option a user may mean, by group.
HINTS = {
    "model": "A model of the hub is model=OWNER/NAME, a folder is model.path={name}.",
    "dataset": "A dataset of the hub, or a folder of one, is dataset=hub dataset.hub.path={name}.",
}
OPEN = ("dataset.splits", "probe.estimator", "schedule.lengths")  # sections that take further keys
FULL = (errno.ENOSPC, errno.EDQUOT)  # an open file reports a full disk without its name
UNWRITABLE = (
    *FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
    errno.ELOOP,
)  # fmt: skip


def print_text(text: str) -> None:
    """Print a text on stdout."""
    print(printable(text))


def print_json(value: Any) -> None:
    """Print plain values as one line of JSON on stdout."""
    print(printable(json.dumps(value, allow_nan=False)))


def terminal_width() -> int | None:
    """Return the columns of the terminal that shows stdout; None if a file or another program reads it."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None


def short_path(path: Path) -> str:
    """Return a path relative to the current folder if it lies below it, else as it is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def exit_with_error(message: str, status: int = 1) -> NoReturn:
    """Print an error's lines on stderr and exit."""
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(status)


def help_command() -> str:
    """Return the command that lists the options, as the user calls it."""
    return "probes run --help" if Path(sys.argv[0]).stem == "probes" else "python -m src.run --help"


@contextmanager
def exit_on_error(stopped: str) -> Iterator[None]:
    """Turn errors of the user, of the disk, and interruptions into a line and an exit status.

    `stopped` is the line after an interruption, whose status is 130.
    """
    try:
        yield
    except UserError as error:
        exit_with_error(str(error))
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if not is_unwritable(error):
            raise
        place = f"'{mask(str(error.filename2 or error.filename))[:200]}'" if error.filename else "the output"
        exit_with_error(f"{place} cannot be written: {error.strerror}. Name another output=.")


def format_error(error: Exception) -> str:
    """Return an error in at most three lines; Hydra's own refusals take 22 to 37."""
    from hydra.errors import MissingConfigException, OverrideParseException  # not needed by the Python API

    if isinstance(error, UserError):
        return str(error)
    for cause in _causes(error):
        if isinstance(cause, MissingConfigException) and (missing := _missing_option(cause)):
            return missing
        if isinstance(cause, OmegaConfBaseException):
            return str(explain(cause))
    if isinstance(error, AssertionError) and "Unexpected type" in str(error):  # OmegaConf, of a key below null
        return _null_parent(sys.argv[1:])
    if isinstance(error, OverrideParseException):
        return f"cannot read '{mask(str(error.override))[:100]}'. {QUOTING}"
    if isinstance(error, OSError) and error.filename is not None:
        place = mask(str(error.filename2 or error.filename))[:200]  # the second is a rename's target
        return (
            f"'{place}' cannot be written: {error.strerror}. Set hydra.run.dir (for a sweep hydra.sweep.dir) to "
            "another folder."
        )
    if isinstance(error, OSError) and is_unwritable(error):
        return (
            f"nothing more can be written: {error.strerror}. Free some room, or set hydra.run.dir (for a sweep "
            "hydra.sweep.dir)."
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # A line that ends with a colon announces a dump.
    return "\n".join(itertools.islice(itertools.takewhile(lambda line: not line.endswith(":"), lines), 2)) or lines[0]


def _null_parent(arguments: Sequence[str]) -> str:
    """Return the text for a key below one that may be null, and is."""
    keys = [word.partition("=")[0].lstrip("+~") for word in arguments]
    below = [key for key in keys if any(parent and key.startswith(f"{parent}.") for parent in _optional_sections())]
    named = mask(", ".join(below or [key for key in keys if "." in key]))
    return f"cannot set {named}: the section above it is null in this option of its group. Choose another option."


def _optional_sections(kind: Any = Config, prefix: str = "") -> Iterator[str]:
    """Yield the keys of sections and mappings that may be null."""
    for name, hint in typing.get_type_hints(kind).items():
        inner, key = not_none(hint), f"{prefix}{name}"
        if inner is not hint and (dataclasses.is_dataclass(inner) or typing.get_origin(inner) is dict):
            yield key
        if dataclasses.is_dataclass(inner):
            yield from _optional_sections(inner, f"{key}.")


def _missing_option(error: MissingConfigException) -> str | None:
    """Return the text for an option without a file, or None if the error is another one."""
    if not error.missing_cfg_file or not (error.options or "/" in str(error.missing_cfg_file)):
        return None
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    parent, _, name = str(error.missing_cfg_file).partition("/")
    if parent in HINTS:
        return str(not_an_option(parent, name, error.options or ()))
    if not error.options:
        return f"there is no {group} '{option}', nor any other {group} yet. Leave it out."
    return str(unknown(group or "option", option, error.options))


def not_an_option(group: str, name: str, known: Sequence[str] = ()) -> UserError:
    """Return the error for a name that is no option of a group.

    Parameters
    ----------
    group, name : str
    known : sequence of str
        The options, which a name without a slash may have missed.
    """
    hint = HINTS.get(group, f"{help_command()} lists the options.").format(name=shortened(name))
    if "/" not in name and known:
        return UserError(f"{unknown(group, name, known)}\n{hint}")
    return UserError(f"{group}={shortened(name)} is not an option of the group {group}. {hint}")


def format_crash(error: Exception) -> str:
    """Return an unexpected error in one line; its traceback is printed apart."""
    return f"{type(error).__name__}: {flatten(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_unwritable(error: Exception) -> bool:
    """Return whether the error says that a folder cannot be written to or that a disk is full."""
    if not isinstance(error, OSError):
        return False
    return error.errno in FULL or (error.filename is not None and error.errno in UNWRITABLE)


def explain(error: OmegaConfBaseException) -> UserError:
    """Return a refusal of OmegaConf as one line: an unknown key, or a value of the wrong type."""
    first = str(error).strip().splitlines()[0].rstrip(".")
    key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "")
    if isinstance(error, (ConfigKeyError, ConfigAttributeError)) and isinstance(error.parent_node, DictConfig):
        parent, _, name = key.rpartition(".")
        known = sorted(set(map(str, error.parent_node)) - {"hydra"})
        if not known:
            return UserError(f"unknown key '{key}': {parent} is empty. With a plus sign it is added: +{key}=...")
        refusal = unknown("key", name, known, where=f"{parent}: " if parent else "")
        return UserError(f"{refusal} With a plus sign it is added: +{key}=...") if parent in OPEN else refusal
    if "is not a subclass of" in first:  # names a class
        first = f"Got {first.rpartition('value: ')[2]}"
    if wanted := kind_of(key.split(".")):
        return UserError(f"{key}: {wanted} is needed. {first}.")
    return UserError(first if key in first else f"{key}: {first}")


def kind_of(path: list[str]) -> str | None:
    """Return in words what a key of the configuration holds, or None for an unknown key."""
    kind: Any = Config
    for name in path:
        kind = not_none(typing.get_type_hints(kind).get(name)) if dataclasses.is_dataclass(kind) else None
    return "a mapping" if dataclasses.is_dataclass(kind) else KINDS.get(typing.get_origin(kind) or kind)

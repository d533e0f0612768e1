"""Checks of the command line's flags and overrides, before Hydra reads them."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString, RangeSweep
from omegaconf import OmegaConf

from src.cli.messages import KINDS, QUOTING, exit_with_error, help_command, not_an_option
from src.cli.structured import field_type
from src.config.paths import CONF
from src.config.schema import Config
from src.errors import UserError, refuse_credentials
from src.registry import unknown

KEYS = tuple(each.name for each in dataclasses.fields(Config))
GROUPS = tuple(name for name in KEYS if (CONF / name).is_dir() or name == "pooling")
MAX_JOBS = 100_000  # jobs of a sweep

# The flags that Hydra documents (https://hydra.cc/docs/advanced/hydra-command-line-flags).
SWITCHES = (
    ("--help", "-h"), ("--hydra-help",), ("--version",), ("--resolve",), ("--run", "-r"), ("--multirun", "-m"),
    ("--shell-completion", "-sc"),
)  # fmt: skip
OPTIONS = (
    ("--package", "-p"), ("--config-path", "-cp"), ("--config-name", "-cn"), ("--config-dir", "-cd"),
    ("--experimental-rerun",),
)  # fmt: skip
# Flags of this suite: the overrides that they stand for.
SHORTHANDS = {"--quiet": ("runtime.log=warning", "runtime.progress=false"), "--json": ("runtime.json=true",)}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class FlagParser(argparse.ArgumentParser):
    """Parser that separates Hydra's flags from overrides; Hydra itself evaluates the flags."""

    def __init__(self, shorthands: Iterable[str] = ()) -> None:
        super().__init__(add_help=False)
        self.add_argument("overrides", nargs="*")
        for names in (*SWITCHES, *((name,) for name in shorthands)):
            self.add_argument(*names, action="store_true")
        for names in OPTIONS:
            self.add_argument(*names)
        self.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
        self.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)

    def error(self, message: str) -> NoReturn:
        """Exit with one line, in place of the usage of every flag."""
        status = 2 if message.startswith("unrecognized") else 1
        exit_with_error(f"{message}. {help_command()} lists what is allowed.", status)


def check_overrides(arguments: list[str], *, sweeps: bool = True, runs: bool = True) -> list[str]:
    """Check the arguments of a command line, and return them with the flags first, `SHORTHANDS` replaced.

    Parameters
    ----------
    arguments : list of str
        Flags and overrides in any order.
    sweeps : bool
        Whether the command can run several jobs.
    runs : bool
        Whether the keys are those of `Config`, and `SHORTHANDS` are flags.

    Raises
    ------
    UserError
        An argument that Hydra would accept by mistake, or refuse with a misleading or long message.
    hydra.errors.HydraException
        An argument that Hydra cannot parse.
    """
    parser = FlagParser(SHORTHANDS if runs else ())
    flags, rest = parser.parse_known_args(arguments)  # the rest are overrides that follow a flag
    if unread := [argument for argument in rest if argument.startswith("-")]:
        parser.error(f"unrecognized arguments: {' '.join(unread)}")
    overrides = [*flags.overrides, *rest]
    for argument in arguments:
        check_argument(argument)
    mode = any("hydra.mode" in argument for argument in arguments)
    if not sweeps and (flags.multirun or any(argument.lstrip("+").startswith("hydra.mode=") for argument in overrides)):
        raise UserError(
            "-m: this command runs one job at a time. Call it once for each job, or sweep with python -m src.run -m."
        )
    jobs = 1
    for override in OverridesParser.create().parse_overrides(overrides):
        check_override(override, sweep=flags.multirun or mode)
        if runs:
            check_key(str(override.key_or_group))
        jobs *= count_values(override)
        if jobs > MAX_JOBS:
            raise UserError(f"'{override.input_line}' makes more than {MAX_JOBS:,} jobs. Sweep over fewer values.")
    given = [name for name in SHORTHANDS if runs and getattr(flags, name.lstrip("-"))]
    short = [word for name in given for word in SHORTHANDS[name]]  # first, so that a key that is named beside wins
    kept = [word for word in arguments if word not in overrides and not _is_shorthand(word, given)]
    chosen = experiment_options(overrides) if flags.multirun and runs else []
    return [*kept, *short, *chosen, *overrides]


def experiment_options(overrides: Sequence[str]) -> list[str]:
    """Return the options that an experiment's file takes in all of its jobs, without groups that `overrides` name.

    A key such as ``probe.protocol.experiments`` is known beside the option that has it. Hydra reads
    an experiment's parameters later than the keys of the command line.

    >>> experiment_options(["+experiment=few_shot"]), experiment_options(["+experiment=few_shot", "probe=knn"])
    (['probe=mteb'], [])
    """
    named = {word.lstrip("+~").partition("=")[0] for word in overrides}
    found: dict[str, str] = {}
    for word in overrides:
        name = re.fullmatch(r"\+experiment=(\w+)", word)
        path = CONF / "experiment" / f"{name[1]}.yaml" if name else None
        if path is not None and path.is_file():
            found |= OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params") or {}
    return [
        f"{key}={value}"
        for key, value in found.items()
        if key in GROUPS and key not in named and re.fullmatch(r"\w+", str(value))
    ]


def _is_shorthand(argument: str, given: Sequence[str]) -> bool:
    """Return whether an argument is one of the given shorthands, perhaps abbreviated as argparse allows."""
    return len(argument) > 2 and argument.startswith("--") and any(name.startswith(argument) for name in given)


def check_key(key: str) -> None:
    """Refuse a dotted key below a group of `Config` if no such key is known.

    Keys of mappings, such as ``probe.grid.alpha``, are checked against their content by OmegaConf.

    Raises
    ------
    UserError
        There is no such key, or a key above it holds a single value.
    """
    first, *names = key.split(".")
    if first not in KEYS or not names:
        return
    parent, kind = first, field_type(Config, first)
    for name in names:
        if dataclasses.is_dataclass(kind):
            known = [each.name for each in dataclasses.fields(kind)]
            if name not in known:
                raise unknown("key", name, known, where=f"{parent}: ")
            parent, kind = f"{parent}.{name}", field_type(kind, name)
        elif kind in (str, int, float, bool) or (kind is list and not name.isdecimal()):
            raise UserError(f"'{key}' is no key: {parent} is {KINDS[kind]}. Write {parent}=...")
        else:
            return


def check_override(override: Override, *, sweep: bool) -> None:
    """Check one override.

    Parameters
    ----------
    override : Override
    sweep : bool
        Whether the command runs several jobs.

    Raises
    ------
    UserError
        The override has no key, removes a required key, or has a value of the wrong kind.
    """
    argument, key = override.input_line, override.key_or_group
    if not key:
        raise UserError(f"cannot read '{argument}': there is no key before the equals sign.")
    if override.is_delete() and key in KEYS:
        raise UserError(
            f"'{argument}' removes {key}, which every run needs. Set another value, or leave '{argument}' out."
        )
    if key in GROUPS:
        check_option_names(override)
    if override.is_sweep_override():
        if not sweep:
            raise UserError(f"'{argument}' holds several values. Add -m to run one job for each.\n{QUOTING}")
    elif key in GROUPS and not override.is_delete() and not isinstance(override.value(), str):
        raise UserError(
            f"'{argument}': the group {key} takes the name of one of its options. {help_command()} lists them."
        )


def check_option_names(override: Override) -> None:
    """Refuse an option that is named by a path, which could be any file.

    Raises
    ------
    UserError
        A name holds a step of a path: it is absolute, or has a part ``.`` or ``..``.
    """
    value, group = override.value(), override.key_or_group
    for name in value.list if isinstance(value, ChoiceSweep) else [value]:
        if isinstance(name, (str, QuotedString)):
            text = name.text if isinstance(name, QuotedString) else name
            if {"", ".", "..", "~"} & set(text.split("/")):
                raise not_an_option(group, text)


def count_values(override: Override) -> int:
    """Return the number of values that an override sweeps over; 1 if only Hydra can tell."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep) and value.start is not None and value.stop is not None and value.step:
        return max(0, math.ceil((value.stop - value.start) / value.step))
    return 1


def check_argument(argument: str) -> None:
    """Refuse an argument that cannot, or must not, be written into a run's files.

    Raises
    ------
    UserError
        The argument holds credentials, or is not UTF-8.
    """
    name, _, rest = argument.partition("=")
    refuse_credentials(rest or name, name)
    if re.search("[\ud800-\udfff]", argument):
        raise UserError(f"cannot read '{argument[:200]}': it is not UTF-8. Rename the file, or name it by a link.")

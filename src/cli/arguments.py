"""Commands that take ``key=value`` arguments without Hydra: parsing, help and errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from src.cli.messages import exit_on_error, exit_with_error, print_text
from src.cli.overrides import check_argument
from src.cli.streams import configure_process
from src.errors import UserError, mask
from src.registry import unknown


def run_command(
    task: Callable[[dict[str, str]], None], keys: Mapping[str, str], about: str, required: Sequence[str]
) -> None:
    """Run a task on the arguments of the command line, and exit if it fails.

    Bad input ends with its lines on stderr and status 1, an unknown flag with status 2, an
    interruption with status 130. ``--help`` prints the keys.

    Parameters
    ----------
    task : callable
        Takes the values by key, as they were written.
    keys : mapping
        Every key, with its description for ``--help`` and for the error if it is required.
    about : str
        Description of the command.
    required : sequence of str
        Keys that must be given.
    """
    configure_process()
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        _print_help(keys, about)
    with exit_on_error("stopped. No output was written."):
        task(read_arguments(arguments, keys, required))


def read_arguments(arguments: Sequence[str], keys: Mapping[str, str], required: Sequence[str]) -> dict[str, str]:
    """Return the values by key; quotes around a whole value, as Hydra needs them, are taken off.

    Raises
    ------
    UserError
        An argument is not ``key=value``, holds credentials, has an unknown key, or a required key is
        missing.
    """
    values = {}
    for argument in arguments:
        if argument.startswith("-"):
            exit_with_error(f"unrecognized arguments: {mask(argument)[:80]}. --help lists what is allowed.", 2)
        check_argument(argument)
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"cannot read '{mask(argument)[:80]}': write key=value. Keys: {', '.join(keys)}.")
        if key not in keys:
            raise unknown("key", key, keys)
        quoted = re.fullmatch(r"""(["'])(.*)\1""", value, re.DOTALL)
        values[key] = quoted[2] if quoted else value
    for key in required:
        if not values.get(key):
            raise UserError(f"{key} is not set: {keys[key]}. Give {key}=...")
    return values


def _print_help(keys: Mapping[str, str], about: str) -> NoReturn:
    """Print a command's description and its keys, then exit."""
    print_text(f"{about}\n\nKeys:")
    for key, description in keys.items():
        print_text(f"  {key}=  {description}")
    sys.exit(0)

"""The key=value words of the commands here, which need no config groups."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.application import exit_with_error, print_text
from src.config.schema import KINDS, explain
from src.errors import UserError, mask
from src.storage.numbers import is_decimal

WORD = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*=.*", re.ASCII | re.DOTALL)
# What a key without a default holds, where that is no text.
UNSET: dict[str, type] = {"rows": int, "seeds": int, "jobs": int, "threads": int, "do_lower_case": bool}


def read(defaults: Mapping[str, Any], arguments: list[str], about: str | None = None) -> DictConfig:
    """The defaults with what the command line changes; every interpolation can be resolved.

    Parameters
    ----------
    defaults : mapping
        Every key with its default, which says its type. None is an unset one: text, or what `UNSET` says.
    arguments : list of str
        ``key=value``. Text stands as it is, or quoted as in YAML; everything else is YAML.
    about : str, optional
        The command's description. ``--help`` prints it with the keys and exits with status 0.

    Raises
    ------
    UserError
        A word that cannot be read, a key that the defaults lack, or a value of another type.
    """
    if {"-h", "--help"} & set(arguments):
        _help(defaults, about)
    options = OmegaConf.create(dict(defaults))
    OmegaConf.set_struct(options, True)
    try:
        for word in arguments:
            key, value = _parsed(word, defaults)
            OmegaConf.update(options, key, value)
        OmegaConf.to_container(options, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    return options


def _parsed(word: str, defaults: Mapping[str, Any]) -> tuple[str, Any]:
    """The key of a word and its value, of the type that its default has."""
    shown = f"'{mask(word)[:80]}'"
    if word.startswith("-"):
        exit_with_error(f"unrecognized arguments: {shown}. --help shows what there is.", 2)
    if re.search("[\0\ud800-\udfff]", word):
        raise UserError(f"cannot read {shown}: it is not UTF-8. Rename the file, or name it by a link.")
    if mask(word) != word:
        raise UserError(f"{shown} holds credentials, and only files of this machine are read. Leave them out.")
    if not WORD.fullmatch(word):
        raise UserError(f"cannot read {shown}: write key=value. Keys: {', '.join(defaults)}.")
    key, _, text = word.partition("=")
    default: Any = defaults
    for name in key.split("."):
        default = default.get(name) if isinstance(default, Mapping) else None
    wanted = UNSET.get(key.rpartition(".")[2], str) if default is None else type(default)
    if wanted is str and text.strip() not in ("", "null", "~") and not text.startswith(("'", '"', "[", "{")):
        return key, text
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or type(error).__name__
        raise UserError(
            f"cannot read {shown}: {reason}. Write key=value; text with quotes or brackets is quoted: '{key}=\"...\"'."
        ) from None
    if wanted is float and isinstance(value, str) and is_decimal(value):
        value = float(value)  # YAML 1.1 takes 1e-3 for text
    if not _fits(value, wanted, optional=default is None):
        raise UserError(f"{shown}: {KINDS.get(wanted, 'another value')} is needed.")
    return key, value


def _fits(value: Any, wanted: type, *, optional: bool) -> bool:
    """Whether a value is of the type that is wanted."""
    if value is None:
        return optional
    if wanted is str:  # a list of words is as good as words with commas
        listed = value if isinstance(value, list) and not optional else [value]
        return all(isinstance(each, str) and "\0" not in each for each in listed)
    if wanted is float:  # several of them, with commas between, are for the command to part
        return type(value) in (int, float) or (isinstance(value, str) and all(map(is_decimal, value.split(","))))
    return type(value) is wanted


def _help(defaults: Mapping[str, Any], about: str | None) -> NoReturn:
    print_text(f"{(about or '').strip()}\n\nKeys with their defaults:")
    for key, value in defaults.items():
        print_text(
            f"  {key}={'null' if value is None else yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]}"
        )
    sys.exit(0)

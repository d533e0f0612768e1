"""Commands that take ``key=value`` arguments without Hydra: typed options, help, errors in one line."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NoReturn, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.messages import KINDS, exit_on_error, exit_with_error, explain, print_text
from src.cli.streams import open_streams
from src.errors import UserError, mask
from src.registry import near
from src.storage.numbers import is_decimal

T = TypeVar("T")
Parser = Callable[[list[str], str], T]
STOPPED = "stopped. What is stored is kept: the same command goes on from there."
WORD = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*=.*", re.ASCII | re.DOTALL)


def command(
    options: type[T] | Parser[T],
    *,
    positional: str | None = None,
    aliases: Mapping[str, str | None] | None = None,
    stopped: str = STOPPED,
) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Return a decorator that turns a function of options into a command.

    The command takes a list of arguments, by default those of the process. A `UserError` ends it
    with its lines and status 1, an interruption with status 130. ``--help`` prints the module's
    docstring and the options, and exits with status 0.

    Parameters
    ----------
    options : frozen dataclass, or function of the arguments and the module's docstring
        Reads the arguments. A dataclass holds names, types and defaults (`read_options`).
    positional : str, optional
        Option that is set by an argument without an equals sign.
    aliases : mapping, optional
        Arguments that are replaced by another one, or left out: ``{"--dry-run": "dry_run=true"}``.
    stopped : str
        The line after an interruption.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Options:
    ...     output: str = "paper"
    >>> @command(Options)
    ... def main(options: Options) -> None:
    ...     print(options.output)
    >>> main(["output=here"])
    here
    """
    parse: Parser[T] = functools.partial(read_options, options) if isinstance(options, type) else options

    def decorate(task: Callable[[T], None]) -> Callable[..., None]:
        about = (sys.modules[task.__module__].__doc__ or "").strip()

        @functools.wraps(task)
        def main(arguments: Sequence[str] | None = None) -> None:
            if arguments is None:  # this process is the command
                open_streams()
            words = sys.argv[1:] if arguments is None else arguments
            given = list(_expand(words, positional, aliases or {}))
            with exit_on_error(stopped):
                task(parse(given, about))

        return main

    return decorate


def _expand(words: Sequence[str], positional: str | None, aliases: Mapping[str, str | None]) -> Iterator[str]:
    """Yield arguments as ``key=value``, with aliases replaced."""
    for word in words:
        if (argument := aliases.get(word, word)) is not None:
            is_positional = positional is not None and not re.search("^-|=", argument)
            yield f"{positional}={argument}" if is_positional else argument


def required(what: str) -> Any:
    """Return a field for an option that must be given; `what` completes "Name ..." in the error."""
    return field(metadata={"required": what})


def at_least(least: float, default: Any) -> Any:
    """Return a field for a number, or numbers, of at least `least`."""
    return field(default=default, metadata={"least": least})


def described(default: Any, description: str) -> Any:
    """Return a field for an option with a description for ``--help``."""
    return field(default=default, metadata={"description": description})


def read_options(kind: type[T], arguments: Sequence[str], about: str = "") -> T:
    """Return the options as the arguments set them, with interpolations resolved.

    Parameters
    ----------
    kind : frozen dataclass
        Fields are text, numbers, true or false, a `Literal` of allowed texts, tuples of these, or a
        further dataclass, whose options are written ``group.key=value``. Only a field that may be
        None takes ``null``.
    arguments : sequence of str
        ``key=value``. Text is written as it is, or quoted as in YAML. Tuples are written ``a,b`` or
        ``[a,b]``.
    about : str, default ""
        The command's description. ``--help`` prints it with the options and exits with status 0.

    Raises
    ------
    UserError
        An argument that cannot be read, an unknown key, a value of another type, a missing required
        option.
    """
    keys = dict(_keys(kind))
    if {"-h", "--help"} & set(arguments):
        _print_help(keys, about)
    values = {key: option.default for key, option in keys.items()}
    for word in arguments:
        key, text = _split(word, keys)
        needed = "required" in keys[key].metadata
        values[key] = dataclasses.MISSING if needed and text in ("", "null") else keys[key].parse(text, _shown(word))
    for key, value in values.items():
        if value is dataclasses.MISSING:
            raise UserError(f"{key} is not set. Name {keys[key].metadata['required']}: {key}=...")
    nested = OmegaConf.create()
    try:
        for key, value in values.items():
            OmegaConf.update(nested, key, list(value) if isinstance(value, tuple) else value)
        resolved = OmegaConf.to_container(nested, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    return _build(kind, typing.cast("dict[str, Any]", resolved))


@dataclass(frozen=True)
class _Option:
    """A key's type, default and limits."""

    kinds: tuple[Any, ...]
    default: Any
    metadata: Mapping[str, Any]

    def parse(self, text: str, shown: str) -> Any:
        """Return a text's value; `shown` is the argument as errors quote it."""
        kind = next(each for each in self.kinds if each is not type(None))
        several = typing.get_origin(kind) is tuple
        item = typing.get_args(kind)[0] if several else kind
        allowed = typing.get_args(item) if typing.get_origin(item) is Literal else ()
        item = str if allowed else item
        plain = item is str and text.strip() not in ("", "null", "~") and not text.startswith(("'", '"', "[", "{"))
        value = text if plain else _load(text, shown)
        if value is None and type(None) in self.kinds:
            return None
        listed = several and value is not None
        if listed and not isinstance(value, (list, dict)):
            value = [word.strip() for word in str(value).split(",") if word.strip()]
        found = [_convert(each, item, listed) for each in (value if listed and isinstance(value, list) else [value])]
        if not found or None in found:
            raise UserError(f"{shown}: {KINDS[item]} is needed{'; separate several with commas' * several}.")
        if invalid := [each for each in found if allowed and each not in allowed]:
            raise UserError(f"{shown}: one of {', '.join(allowed)} is needed{near(invalid[0], allowed)}")
        least = self.metadata.get("least")
        if least is not None and min(found) < least:
            raise UserError(f"{shown}: {KINDS[item]} of at least {least} is needed.")
        return tuple(dict.fromkeys(found)) if several else found[0]


def _convert(value: Any, kind: type, listed: bool = False) -> Any:
    """Return a YAML value as its option's type, None if it is of another one."""
    if kind is str:
        return value if isinstance(value, str) and "\0" not in value else None
    if isinstance(value, str) and is_decimal(value) and (listed or kind is float):
        value = float(value) if kind is float or not re.fullmatch(r"[+-]?\d+", value) else int(value)
    if kind is float and type(value) is int:
        return float(value)
    return value if type(value) is kind else None


def _keys(kind: Any, given: Any = None, prefix: str = "") -> Iterator[tuple[str, _Option]]:
    """Yield the dotted keys of a dataclass of options; `given` holds other defaults."""
    hints = typing.get_type_hints(kind)
    for each in fields(kind):
        hint = hints[each.name]
        factory = each.default_factory
        default = each.default if factory is dataclasses.MISSING else factory()
        default = default if given is None else getattr(given, each.name)
        if is_dataclass(hint):
            yield from _keys(hint, default, f"{prefix}{each.name}.")
            continue
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        yield prefix + each.name, _Option(typing.get_args(hint) if union else (hint,), default, each.metadata)


def _build(kind: Any, values: Mapping[str, Any]) -> Any:
    """Return a dataclass of options from nested values."""
    hints = typing.get_type_hints(kind)
    built = {}
    for name, value in values.items():
        if is_dataclass(hints[name]):
            value = _build(hints[name], value)
        elif typing.get_origin(hints[name]) is tuple:
            value = tuple(value)
        elif isinstance(value, list):  # text that refers to a tuple
            value = ",".join(map(str, value))
        built[name] = value
    return kind(**built)


def _shown(word: str) -> str:
    return f"'{mask(word)[:80]}'"


def _split(word: str, keys: Mapping[str, _Option]) -> tuple[str, str]:
    """Return the key and the text of an argument."""
    shown = _shown(word)
    if word.startswith("-"):
        exit_with_error(f"unrecognized arguments: {shown}. --help lists the options.", 2)
    if re.search("[\0\ud800-\udfff]", word):
        raise UserError(f"cannot read {shown}: it is not UTF-8. Rename the file, or name it by a link.")
    if mask(word) != word:
        raise UserError(f"{shown} holds credentials, and only files of this machine are read. Leave them out.")
    if not WORD.fullmatch(word):
        raise UserError(f"cannot read {shown}: write key=value. Keys: {', '.join(keys)}.")
    key, _, text = word.partition("=")
    if key not in keys:
        raise UserError(f"unknown key '{key}'{near(key, keys)} Known: {', '.join(keys)}.")
    return key, text


def _load(text: str, shown: str) -> Any:
    """Return the value of a YAML text."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or type(error).__name__
        raise UserError(
            f"cannot read {shown}: {reason}. Write key=value; text with quotes or brackets is quoted: 'key=\"...\"'."
        ) from None


def _print_help(keys: Mapping[str, _Option], about: str) -> NoReturn:
    """Print a command's description and its options with their defaults, then exit."""
    print_text(f"{about}\n\nOptions with their defaults:")
    for key, option in keys.items():
        description = option.metadata.get("description")
        print_text(f"  {key}={_default_text(option)}{f'  {description}' if description else ''}")
    sys.exit(0)


def _default_text(option: _Option) -> str:
    """Return an option's default as it would be written, or what a required option must name."""
    if option.default is dataclasses.MISSING:
        return f"  required: {option.metadata['required']}"
    if isinstance(option.default, tuple):
        return ",".join(map(str, option.default))
    return str(yaml.safe_dump(option.default, width=1000).splitlines()[0])

"""What every door shares: Hydra wrapped so that whatever goes wrong ends in a line or two and exit status 1."""

from __future__ import annotations

import dataclasses
import errno
import functools
import io
import itertools
import logging
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.schema import CONF, Config, Schema, explain, refuse_credentials
from src.errors import UserError, flatten, mask, printable
from src.pooling import poolings
from src.registry import unknown

QUOTING = "Write key=value; a value with commas, equals signs, brackets or quotes is quoted twice: 'dataset.train=\"my, file.csv\"'."
KEYS = tuple(each.name for each in dataclasses.fields(Config))
MOST_JOBS = 100_000  # of a sweep
GROUPS = tuple(
    each.name for each in dataclasses.fields(Config) if (CONF / each.name).is_dir() or each.name == "pooling"
)
# What a folder that cannot be written raises; any other operating system error is a bug of ours.
UNWRITABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG,
}  # fmt: skip


def register() -> None:
    """Give Hydra the schema, and the registry's poolings as the options of a group that has no folder."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Schema, provider="src.config.schema")
    for name in poolings:
        store.store(group="pooling", name=name, node={"name": name}, provider="src.pooling")


def run_app(task: Callable[[DictConfig], Any], *, sweeps: bool = True, config: str = "config") -> None:
    """Run a task under Hydra; `sweeps` says whether -m is understood, `config` which file of conf/ is the root.

    Bad input ends with its lines on stderr and status 1, an interruption with status 130; only a bug of ours shows a traceback.
    """
    configure_process()
    register()
    failure: list[Exception] = []

    @functools.wraps(task)
    def guarded(composed: DictConfig) -> None:
        # Whatever else leaves hydra.main is Hydra's own, so that no kind of refusal can be missed.
        configure_process()  # a launcher's process has not come through the door
        try:
            leave_job_folder()
            task(composed)
        except Exception as error:
            failure.append(error)

    try:
        sys.argv[1:] = check_overrides(sys.argv[1:], sweeps=sweeps)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config)(guarded)()
    except KeyboardInterrupt:
        print("stopped. What is stored is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        exit_with_error(format_error(error))
    if failure:
        if not isinstance(failure[0], UserError) and not is_unwritable(failure[0]):
            raise failure[0]
        exit_with_error(format_error(failure[0]))


def leave_job_folder() -> None:
    """With ``hydra.job.chdir``, go back to where the command was given: relative paths begin there, and records know their folder."""
    if HydraConfig.initialized() and HydraConfig.get().job.chdir:
        os.chdir(HydraConfig.get().runtime.cwd)


def job_overrides() -> list[str]:
    """The words of the job under way as they were written: what an interpolation stands for may be secret."""
    words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(words, list)
    return words


def configure_process() -> None:
    """Streams, log and warnings of a process that runs jobs; once is enough."""
    # Hydra prints and exits by itself unless asked for the full error, which is then ours to put into words.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _open_streams()
    if not any(isinstance(handler.formatter, _Printable) for handler in logging.root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Printable())
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("src").setLevel(logging.INFO)
    logging.raiseExceptions = False  # a library's log on a full disk shows no traceback
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; ours are logged


def exit_with_error(message: str, status: int = 1) -> NoReturn:
    """Print an error's lines and exit."""
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(status)


def print_text(text: str) -> None:
    """Print what a job has to say on stdout."""
    print(printable(text))


def check_overrides(words: list[str], *, sweeps: bool = True) -> list[str]:
    """The command line with its flags in front; refuses what Hydra would refuse at length, in the name of another thing, or not at all.

    Raises
    ------
    UserError, HydraException
    """
    parser = get_args_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign]  # argparse's own prints the usage of every flag
    flags, rest = parser.parse_known_args(words)  # the rest is what follows a flag in the midst of overrides
    if odd := [word for word in rest if word.startswith("-")]:
        _refuse_flag(f"unrecognized arguments: {' '.join(odd)}")
    overrides = [*flags.overrides, *rest]
    for given in words:
        refuse_unwritable(given)
    if not sweeps and (flags.multirun or any(word.lstrip("+").startswith("hydra.mode=") for word in overrides)):
        raise UserError(
            "-m: this door does one job at a time. Call it once for each, or sweep with python -m src.run -m."
        )
    jobs = 1
    for override in OverridesParser.create().parse_overrides(overrides):
        word, key = override.input_line, override.key_or_group
        if not key:
            raise UserError(f"cannot read '{word}': there is no key before the equals sign.")
        if override.is_delete() and key in KEYS:
            raise UserError(
                f"'{word}' takes {key} away, which every run needs. Give it another value, or leave '{word}' out."
            )
        if override.is_sweep_override():
            if not flags.multirun and not any("hydra.mode" in each for each in words):
                raise UserError(f"'{word}' holds several values. Add -m to run one job for each.\n{QUOTING}")
            jobs *= _count(override)
            if jobs > MOST_JOBS:
                raise UserError(f"'{word}' makes more than {MOST_JOBS:,} jobs. Sweep over fewer values.")
        elif key in GROUPS and not override.is_delete() and not isinstance(override.value(), str):
            raise UserError(
                f"'{word}': the group {key} takes the name of one of its options. python -m src.run --help lists them."
            )
    return [*(word for word in words if word not in overrides), *overrides]


def _count(override: Override) -> int:
    """How many values a word sweeps over, without listing them; 1 where only Hydra knows."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep) and value.start is not None and value.stop is not None and value.step:
        return max(0, math.ceil((value.stop - value.start) / value.step))
    return 1


def refuse_unwritable(word: str) -> None:
    """Refuse a word that must not, or cannot, stand in the files which Hydra writes of each run.

    Raises
    ------
    UserError
    """
    name, _, rest = word.partition("=")
    refuse_credentials(rest or name, name)
    if re.search("[\ud800-\udfff]", word):
        raise UserError(f"cannot read '{word[:200]}': it is not UTF-8. Rename the file, or name it by a link.")


def _refuse_flag(message: str) -> NoReturn:
    exit_with_error(
        f"{message}. python -m src.run --help shows what there is.", 2 if message.startswith("unrecognized") else 1
    )


def format_error(error: Exception) -> str:
    """What went wrong, in at most three lines; Hydra's own refusals take 22 to 37."""
    if isinstance(error, UserError):
        return str(error)
    for cause in _causes(error):
        if (
            isinstance(cause, MissingConfigException)
            and cause.missing_cfg_file
            and (cause.options or "/" in str(cause.missing_cfg_file))
        ):
            group, _, option = str(cause.missing_cfg_file).rpartition("/")
            if not cause.options:
                return f"there is no {group} '{option}', nor any other {group} yet. Leave it out."
            return str(unknown(group or "option", option, cause.options))
        if isinstance(cause, OmegaConfBaseException):
            return str(explain(cause))
    if isinstance(error, OverrideParseException):
        return f"cannot read '{mask(str(error.override))[:100]}'. {QUOTING}"
    if isinstance(error, OSError) and error.filename is not None:
        place = mask(str(error.filename2 or error.filename))[:200]  # a file is put into place under its second name
        return f"'{place}' cannot be written: {error.strerror}. Set hydra.run.dir (for a sweep hydra.sweep.dir) to another folder."
    if is_unwritable(error):
        assert isinstance(error, OSError)
        return f"nothing more can be written: {error.strerror}. Free some room, or set hydra.run.dir (for a sweep hydra.sweep.dir)."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # A heading announces a dump.
    return "\n".join(itertools.islice(itertools.takewhile(lambda line: not line.endswith(":"), lines), 2)) or lines[0]


def format_crash(error: Exception) -> str:
    """One line for an error that nobody foresaw; its traceback is on stderr."""
    return f"{type(error).__name__}: {flatten(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_unwritable(error: Exception) -> bool:
    """Whether a folder or a disk refused to be written to, which is no bug of ours."""
    full = isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
    )  # which a file that is open says without its name
    return full or (isinstance(error, OSError) and error.filename is not None and error.errno in UNWRITABLE)


class _Printable(logging.Formatter):
    """The message as it stands, its control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Patient(io.FileIO):
    """A descriptor whose reader may leave, as `| head -1` does: the work goes on, and what nobody can read is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _open_streams() -> None:
    """Streams that outlive their readers and take any character; the null device for one that is closed, as after `>&-`."""
    for name in (
        "stdin",
        "stdout",
        "stderr",
    ):  # in the order of their descriptors: the null device gets the lowest that is free
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
        elif name != "stdin" and stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True))

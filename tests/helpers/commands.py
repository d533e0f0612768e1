"""Read commands as pages show them, and parse them as the command itself would."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from omegaconf import DictConfig

from experiments.pretraining.recipe import Pretraining
from experiments.pretraining.validation import parse as parse_pretraining
from src.cli.application import register
from src.cli.structured import mergeable
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VARIABLES = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:taskset -c \d+ )?")  # of the environment, and a core
INLINE = re.compile(r"`((?:python -m|probes|pip install|wandb|hf) [^`]+)`")


def composed(*overrides: str) -> Config:
    """Return the checked configuration of some overrides."""
    return parse_config(compose_raw("config", overrides))


def compose_raw(name: str, overrides: Sequence[str]) -> DictConfig:
    """Return Hydra's composition of a configuration file of conf/."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


def fences(page: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return [code for found, code in FENCE.findall(page) if found == language]


def without_fences(page: str) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page)


def block_commands(page: str) -> list[list[str]]:
    """Return the words of each command in a page's code blocks."""
    lines = [line for block in fences(page, "bash") for line in block.splitlines()]
    found = [shlex.split(VARIABLES.sub("", line), comments=True) for line in lines]
    return [command for words in found for command in _separated(words) if command]


def _separated(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the commands of a line: those of a pipe, without redirections."""
    is_end = [word in ("|", "&&") for word in words]
    ends = [-1, *(place for place, ended in enumerate(is_end) if ended), len(words)]
    for start, end in pairwise(ends):
        yield list(takewhile(lambda word: word != ">", words[start + 1 : end]))


def prose_commands(page: str) -> list[list[str]]:
    """Return the words of each command in a page's prose; ``...`` stands for more, so those are left out."""
    found = [" ".join(code.split()) for code in INLINE.findall(without_fences(page))]
    return [shlex.split(code) for code in found if "..." not in code]


def single_values(words: Sequence[str]) -> list[str]:
    """Return the overrides of a sweep's first job, without flags."""
    found = []
    for override in OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")]):
        if isinstance(override.value(), Glob):
            continue  # any option of the group
        first = (
            next(iter(override.sweep_string_iterator()))
            if override.is_sweep_override()
            else override.get_value_element_as_str()
        )
        found.append(f"{'+' * override.is_add()}{override.key_or_group}={first}")
    return found


def parse_arguments(module: str, words: Sequence[str]) -> object:
    """Return the options that a command without Hydra reads from its arguments; its task is not run."""
    members = vars(importlib.import_module(module)).values()
    found = [inspect.getclosurevars(each) for each in members if hasattr(each, "__wrapped__")]
    (names,) = [each for each in found if "parse" in each.nonlocals]
    given = names.globals["_expand"](words, names.nonlocals["positional"], names.nonlocals["aliases"] or {})
    return names.nonlocals["parse"](list(given), "")


def compose_pretraining(words: Sequence[str]) -> Pretraining:
    """Return the settings of a pre-training."""
    ConfigStore.instance().store(name="pretraining", node=mergeable(Pretraining), provider="tests")
    return parse_pretraining(compose_raw("pretrain", words))

"""The command `probes` calls the other commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from experiments import commands
from tests.conftest import Ended

RunMain = Callable[..., Ended]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(run_main: RunMain, words: list[str]) -> None:
    ended = run_main(commands.main, *words)
    assert ended.status == 0 and all(name in ended.out for name in commands.COMMANDS)


def test_every_command_is_a_module_with_its_own_help() -> None:
    for module, _ in commands.COMMANDS.values():
        found = find_spec(module)
        assert found is not None and found.origin and "def main(" in Path(found.origin).read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "key"), [("predict", "record="), ("run", "pooling"), ("collect", "records=")])
def test_a_command_gets_its_arguments(run_main: RunMain, name: str, key: str) -> None:
    ended = run_main(commands.main, name, "--help")
    assert ended.status == 0 and key in ended.out and ended.out != run_main(commands.main).out


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        (["pridict"], 1, ["pridict", "predict"]),
        (["--fast"], 2, ["--fast"]),
        (["predict", "rekord=x"], 1, ["rekord", "record"]),
        (["run", "poolng=cls"], 1, ["poolng"]),
        (["run", "--fast"], 2, ["--fast"]),
    ],
)
def test_bad_input_is_one_line(run_main: RunMain, words: list[str], status: int, named: list[str]) -> None:
    ended = run_main(commands.main, *words)
    assert ended.status == status and len(ended.lines) == 1 and all(text in ended.err for text in named), ended


def test_bash_completes_commands_options_and_keys(tmp_path: Path) -> None:
    """As bash calls it: `probes` is the script of an install, and the words of the line are in the environment."""
    script = tmp_path / "probes"
    script.write_text(f"#!{sys.executable}\nfrom experiments.commands import main\nmain()\n")
    script.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    code = (
        'eval "$(probes -sc install=bash)"; complete -p probes\n'
        'for line in "probes ex" "probes run pooling=cls_" "probes extract layer"; do\n'
        "  words=($line); COMP_LINE=$line COMP_POINT=${#line} COMP_CWORD=$((${#words[@]} - 1))\n"
        '  COMPREPLY=(); hydra_bash_completion; echo "${COMPREPLY[@]}"\n'
        "done"
    )
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    rule, *found = done.stdout.splitlines()
    assert "hydra_bash_completion probes" in rule, done
    assert "extract" in found[0] and "pooling=cls_mean" in found[1] and "layer=" in found[2], done

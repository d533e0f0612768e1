"""The options and the exit statuses of the commands: a value of its key's type, or one line and status 1."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest

from experiments import collect
from experiments.cli import ModelPath
from src.cli.arguments import at_least, command, read_options, required
from src.errors import UserError


@dataclass(frozen=True)
class Options:
    text: str = required("a folder of text")
    output: str | None = None
    rows: int | None = at_least(2, None)
    margin: float = 0.01
    number: int = 3
    check: bool = False
    sizes: tuple[int, ...] = (1, 2)
    names: tuple[str, ...] = ("a", "b")
    part: Literal["all", "encoder"] = "all"
    model: ModelPath = ModelPath()


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("text=here", "text", "here"),
        ("rows=5", "rows", 5),
        ("output=2026", "output", "2026"),
        ("output=0123", "output", "0123"),
        ("output=null", "output", None),
        ("output=a: b #c", "output", "a: b #c"),
        ('output="a, b"', "output", "a, b"),
        ("output=${names}", "output", "a,b"),
        ("margin=1e-3", "margin", 0.001),
        ("margin=1", "margin", 1),
        ("check=true", "check", True),
        ("sizes=[3]", "sizes", (3,)),
        ("sizes=3,4,3", "sizes", (3, 4)),
        ("names=[x,y]", "names", ("x", "y")),
        ("names=x, y", "names", ("x", "y")),
        ("part=encoder", "part", "encoder"),
        ("model.path=x", "model", ModelPath("x")),
    ],
)
def test_a_value_has_its_keys_type(word: str, key: str, value: Any) -> None:
    assert getattr(read_options(Options, ["text=folder", word]), key) == value


@pytest.mark.parametrize(
    "word",
    [
        'output="a',
        "output='a",
        "output=[a",
        "text=",
        "text=null",
        "part=encode",
        "rows=1",
        "margin=0.1,0.2",
        "output=[a]",
        "output={a: b}",
        'output="a\\0b"',
        "output=${oc.env:NOT_SET_ANYWHERE}",
        "output=${nope}",
        "output=${",
        "output=${output}",
        "output=???",
        "output=\udcff",
        "output=" + "[" * 3000,
        "output.more=x",
        "output",
        "=x",
        "nope=1",
        "[0]=1",
        "rows=many",
        "rows=1.5",
        "rows=true",
        "margin=abc",
        "margin=",
        "number=null",
        "number=1.0",
        "check=1",
        "sizes=",
        "sizes=[]",
        "sizes=1.5",
        "names=[[a]]",
        "names={a: b}",
        "sizes=[1,",
        "sizes=!!python/name:os.system",
        "sizes=*a",
        "model=x",
        "model.nope=x",
        "output=https://user:pass@host/x",
    ],
)
def test_an_argument_that_cannot_be_read_is_refused_in_one_line(word: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_options(Options, ["text=folder", word])
    assert len(str(refusal.value).splitlines()) == 1 and len(str(refusal.value)) < 400
    assert "pass" not in str(refusal.value)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'modle\.path'.*'model\.path'"):
        read_options(Options, ["modle.path=x"])


def test_an_unknown_flag_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(Options, ["--fast"])
    assert ended.value.code == 2 and "--fast" in capsys.readouterr().err


def test_help_lists_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        collect.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert (collect.__doc__ or "").splitlines()[0] in printed
    assert all(f"{each.name}=" in printed for each in fields(collect.Options)) and "records=" in printed


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("rows=0: none"), 1, "error: rows=0: none"),
        (KeyboardInterrupt(), 130, "stopped"),
        (PermissionError(13, "Permission denied", "here.csv"), 1, "'here.csv'"),
    ],
)
def test_an_error_ends_a_command_with_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @command(Options)
    def main(options: Options) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        main(["text=folder"])
    printed = capsys.readouterr().err
    assert ended.value.code == status and line in printed and len(printed.splitlines()) == 1


def test_an_unforeseen_error_keeps_its_traceback() -> None:
    @command(Options)
    def main(options: Options) -> None:
        raise FileNotFoundError(2, "No such file", options.text)

    with pytest.raises(FileNotFoundError):
        main(["text=folder"])


def test_positional_arguments_and_aliases_set_options() -> None:
    given: list[Options] = []

    @command(Options, positional="text", aliases={"--check": "check=true", "noise": None})
    def main(options: Options) -> None:
        given.append(options)

    main(["folder", "--check", "noise"])
    assert given == [Options("folder", check=True)]


def test_bytes_that_are_not_utf_8_end_a_command_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.report", b"records=\xff"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1

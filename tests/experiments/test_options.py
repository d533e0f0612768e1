"""The words of the commands that read no config groups: a value of its key's type, or one line and status 1."""

import subprocess
import sys

import pytest

from experiments import options, report
from src.errors import UserError

DEFAULTS = {
    "output": None,
    "rows": None,
    "margin": 0.01,
    "number": 3,
    "check": False,
    "sizes": [1, 2],
    "names": "a,b",
    "model": {"path": None},
}


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("output=2026", "output", "2026"),
        ("output=0123", "output", "0123"),
        ("output=a: b #c", "output", "a: b #c"),
        ('output="a, b"', "output", "a, b"),
        ("output=null", "output", None),
        ("output=${names}", "output", "a,b"),
        ("rows=5", "rows", 5),
        ("margin=1e-3", "margin", 0.001),
        ("margin=1", "margin", 1),
        ("margin=0.1,0.2", "margin", "0.1,0.2"),
        ("check=true", "check", True),
        ("sizes=[3]", "sizes", [3]),
        ("names=[x,y]", "names", ["x", "y"]),
        ("model.path=x", "model", {"path": "x"}),
    ],
)
def test_a_value_is_of_its_keys_type(word, key, value):
    assert options.read(DEFAULTS, [word])[key] == value


@pytest.mark.parametrize(
    "word",
    [
        'output="a',
        "output='a",
        "output=[a",
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
        "sizes=3",
        "sizes=[1,",
        "sizes=!!python/name:os.system",
        "sizes=*a",
        "model=x",
        "model.nope=x",
        "output=https://user:pass@host/x",
    ],
)
def test_what_cannot_be_meant_is_one_line(word):
    with pytest.raises(UserError) as refusal:
        options.read(DEFAULTS, [word])
    assert len(str(refusal.value).splitlines()) == 1 and len(str(refusal.value)) < 400
    assert "pass" not in str(refusal.value)


def test_an_unknown_flag_ends_with_status_2(capsys):
    with pytest.raises(SystemExit) as ending:
        options.read(DEFAULTS, ["--fast"])
    assert ending.value.code == 2 and "--fast" in capsys.readouterr().err


def test_help_names_every_key(capsys):
    with pytest.raises(SystemExit) as ending:
        report.main(["--help"])
    assert ending.value.code == 0
    told = capsys.readouterr().out
    assert (report.__doc__ or "").splitlines()[0] in told and all(f"{key}=" in told for key in report.DEFAULTS)


def test_bytes_that_are_no_text_end_a_command_in_a_line():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.report", b"records=\xff"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1

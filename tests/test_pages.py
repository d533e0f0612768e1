"""What README and docs/ show is true: commands are accepted, links lead somewhere, options are all listed."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.commands import COMMANDS
from experiments.report import __main__ as report
from src import run
from src.config.paths import CONF
from src.config.schema import Config
from src.extract import expand_input
from src.pooling import poolings
from tests.conftest import SENTENCES, Ended, write_csv
from tests.helpers.commands import (
    block_commands,
    compose_pretraining,
    composed,
    fences,
    parse_arguments,
    prose_commands,
    single_values,
    without_fences,
)

ROOT = CONF.parent
MAIN = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")))
PAGES = (*MAIN, "experiments/README.md", "experiments/records/README.md", "src/embedded/bert-books/README.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README_LINES, PROSE_WIDTH = 150, 100
SHOWN = sorted(
    {(page, *words) for page in (*MAIN, "experiments/README.md") for words in block_commands(TEXTS[page])}
    | {(page, *words) for page in MAIN for words in prose_commands(TEXTS[page])}
)


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: " ".join(shown)[:90])
def test_a_command_is_accepted(shown: tuple[str, ...]) -> None:
    page, first, *words = shown
    if first == "python" and words[0] == "-m":
        check_module(words[1], words[2:])
    elif first == "python" and words[0] == "-c":
        compile(words[1], page, "exec")
    elif first == "python":
        assert (page, words[0]) == ("docs/extending.md", "additions.py")  # tests/test_extending.py runs it
    elif first == "pip":
        (extra,) = re.findall(r"\[(\w+)\]", words[-1])
        assert words[:-1] == ["install", "-e"] and extra in PROJECT["optional-dependencies"]
    elif first == "eval":
        assert words == ["$(probes -sc install=bash)"]  # tests/experiments/test_commands.py completes
    elif first == "probes":
        assert words[0] in COMMANDS
    elif first == "wandb":
        check_wandb(words)
    else:
        assert first == "hf"
        program = Path(sys.executable).with_name("hf")  # of this environment, activated or not
        ended = subprocess.run([program, words[0], "--help"], capture_output=True, text=True, check=True)
        assert all(word in ended.stdout for word in words if word.startswith("--"))


@pytest.mark.parametrize("page", MAIN)
def test_blocks_are_read_by_bash_as_they_stand(page: str) -> None:
    for block in fences(TEXTS[page], "bash"):
        ended = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


def check_module(module: str, words: list[str]) -> None:
    """Parse the arguments of ``python -m module`` as it would; refusals are raised."""
    if module in ("src.run", "src.extract"):
        config = composed(*single_values(expand_input(words)))
        assert config.dataset.name and config.model.path
    elif module == "experiments.pretrain":
        compose_pretraining(["text=FOLDER"] if words in ([], ["--cfg", "job"]) else words)
    elif module == "pytest":
        assert not words
    else:
        where = importlib.util.find_spec(module)
        assert where is not None
        entry = f"{module}.__main__" if where.submodule_search_locations else module
        assert not words or parse_arguments(entry, words)


def check_wandb(words: list[str]) -> None:
    """Check a command of W&B, and that the file of a sweep exists."""
    from wandb.cli.cli import cli

    assert words[0] in cli.commands
    assert all((ROOT / word).is_file() for word in words if word.endswith(".yaml"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target in links(TEXTS[page]):
        assert not re.match(r"\w+:", target), f"{target}: pages link to the repository alone"
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


def links(page: str) -> list[str]:
    """Return the targets of a page's links and images."""
    prose = re.sub(r"`[^`\n]*`", "", without_fences(page))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(page: str) -> Iterator[str]:
    """Yield the anchors that GitHub gives the headings of a page."""
    seen: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)$", without_fences(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        yield f"{slug}-{count}" if count else slug


def test_the_readme_is_short_and_leads_to_all_pages() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= README_LINES
    assert set(MAIN[1:]) <= {target.partition("#")[0] for target in links(TEXTS["README.md"])}


@pytest.mark.parametrize(
    "command", [r"pip install .*\[dev\].*", r"python -m pytest", r"python -m src\.run .*dataset=demo_.*"]
)
def test_the_readme_has_the_commands_that_ci_reads(command: str) -> None:
    assert len(re.findall(f"^{command}$", TEXTS["README.md"], re.MULTILINE)) == 1


@pytest.mark.parametrize("page", MAIN)
def test_lines_of_prose_can_be_read_side_by_side(page: str) -> None:
    lines = without_fences(TEXTS[page]).splitlines()
    long = [line for line in lines if len(line) > PROSE_WIDTH and not line.startswith(("|", "#", "!["))]
    assert not long


def keys(kind: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a dataclass of the configuration."""
    for field in dataclasses.fields(kind):
        value = field.default_factory() if callable(field.default_factory) else field.default
        if dataclasses.is_dataclass(value):
            yield from keys(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


@pytest.mark.parametrize("key", list(keys(Config)))
def test_every_key_is_listed(key: str) -> None:
    text = TEXTS["docs/options.md"]
    assert f"`{key}`" in text or f"`{key}=" in text


def test_every_option_is_listed() -> None:
    options = {path.stem for path in CONF.glob("*/*.yaml")} | {path.stem for path in CONF.glob("hydra/launcher/*.yaml")}
    text = TEXTS["docs/options.md"]
    assert not [
        name for name in {*options, *poolings} - {"auto"} if f"`{name}`" not in text and f"={name}`" not in text
    ]


def test_the_difference_that_the_question_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = fences(TEXTS["docs/question.md"], "python")
    monkeypatch.chdir(ROOT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    same_shape, far, near = re.findall(r"True|(?<=tensor\()[\d.e+-]+", printed.getvalue())
    assert same_shape == "True" and float(far) > 0.5 and float(near) < 1e-5


def test_every_other_python_block_is_run_by_a_test() -> None:
    shown = {page for page, text in TEXTS.items() if fences(text, "python")}
    assert shown == {"README.md", "docs/question.md", "docs/extending.md"}  # test_api.py, here, test_extending.py


def test_a_users_own_csv_and_checkpoint(run_main: Callable[..., Ended], bert: Path) -> None:
    """The README's two commands, with a checkpoint and rows of this machine."""
    (section,) = re.findall(r"^## Your model and your data\n(.*?)^## ", TEXTS["README.md"], re.DOTALL | re.MULTILINE)
    sweep, page = block_commands(section)
    for name, count in (("train.csv", 40), ("test.csv", 20)):
        rows = [(f"{SENTENCES[place % 8]} {name[place % 4]} {place}", "ab"[place % 2]) for place in range(count)]
        write_csv(Path(name), rows, ("text", "label"))
    words = [f"model.path={bert}" if word == "model=OWNER/NAME" else word for word in sweep[3:]]
    assert words != sweep[3:]
    ended = run_main(run.main, *words, "probe.resamples=100")
    assert ended.status == 0, ended.err
    ended = run_main(report.main, *page[3:])
    assert ended.status == 0, ended.err
    assert Path("mine", "report.html").is_file()


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["title"] and cited["message"]
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert [author["name"] for author in cited["authors"]] == [PROJECT["name"]]

import ast
import getpass
import json
import os
import re
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest

from src.runtime import provenance
from src.runtime.provenance import collect, folder_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def fresh():
    """Each test asks git anew."""
    provenance._checkout.cache_clear()
    yield
    provenance._checkout.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that looks like ours, with `provenance` lying in it."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "provenance.py").write_text("a = 1\n")
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "one")
    monkeypatch.setattr(provenance, "HERE", root / "src")
    return root


def state() -> tuple[str | None, bool | None]:
    provenance._checkout.cache_clear()
    found = collect()
    return found["commit"], found["dirty"]


def test_commit_and_dirty_flag_follow_the_checkout(checkout):
    commit = git(checkout, "rev-parse", "HEAD").strip()
    assert state() == (commit, False)
    (checkout / "notes.txt").write_text("outside src and conf\n")
    assert state() == (commit, False)
    (checkout / "conf").mkdir()
    (checkout / "conf" / "mine.yaml").write_text("a: 1\n")
    assert state() == (commit, True)
    (checkout / "conf" / "mine.yaml").unlink()
    (checkout / "src" / "provenance.py").write_text("a = 2\n")
    assert state() == (commit, True)


def test_a_checkout_without_a_commit_has_none(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    git(tmp_path, "init")
    monkeypatch.setattr(provenance, "HERE", tmp_path / "src")
    assert state() == (None, None)


def test_another_repository_is_never_taken_for_ours(checkout, monkeypatch, tmp_path):
    """Not those of the working folder, of GIT_DIR or of the environment's folder."""
    installed = checkout / "env" / "site-packages" / "src"
    installed.mkdir(parents=True)
    monkeypatch.setattr(provenance, "HERE", installed)
    monkeypatch.chdir(checkout)
    assert state() == (None, None)
    away = tmp_path / "away" / "src"
    away.mkdir(parents=True)
    monkeypatch.setattr(provenance, "HERE", away)
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(away.parent))
    assert state() == (None, None)


def test_no_git_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert state() == (None, None)


def test_a_slow_git_is_given_up(checkout, monkeypatch):
    def slow(*arguments, timeout, **more):
        assert timeout <= 2
        raise subprocess.TimeoutExpired("git", timeout)

    monkeypatch.setattr(subprocess, "run", slow)
    assert state() == (None, None)


def test_a_sweep_pays_git_once(checkout, monkeypatch):
    calls = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *arguments, **more: calls.append(arguments) or run(*arguments, **more)
    )
    assert [collect()["commit"] for _ in range(5)] == [collect()["commit"]] * 5
    assert len(calls) <= 2


def test_nothing_tells_whose_machine_it_was(monkeypatch):
    text = json.dumps(collect(device="cuda", gpu="NVIDIA H200", threads=2, dtype="float32"))
    secrets = {socket.gethostname(), os.uname().nodename, str(Path.home()), str(ROOT), getpass.getuser()}
    words = set(re.findall(r"[\w./-]+", text))
    assert not {
        secret
        for secret in secrets
        if secret in words or (secret.startswith("/") and len(secret) > 1 and secret in text)
    }
    assert not [word for word in words if word.startswith("/") and len(word) > 1]


def test_facts_of_the_caller_are_kept_and_versions_are_there():
    found = collect(device="cpu", threads=3, weights="abc")
    assert (found["device"], found["gpu"], found["threads"], found["weights"]) == ("cpu", None, 3, "abc")
    assert re.match(r"\d+\.\d+", found["packages"]["numpy"])
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["cpu"]


def test_an_absent_package_has_no_version(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    provenance._packages.cache_clear()
    try:
        assert collect()["packages"]["no-such-package"] is None
    finally:
        provenance._packages.cache_clear()


def test_systems_without_affinity_or_processor_file(monkeypatch):
    def missing(*arguments, **more):
        raise FileNotFoundError

    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(Path, "read_text", missing)
    provenance._cpu.cache_clear()
    try:
        assert provenance.cores() == os.cpu_count()
        assert provenance._cpu()
    finally:
        provenance._cpu.cache_clear()


def test_every_dependency_of_the_project_is_recorded():
    project = ROOT / "pyproject.toml"
    if not project.is_file():
        pytest.skip("no pyproject.toml: installed without a checkout")
    wanted = tomllib.loads(project.read_text())["project"]["dependencies"]
    names = {re.match(r"[\w.-]+", line).group().lower().replace("_", "-") for line in wanted}
    assert names <= set(provenance.PACKAGES)


@pytest.mark.parametrize(
    ("path", "name"), [("/home/me/bert", "bert"), ("/home/me/bert/", "bert"), ("a, b=c/d e", "d e"), ("a/..//b/.", "b")]
)
def test_a_folder_is_known_by_its_last_name(path, name):
    assert folder_name(path) == name


def test_the_working_folder_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert folder_name(".") == "here"


def test_the_method_covers_every_package_that_scores() -> None:
    """What the scoring packages import from each other is covered, so that changed code does not return old scores."""
    shared = ("config", "models", "errors", "features", "pooling", "runtime", "registry", "results", "storage")
    files = [file for package in provenance.METHOD for file in (provenance.HERE / package).rglob("*.py")]
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("src"):
                continue
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                assert name.split(".")[1] in (*provenance.METHOD, *shared), (file.name, name)

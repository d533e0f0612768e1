"""An install holds every package and conf/, and a missing extra is one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_every_package_is_installed() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("src", "experiments")
        for path in ROOT.glob(f"{top}/**/__init__.py")
    }
    assert set(SETUPTOOLS["packages"]) == found | {"src._conf", "hydra_plugins"}


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_an_install_has_the_sweeper_where_hydra_looks_for_plugins(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "77")
    tree, site = tmp_path / "tree", tmp_path / "site"
    for name in SETUPTOOLS["packages"]:
        folder = SETUPTOOLS["package-dir"].get(name, name.replace(".", "/"))
        (tree / folder).mkdir(parents=True, exist_ok=True)
        for path in (ROOT / folder).glob("*.py"):
            shutil.copy(path, tree / folder)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=tree, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    find = "import site, sys; site.addsitedir(sys.argv[1]); import importlib.util\n"
    find += "print(importlib.util.find_spec('hydra_plugins.pooling_probes').origin)"
    found = subprocess.run([sys.executable, "-S", "-c", find, str(site)], cwd=tmp_path, capture_output=True, text=True)
    place = (site if kind == "wheel" else tree) / "hydra_plugins" / "pooling_probes.py"
    assert found.stdout.split()[0] == str(place), found.stderr


def test_every_option_and_data_file_is_installed() -> None:
    folders = SETUPTOOLS["package-dir"]
    for package, kinds in (
        ("src._conf", (".yaml",)),
        ("src", (".json", ".safetensors", ".md")),
        ("experiments.report", (".html", ".css", ".js")),
    ):
        folder = ROOT / folders.get(package, package.replace(".", "/"))
        kept = {path for pattern in SETUPTOOLS["package-data"][package] for path in folder.glob(pattern)}
        assert {
            path
            for path in folder.rglob("*")
            if path.suffix in kinds and "records" not in path.parts and path.name != "README.md"
        } <= kept


@pytest.mark.parametrize("name", ["run", "extract"])
def test_an_entry_called_as_a_file_says_how_to_call_it(name: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "src" / f"{name}.py"), "pooling=cls"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 1 and f"python -m src.{name}" in ended.stderr and "Traceback" not in ended.stderr


def test_without_matplotlib_the_paper_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; from experiments.paper.__main__ import main; "
        "main([f'output={sys.argv[1]}'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True
    )
    assert (
        ended.returncode == 1
        and "matplotlib" in ended.stderr
        and "[paper]" in ended.stderr
        and "Traceback" not in ended.stderr
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "module://no_such.backend", "nonsense"]
)
def test_figures_do_not_heed_the_backend_of_a_notebook(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    code = (
        "import sys; from pathlib import Path; from experiments.paper.figures import drawing\n"
        "from experiments.paper.figures.registry import save\n"
        "with drawing.project_style(): figure, axes = drawing.new_figure(3, 2, 1)\n"
        "print(*save(figure, Path(sys.argv[1]) / 'empty'))"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"empty.pdf", "empty.png"}

"""Every file below conf/ composes and is accepted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.cli.structured import load_option
from src.config.paths import CONF
from src.config.schema import ProbeConfig
from src.errors import UserError
from src.pooling import poolings
from tests.helpers.commands import composed

ROOT = CONF.parent


@pytest.mark.parametrize("path", sorted(CONF.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_option_composes_under_its_own_name(path: Path) -> None:
    group = path.parent.name
    if group == "probe":
        assert load_option(ProbeConfig, group, path.stem).name == path.stem
        return
    config = composed(
        f"{'+' if group == 'experiment' else ''}{group}={path.stem}",
        *(["dataset.train=a.csv"] if path.stem == "files" else []),
        *(["dataset.hub.path=a/b"] if path.stem == "hub" else []),
    )
    if group in ("model", "dataset", "tracker"):
        assert getattr(config, group).name == ("a/b" if path.stem == "hub" else path.stem)
        # What a YAML says survives composition.
        for key, value in OmegaConf.to_container(OmegaConf.load(path)).items():  # type: ignore[union-attr]
            if key == "name":
                continue
            found = getattr(getattr(config, group), str(key))
            assert value is None or isinstance(value, dict) or found == value, key


@pytest.mark.parametrize("name", poolings)
def test_every_pooling_is_an_option(name: str) -> None:
    assert composed(f"pooling={name}").pooling.name == name


def test_the_probe_follows_the_task() -> None:
    assert composed("dataset=cola").probe.name == "logistic"
    assert composed("dataset=stsb").probe.name == "ridge"
    assert composed("dataset=files", "dataset.task=regression").probe.name == "ridge"
    with pytest.raises(UserError, match="probe=ridge is for regression"):
        composed("dataset=cola", "probe=ridge")


def test_a_hash_in_a_model_is_whole_and_its_source_is_named() -> None:
    for path in [*CONF.glob("model/*.yaml"), *CONF.glob("dataset/*.yaml")]:
        for revision in re.findall(r"revision: ([0-9a-f]+)", path.read_text()):
            assert len(revision) == 40
            assert "#" in path.read_text()


def test_no_yaml_holds_a_path_of_one_machine_and_no_python_names_a_dataset() -> None:
    for path in CONF.rglob("*.yaml"):
        assert not re.search(r"/(home|root|Users|work|tmp)/", path.read_text()), path
    names = {path.stem for path in CONF.glob("dataset/*.yaml")} - {"files", "hub", "mr", "cr"}
    for path in (ROOT / "src").rglob("*.py"):
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text())
        assert not [name for name in names if re.search(rf"['\"]{name}['\"]", code)], path


def test_help_is_quick_to_load_and_brings_in_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['run', '--help']\n"
        "import src.run\n"
        "try:\n    src.run.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'wandb', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    for name in (*poolings, "bert-base-uncased", "sst_fine", "hydra/launcher=joblib", "tracker.mode="):
        assert name in shown.stdout

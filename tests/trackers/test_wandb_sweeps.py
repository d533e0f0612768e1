"""Every job of every W&B sweep, composed by the library's own agent code, is a valid command."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.cli.application import register
from src.cli.overrides import check_overrides
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config
from src.trackers.wandb_summary import wandb_summary
from tests.helpers.records import make_result

SWEEPS = sorted((CONF.parent / "experiments" / "sweeps").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def jobs(sweep: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The grid, a job at a time."""
    values = [[each["value"]] if "value" in each else each["values"] for each in sweep["parameters"].values()]
    return (dict(zip(sweep["parameters"], combination, strict=True)) for combination in itertools.product(*values))


def words(sweep: dict[str, Any], job: dict[str, Any]) -> list[str]:
    """A job's command as the agent builds it."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    arguments = create_sweep_command_args({"args": {key: {"value": value} for key, value in job.items()}})
    macros = {f"${{{name}}}": found for name, found in arguments.items()} | {
        "${env}": ["/usr/bin/env"],
        "${interpreter}": ["python"],
    }
    return [word for chunk in create_sweep_command(list(sweep["command"])) for word in macros.get(chunk, [chunk])]


def found_in(config: Config, key: str) -> Any:
    """What a composed configuration holds under a key; a group's name."""
    value = reduce(
        lambda value, name: value[name] if isinstance(value, dict) else getattr(value, name), key.split("."), config
    )
    return value.name if dataclasses.is_dataclass(value) else value


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that an agent's environment names."""
    monkeypatch.setenv("TRAIN", "my folder/train.csv")
    monkeypatch.setenv("TEST", "my folder/test.csv")


def test_the_sweep_of_a_users_files_reads_them_from_the_environment() -> None:
    sweep = load(CONF.parent / "experiments" / "sweeps" / "own_data.yaml")
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = parse_config(compose("config", check_overrides(words(sweep, next(jobs(sweep)))[4:])))
    assert (config.dataset.train, config.dataset.test) == ("my folder/train.csv", "my folder/test.csv")
    assert config.tracker.artifacts and "my folder" not in str(sweep)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_job_composes_with_the_values_of_its_sweep(path: Path) -> None:
    sweep = load(path)
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for job in jobs(sweep):
            command = words(sweep, job)
            assert command[:4] == ["/usr/bin/env", "python", "-m", "src.run"]
            config = parse_config(compose("config", check_overrides(command[4:])))
            assert {key: found_in(config, key) for key in job} == job
            assert config.tracker.mode == "online"  # an agent's run belongs to its sweep, which is on the server


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_names_a_number_that_runs_have_and_how_many_jobs_it_is(path: Path) -> None:
    sweep = load(path)
    assert isinstance(wandb_summary(make_result())[sweep["metric"]["name"]], float)
    assert f" {len(list(jobs(sweep)))} jobs" in path.read_text().splitlines()[0]
    assert path.name in path.read_text()


def test_a_path_comes_from_the_agents_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "some/where")
    sweep = load(SWEEPS[0])
    sweep["command"].insert(4, "data_root=${envvar:DATA_ROOT}")
    assert words(sweep, next(jobs(sweep)))[4] == "data_root=some/where"

"""A sweep is planned before its first job: Hydra's grammar gives the jobs, and an impossible sweep is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from src import run
from src.config.paths import CONF
from src.errors import UserError
from src.pooling import poolings
from src.sweeps.checks import MIN_TIMEOUT, check_compositions, check_launcher
from src.sweeps.plan import CONCATENATION, SweepPlan, expand, swept_layers
from src.sweeps.status import JobStatus
from tests.conftest import Ended

Command = Callable[..., Ended]
LAUNCHERS = sorted(path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml"))
SWEEPS = [
    ["pooling=cls,mean", "seed=range(2)", "layer=-1"],
    ["pooling=glob(*,exclude=[m*])", "dataset=choice(mrpc,rte)"],
    ["dataset=files", "dataset.train='a, b.csv'", "probe.grid.C=[1,2],[3]", "+dataset.metrics=[f1]"],
    ["seed=0,1", "seed=2,3", "draws=shuffle(1,1)", "layer=sort(2,0,1)", "~tracker.group"],
    ["hydra.job.chdir=false", "layer=range(0,6,2)", "model.path=tag(x,choice(a,b))"],
    ["seed=0,0", "data_root=null,x", "output='${pooling.name}/a=b'"],
]


@pytest.mark.parametrize("overrides", SWEEPS, ids=str)
def test_the_jobs_are_those_of_hydras_basic_sweeper(overrides: list[str], composed: Any) -> None:
    composed()
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    (basic,) = (each for each in Plugins.instance().discover(Sweeper) if each.__name__ == "BasicSweeper")
    jobs: Any = basic
    expected = [
        job for job in jobs.split_arguments(parser.parse_overrides(overrides), None)[0] if CONCATENATION not in job
    ]
    assert [list(job) for job in expand(parser.parse_overrides(overrides))] == expected


def test_a_sweep_runs_concatenations_beside_their_parts() -> None:
    words = ["pooling=cls,concat,mean", "pooling.of=[cls,mean],[cls,max]", "seed=0"]
    assert expand(OverridesParser.create().parse_overrides(words)) == [
        ("pooling=cls", "seed=0"),
        (CONCATENATION, "pooling.of=[cls,mean]", "seed=0"),
        (CONCATENATION, "pooling.of=[cls,max]", "seed=0"),
        ("pooling=mean", "seed=0"),
    ]
    alone = ["pooling=cls,mean", "pooling.of=[cls,mean]"]  # refused by each job
    assert all("pooling.of=[cls,mean]" in job for job in expand(OverridesParser.create().parse_overrides(alone)))


def test_a_glob_of_poolings_leaves_out_concat(composed: Any) -> None:
    composed()
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    found = [job[0].partition("=")[2] for job in expand(parser.parse_overrides(["pooling=glob(*)"]))]
    assert sorted(found) == sorted(poolings)


def test_an_interval_is_refused(composed: Any) -> None:
    with pytest.raises(UserError, match=r"seed=interval\(0,1\).*range"):
        expand(OverridesParser.create().parse_overrides(["seed=interval(0,1)"]))


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        (["layer=0,-1"], (0, -1)),
        (["layer=range(1,4)", "pooling=cls"], (1, 2, 3)),
        (["layer=0,1", "layer=choice(2,3)"], (2, 3)),
        (["layer=0,1", "layer=2"], ()),
        (["layer=0,x"], (0,)),
        (["pooling=cls,mean"], ()),
    ],
)
def test_the_layers_of_a_sweep_are_those_of_its_last_override_of_the_layer(words: list[str], layers: tuple[int, ...]):
    assert swept_layers(words) == layers


def test_a_process_of_a_job_reads_the_identifier_and_the_layers(planned: Any) -> None:
    plan, _ = planned("layer=0,1", "dataset=files")
    assert SweepPlan.read(plan.folder) is None
    plan.folder.mkdir()
    plan.write()
    read = SweepPlan.read(plan.folder)
    assert read is not None and (read.identifier, read.layers, read.jobs) == (plan.identifier, (0, 1), ())
    assert read.label == plan.label == plan.folder.name
    replace(plan, group="2026-01-31 bert rte").write()
    named = SweepPlan.read(plan.folder)
    assert named is not None and named.label == "2026-01-31 bert rte"
    (plan.folder / "sweep.json").write_text('{"identifier": 3}')
    assert SweepPlan.read(plan.folder) is None


def test_a_status_of_another_sweep_is_not_counted(planned: Any) -> None:
    plan, _ = planned("seed=0,1")
    other, _ = planned("seed=0,1")
    assert plan.identifier != other.identifier
    first, second = plan.jobs
    JobStatus("done", plan.identifier).write(first.folder)
    JobStatus("done", other.identifier).write(second.folder)
    assert plan.status(first) == JobStatus("done", plan.identifier) and plan.status(second) is None
    assert plan.started() == (first,)


@pytest.mark.parametrize(
    ("subdir", "names"),
    [
        ("a/${hydra.job.num}", ["a/0", "a/1"]),
        ("${dataset.name}/${hydra.job.num}", ["files/0", "files/1"]),
        ("${hydra.job.override_dirname}", ["dataset=files,seed=0", "dataset=files,seed=1"]),
    ],
)
def test_the_folders_of_jobs_are_known_before_they_run(subdir: str, names: list[str], planned: Any) -> None:
    plan, _ = planned("seed=0,1", "dataset=files", f"hydra.sweep.subdir='{subdir}'")
    assert [str(job.folder.relative_to(plan.folder)) for job in plan.jobs] == names


def test_each_override_is_composed_once_and_whole_numbers_are_not() -> None:
    composed: list[list[str]] = []
    jobs = [[f"pooling={pooling}", f"seed={seed}"] for pooling in ("cls", "mean") for seed in range(3)]
    check_compositions(jobs, lambda words: composed.append(list(words)) or OmegaConf.create())  # type: ignore[func-returns-value]
    assert composed == [["pooling=cls", "seed=0"], ["pooling=mean", "seed=0"]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["hydra.sweep.subdir=same"], "2 jobs would share sweep/same"),
        (["hydra.sweep.subdir=a/${dataset.name}"], "2 jobs would share sweep/a/files"),
        (["tracker=wandb", "tracker.project=a/b"], "tracker.project='a/b'"),
        (["hydra.sweep.subdir=../out"], "hydra.sweep.subdir=../out"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "n_jobs=0: 1 to 1000 workers"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=1000000"], "1 to 1000 workers"),
        (["hydra/launcher=slurm"], "sbatch is not found"),
        (["tracker.mode=online", "tracker=wandb"], "tracker.mode=online: no W&B API key was found"),
        (["pooling=cls,meen"], "meen"),
        (["probe.grdi=1"], "grdi"),
        (["seed=a,b"], "seed"),
        (["seed=range(3,3)"], "seed=range(3,3)"),
        (["model.path=${nope}"], "nope"),
    ],
)
def test_an_impossible_sweep_is_refused_before_its_first_job(
    words: list[str], reason: str, run_main: Command, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "hydra/launcher=" in words[0]:
        pytest.importorskip(f"hydra_plugins.hydra_{'joblib' if 'joblib' in words[0] else 'submitit'}_launcher")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: "no W&B API key was found")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    ended = run_main(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean", *words)
    assert ended.status == 1 and reason in ended.err and "Traceback" not in ended.err, ended.err
    assert not list(tmp_path.glob("sweep/*"))


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_composes_whether_or_not_it_is_installed(launcher: str, composed: Any) -> None:
    settings = composed(f"hydra/launcher={launcher}").hydra.launcher
    assert settings._target_.startswith("hydra_plugins.")
    assert settings.get("timeout_min", 60) >= MIN_TIMEOUT


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_that_is_not_installed_names_its_extra(
    launcher: str, run_main: Command, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = run_main(run.main, "-m", *files, f"hydra/launcher={launcher}")
    assert ended.status == 1 and len(ended.lines) == 1
    assert f"pip install 'bert-pooling-probes[{'joblib' if launcher == 'joblib' else 'slurm'}]'" in ended.err


def test_a_time_limit_that_would_end_every_job_at_once_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    (tmp_path / "sbatch").touch(mode=0o755)  # found whatever this machine has
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "timeout_min": 2}
    with pytest.raises(UserError, match=r"hydra\.launcher\.timeout_min=2: at least 5"):
        check_launcher(OmegaConf.create(settings))
    check_launcher(OmegaConf.create(settings | {"timeout_min": 5}))

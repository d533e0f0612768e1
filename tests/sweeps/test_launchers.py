"""Whatever launches a sweep's jobs, they leave the same records, make one forward pass a split, and are all accounted for."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError

from experiments.overhead import settled
from src import run
from src.config.paths import CONF
from src.errors import UserError
from src.results.result import PREDICTIONS, PROBE, RECORD
from src.runtime.provenance import cores
from src.sweeps import launch, launchers, sweep
from src.sweeps.comparison import find_jobs, read_job
from src.sweeps.composing import compose_once
from src.sweeps.status import STATUS
from tests.conftest import Ended
from tests.test_run import record

Door = Callable[..., Ended]
ROOT = Path(__file__).resolve().parents[2]
UP = ROOT / "tests" / "slurm" / "up.sh"
LAUNCHERS = sorted(path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml"))


def swept(files: list[str], folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two poolings on two seeds on two test files, in processes of their own."""
    command = [
        sys.executable, "-m", "src.run", "-m", *files, "dataset.test=test.csv,train.csv", "pooling=cls,mean", "seed=0,1",
        f"hydra.sweep.dir={folder}", f"runtime.cache_dir={folder}-store", *words,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder.parent, timeout=570)


def same_as_basic(door: Door, files: list[str], folder: Path) -> None:
    """The records of a sweep are those of the basic launcher, and no pass was made twice."""
    poolings = ["dataset.test=test.csv,train.csv", "pooling=cls,mean", "seed=0,1"]
    assert door(run.main, "-m", *files, *poolings, f"hydra.sweep.dir={folder}-basic").status == 0
    for job in range(8):
        assert settled(folder / str(job)) == settled(folder.with_name(f"{folder.name}-basic") / str(job))
        assert record(folder / str(job))["timing"]["cache"] == "hit"  # the passes were made before the jobs
    stored = Path(f"{folder}-store").glob("features/*/*/meta.json")
    passes = {json.dumps(json.loads(path.read_text())["meta"]["pass"]) for path in stored}
    assert len(passes) == 2  # two splits, each encoded once


@pytest.mark.parametrize(
    ("launcher", "package"), [("joblib", "hydra_joblib_launcher"), ("submitit_local", "hydra_submitit_launcher")]
)
def test_records_do_not_depend_on_the_launcher(
    launcher: str, package: str, door: Door, files: list[str], tmp_path: Path
) -> None:
    pytest.importorskip(f"hydra_plugins.{package}")
    quick = [word for word in files if not word.startswith("runtime.threads")]
    ended = swept(
        quick,
        tmp_path / "sweep",
        f"hydra/launcher={launcher}",
        *(["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []),
    )
    assert ended.returncode == 0, ended.stderr
    assert "8 done, 0 skipped, 0 failed" in ended.stdout
    at_once = 2 if launcher == "joblib" else 8
    assert {record(tmp_path / "sweep" / str(job))["provenance"]["threads"] for job in range(8)} == {
        max(1, cores() // at_once)
    }
    same_as_basic(door, quick, tmp_path / "sweep")


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """SLURM_CONF of a cluster of one node on loopback, where PROBES_SLURM asks for one."""
    if not os.environ.get("PROBES_SLURM"):
        pytest.skip(
            "starts a Slurm on this machine: set PROBES_SLURM=1 (as root; needs the packages slurm-wlm and munge)"
        )
    if not shutil.which("slurmctld") or not shutil.which("munged"):
        pytest.skip("needs the packages slurm-wlm and munge")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    state = tmp_path_factory.mktemp("slurm")
    for folder in (state, *state.parents[:2]):
        folder.chmod(0o755)  # munge has a user of its own
    environment = {**os.environ, "D": str(state), "PORT": "17917"}
    subprocess.run(["bash", str(UP)], env=environment, check=True)
    yield str(state / "slurm.conf")
    subprocess.run(["bash", str(UP), "down"], env=environment, check=True)


def test_records_of_a_real_slurm_are_the_same(slurm: str, door: Door, files: list[str], tmp_path: Path) -> None:
    words = [
        "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1", "hydra.launcher.array_parallelism=2",
        "hydra.launcher.timeout_min=10", "runtime.shards=2",
    ]  # fmt: skip
    ended = swept(files, tmp_path / "sweep", *words, SLURM_CONF=slurm)
    assert ended.returncode == 0, ended.stderr
    assert "8 done, 0 skipped, 0 failed" in ended.stdout
    same_as_basic(door, files, tmp_path / "sweep")


@pytest.mark.parametrize("probe", ["probe=logistic", "probe=mdl", "probe=mteb"])
def test_the_number_of_threads_changes_no_bit_of_a_record(
    probe: str, door: Door, files: list[str], tmp_path: Path
) -> None:
    quick = [word for word in files if not word.startswith("runtime.threads")]
    for number in (1, 3):
        words = [probe, f"runtime.threads={number}", f"hydra.run.dir={number}", f"runtime.cache_dir={number}-store"]
        ended = door(run.main, *quick, *words)
        assert ended.status == 0, ended.err
    assert settled(tmp_path / "1") == settled(tmp_path / "3")
    assert record(tmp_path / "3")["provenance"]["threads"] == 3


# What a sweep is made of -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["hydra.sweep.subdir=same"], "2 jobs would share sweep/same"),
        (["hydra.sweep.subdir=a/${dataset.name}"], "2 jobs would share sweep/a/files"),
        (["tracker=wandb", "tracker.project=a/b"], "tracker.project='a/b'"),
        (["hydra.sweep.subdir=../out"], "a folder below hydra.sweep.dir is needed"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "n_jobs=0: 1 to 1000 workers"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=1000000"], "1 to 1000 workers"),
        (["hydra/launcher=slurm"], "sbatch is not found"),
        (["tracker.mode=online", "tracker=wandb"], "tracker.mode=online: no W&B API key was found"),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused_before_its_first_job(
    words: list[str], reason: str, door: Door, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "hydra/launcher=" in words[0]:
        pytest.importorskip(f"hydra_plugins.hydra_{'joblib' if 'joblib' in words[0] else 'submitit'}_launcher")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("src.trackers.wandb.obstacle", lambda: "no W&B API key was found")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    ended = door(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean", *words)
    assert ended.status == 1 and reason in ended.err and "Traceback" not in ended.err
    assert not list(tmp_path.glob("sweep/*/result.json"))


@pytest.fixture
def composed() -> Any:
    """`composed(words)` is a sweep's configuration as callbacks get it."""
    from hydra.types import RunMode

    from src.cli.application import register

    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        yield lambda *words: hydra.compose_config(
            "config", list(words), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_composes_whether_or_not_it_is_installed(launcher: str, composed: Any) -> None:
    settings = composed(f"hydra/launcher={launcher}").hydra.launcher
    assert settings._target_.startswith("hydra_plugins.")
    assert settings.get("timeout_min", 60) >= launchers.LEAST_MINUTES


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_that_is_not_installed_names_its_extra(
    launcher: str, door: Door, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = door(run.main, "-m", *files, f"hydra/launcher={launcher}")
    assert ended.status == 1 and len(ended.lines) == 1
    assert f"pip install 'bert-pooling-probes[{'joblib' if launcher == 'joblib' else 'slurm'}]'" in ended.err


def test_a_time_that_would_kill_every_job_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    (tmp_path / "sbatch").touch(mode=0o755)  # whatever this machine has, the look-up finds one
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "timeout_min": 2}
    with pytest.raises(UserError, match="at least 5"):
        launchers.check_launcher(OmegaConf.create(settings))
    launchers.check_launcher(OmegaConf.create(settings | {"timeout_min": 5}))


def test_jobs_are_those_that_hydra_deals_out(composed: Any) -> None:
    jobs = launch.expand(composed("pooling=cls,mean", "seed=range(2)", "layer=-1"))
    assert jobs == [
        [f"pooling={pooling}", f"seed={seed}", "layer=-1"] for pooling in ("cls", "mean") for seed in (0, 1)
    ]
    assert launchers.kind(composed()) == "basic" and launchers.kind(composed("hydra/launcher=joblib")) == "joblib"


def test_one_pass_serves_all_jobs_that_read_the_same_features() -> None:
    jobs = [
        [f"dataset={dataset}", f"pooling={pooling}", f"layer={layer}", f"seed={seed}", "probe.resamples=200", "runtime.also_layers=[5]"]
        for dataset in "ab" for pooling in ("cls", "max") for layer in (0, 3) for seed in (0, 1)
    ]  # fmt: skip
    words = ["pooling=cls", "layer=0", "runtime.also_layers=[3,5]"]
    assert launch.passes(jobs) == [["dataset=a", *words], ["dataset=b", *words]]


def test_passes_are_made_before_the_jobs_and_only_where_they_are_missing(
    composed: Any, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    config = composed(*files, "pooling=cls,mean", "layer=0,-1,9", "runtime.cache_dir=store", "hydra/launcher=joblib")
    jobs = launch.expand(config)
    launch.encode_missing(config, jobs)
    stored = sorted((tmp_path / "store").glob("features/*/*"))
    assert stored
    made: list[object] = []
    monkeypatch.setattr(launch, "encode", made.append)
    launch.encode_missing(config, jobs)
    assert not made and sorted((tmp_path / "store").glob("features/*/*")) == stored
    (tmp_path / "test.csv").unlink()  # what cannot be read is left to the jobs, which say so
    launch.encode_missing(config, jobs)
    assert not made


def test_passes_go_to_the_launcher_where_they_are_shared_out(
    composed: Any, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    launched: list[list[str]] = []

    def launcher(context: Any, task: Any, config: Any) -> Any:
        def run_all(words: list[list[str]], initial_job_idx: int) -> None:
            launched.extend(words)
            for each in words:
                loaded = context.config_loader.load_sweep_config(config, each)
                task(OmegaConf.masked_copy(loaded, [key for key in loaded if key != "hydra"]))

        return SimpleNamespace(launch=run_all)

    monkeypatch.setattr(launch.Plugins, "instance", lambda: SimpleNamespace(instantiate_launcher=launcher))
    config = composed(*files, "pooling=cls,mean", "runtime.cache_dir=store", "runtime.shards=2", "hydra/launcher=slurm")
    launch.encode_missing(config, launch.expand(config))
    assert [next(word for word in words if "runtime.shard=" in word) for words in launched] == [
        "runtime.shard=0",
        "runtime.shard=1",
    ]
    launched.clear()
    launch.encode_missing(config, launch.expand(config))
    assert not launched


SHAPES = [
    ["seed=0", "dataset=mrpc"],
    ["dataset=mrpc", "seed=7"],
    ["seed=7", "pooling=cls", "dataset=mrpc", "layer=3"],
    [
        "dataset=files",
        "dataset.train='a, b=c.csv'",
        "+dataset.metrics=[f1]",
        "runtime.cache_dir=${oc.env:HOME}/x",
        "draws=2",
    ],
    ["dataset=files", "dataset.train=other.csv", "+dataset.metrics=[f1]", "runtime.also_layers=[1,2]", "draws=3"],
    ["probe=senteval", "probe.grid.C=[1,2]", "hydra.sweep.dir=elsewhere", "tracker=none", "tracker.mode=auto"],
    ["probe.protocol={name: mdl}", "hydra.verbose=true", "++model.path=m", "model.path=n", "pairing=joint"],
    ["seed=1", "+experiment=demo", "dataset=cola", "tracker.mode=auto"],
    ["~tracker", "seed=1"],
]
REFUSED = [
    ["probe.grdi.C=1"], ["dataset.nmae=a"], ["seed=[1"], ["dataset=nothing"], ["runtime=x"], ["runtime.threads.many=1"], ["see=1"],
    ["probe.foo=1", "+probe.foo=2"],
]  # fmt: skip


def test_a_job_composed_over_others_is_what_hydra_composes(composed: Any) -> None:
    config = composed(
        "seed=0,1", "hydra.job.config.override_dirname.exclude_keys=[seed]", "hydra.sweep.subdir=job_${hydra.job.num}"
    )
    loader = GlobalHydra.instance().config_loader()
    plain = [OmegaConf.to_yaml(loader.load_sweep_config(config, words)) for words in SHAPES]
    refusals = []
    for words in REFUSED:
        with pytest.raises(Exception) as refused:  # of whatever kind Hydra chooses
            loader.load_sweep_config(config, words)
        refusals.append((type(refused.value), str(refused.value)))
    compose_once(loader, keep=True)
    for _ in range(2):  # the second time nothing is composed
        assert [OmegaConf.to_yaml(loader.load_sweep_config(config, words)) for words in SHAPES] == plain
        for words, (kind, message) in zip(REFUSED, refusals, strict=True):
            with pytest.raises(kind) as refused:
                loader.load_sweep_config(config, words)
            assert str(refused.value) == message
    found = loader.load_sweep_config(config, ["seed=1"])
    with pytest.raises(ConfigAttributeError):
        found.nothing = 1  # a copy is as strict as its original
    found.seed = 9
    assert [loader.load_sweep_config(config, ["seed=1"]).seed for _ in range(3)] == [
        1,
        1,
        1,
    ]  # and whoever has one changes no other


def test_a_job_that_is_asked_for_again_is_done_once(door: Door, files: list[str]) -> None:
    ended = door(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,cls", "seed=0,0,1")
    assert ended.status == 0 and "2 done, 4 skipped, 0 failed" in ended.out


def test_each_choice_of_options_is_composed_once(composed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("seed=0,1")
    loader = GlobalHydra.instance().config_loader()
    calls: list[list[str]] = []
    load = type(loader).load_sweep_config

    def counted(self: Any, master: Any, words: list[str]) -> Any:
        calls.append(words)
        return load(self, master, words)

    monkeypatch.setattr(type(loader), "load_sweep_config", counted)
    compose_once(loader, keep=False)
    again = pickle.loads(pickle.dumps(loader))  # as a launcher sends it to its processes
    for each in (loader, again):
        assert [each.load_sweep_config(config, ["pooling=cls", f"seed={seed}"]).seed for seed in (0, 1)] == [0, 1]
    assert calls == [["pooling=cls"]]


DEADLY = """
import os, signal
from pathlib import Path
from src.probes.solvers.estimators import LogisticRegression
class Deadly(LogisticRegression):
    def solve(self, *arguments, **more):
        marks = Path(os.environ["MARKS"])
        (marks / str(os.getpid())).touch()
        if len(list(marks.iterdir())) <= int(os.environ["DEATHS"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().solve(*arguments, **more)
"""


def struck(files: list[str], folder: Path, deaths: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A sweep one of whose four jobs is killed, as the system kills what takes too much memory, as many times as `deaths` says."""
    (folder / "deadly.py").write_text(DEADLY)
    about = folder / "deadly-1.0.dist-info"  # an installed library of estimators
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\nRequires-Dist: scikit-learn\n")
    (about / "RECORD").write_text("deadly.py,,\n")
    marks = folder / f"marks-{deaths}"
    marks.mkdir()
    command = [
        sys.executable, "-m", "src.run", "-m", *files, "hydra.sweep.dir=sweep", "seed=3,4", "runtime.cache_dir=store", "tracker=wandb",
        "probe.estimator._target_=src.solvers.LogisticRegression,deadly.Deadly", *words,
    ]  # fmt: skip
    more = {"PYTHONPATH": f"{ROOT}:{folder}", "HF_HUB_OFFLINE": "1", "MARKS": str(marks), "DEATHS": str(deaths)}
    more |= {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **more}, cwd=folder, timeout=300)


def test_joblib_goes_on_without_a_worker_that_was_killed(files: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "pooling=cls"]
    ended = struck(files, tmp_path, 1, *words)
    # A job that was killed on its last line is skipped the second time.
    assert ended.returncode == 0 and re.search(
        "4 done, 0 skipped, 0 failed|3 done, 1 skipped, 0 failed", ended.stdout
    ), ended
    assert "are tried again, alone" in ended.stderr and "W&B: 4 offline runs" in ended.stdout
    shutil.rmtree(tmp_path / "store" / "records")
    ended = struck(
        files, tmp_path, 99, *words
    )  # the folders hold the records of the first sweep, which are not this one's
    assert ended.returncode == 1 and ", 2 failed" in ended.stdout, ended.stdout + ended.stderr
    assert "left no word: it was killed" in ended.stdout


def test_submitit_goes_on_without_a_job_that_was_killed(files: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    ended = struck(files, tmp_path, 1, "hydra/launcher=submitit_local", "pooling=cls", "seed=3")
    assert ended.returncode == 1 and "1 done, 0 skipped, 1 failed" in ended.stdout, ended.stdout + ended.stderr
    assert "submitted: 2 jobs" in ended.stderr and "ended: 2 of 2" in ended.stderr and "left no word" in ended.stdout
    (number,) = (int(path.parent.name) for path in (tmp_path / "sweep").glob("*/failure.json"))
    ended = struck(files, tmp_path, 0, "hydra/launcher=submitit_local", "pooling=cls", "seed=3")
    assert ended.returncode == 0 and "1 done, 1 skipped, 0 failed" in ended.stdout, ended.stdout + ended.stderr
    assert not (tmp_path / "sweep" / str(number) / "failure.json").exists()


def test_jobs_that_were_never_started_are_counted_as_failed(
    door: Door, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the launcher costs the jobs that it had not run, and no more."""
    basic: Any = launch.Plugins.instance().class_name_to_class[
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    ]
    launched = basic.launch

    def gives_up(self: Any, words: Any, initial_job_idx: int) -> Any:
        launched(self, words[:1], initial_job_idx)
        raise RuntimeError("the launcher broke")

    with monkeypatch.context() as broken:
        broken.setattr(basic, "launch", gives_up)
        ended = door(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max")
    assert ended.status == 1 and "the launcher broke" in ended.err
    assert "1 done, 0 skipped, 2 failed" in ended.out and "was never started" in ended.out
    assert sweep.UNDER_WAY is None
    ended = door(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max")
    assert ended.status == 0 and "2 done, 1 skipped, 0 failed" in ended.out
    assert all(
        (tmp_path / "sweep" / str(job) / name).is_file()
        for job in range(3)
        for name in (RECORD, PREDICTIONS, PROBE, STATUS)
    )
    records = [(tmp_path / "sweep" / str(job) / RECORD).read_bytes() for job in range(3)]
    with monkeypatch.context() as broken:
        broken.setattr(basic, "launch", gives_up)
        ended = door(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,mean,max", "seed=5")
    assert (
        ended.status == 1 and "1 done, 0 skipped, 2 failed" in ended.out
    )  # the records beside them are of the sweep before
    jobs = [read_job(tmp_path / "sweep" / str(job)) for job in range(3)]
    assert [job.status for job in jobs] == ["done"] * 3  # and stay what they are
    assert [(tmp_path / "sweep" / str(job) / RECORD).read_bytes() == records[job] for job in range(3)] == [
        False,
        True,
        True,
    ]
    ended = door(run.main, "-m", *files, "hydra.sweep.dir=sweep", "pooling=cls,meen,max")
    assert ended.status == 1 and "failed" not in ended.out  # nothing began, and nothing is lost
    assert [read_job(tmp_path / "sweep" / str(job)).status for job in range(3)] == ["done"] * 3


def test_what_was_done_before_outlives_a_sweep_that_is_stopped(
    files: list[str], door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-m", *files, "hydra.sweep.dir=sweep", "hydra.sweep.subdir=job_${hydra.job.num}", "pooling=cls,mean,max"]
    assert door(run.main, *words).status == 0

    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("src.results.cache.ResultCache.get", stopped)
        assert door(run.main, *words).status == 130
    assert [read_job(job).status for job in find_jobs(Path("sweep"))] == ["done"] * 3
    with monkeypatch.context() as interrupted:
        interrupted.setattr("src.pipeline.run.run_probe", stopped)
        assert door(run.main, *words, "seed=7").status == 130
    assert [read_job(job).status for job in find_jobs(Path("sweep"))] == [
        "failed",
        "done",
        "done",
    ]  # the record there is another job's


def test_a_user_who_stops_a_cluster_sweep_stops_its_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    cancelled: list[str] = []

    class Endless(submitit.Job):  # type: ignore[misc, name-defined]
        def __init__(self, number: int) -> None:
            self._job_id = f"8_{number}"

        def __del__(self) -> None: ...

        def done(self, force_check: bool = False) -> bool:
            return self.job_id == "8_0"

        def cancel(self, check: bool = True) -> None:
            cancelled.append(self.job_id)

    def interrupted(job: Any) -> list[Any]:
        if job.job_id == "8_0":
            raise submitit.core.utils.UncompletedJobError("out of memory")
        raise KeyboardInterrupt

    monkeypatch.setattr(submitit.Job, "results", interrupted)
    monkeypatch.setattr(
        submitit.AutoExecutor, "map_array", lambda self, function, numbers: [Endless(each) for each in numbers]
    )
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": "x.SlurmLauncher"}}})
    launchers.outlive(config, None)
    launchers.outlive(config, None)
    jobs = submitit.AutoExecutor.map_array(SimpleNamespace(folder=tmp_path), print, range(4))
    assert submitit.Job.results(jobs[0])[0].return_value is None  # killed, and the others are waited for
    with pytest.raises(KeyboardInterrupt):
        submitit.Job.results(jobs[1])
    assert cancelled == ["8_1", "8_2", "8_3"]

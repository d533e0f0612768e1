"""Every launcher gives the same records from one forward pass a split, and a killed job does not stop the others."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks.launching import stable_files
from src import run
from src.runtime.provenance import cores
from tests.conftest import Ended
from tests.test_run import record

Command = Callable[..., Ended]
ROOT = Path(__file__).resolve().parents[2]
UP = ROOT / "tests" / "slurm" / "up.sh"


def swept(files: list[str], folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Sweep over two poolings and two test files, in a process of its own."""
    command = [
        sys.executable, "-m", "src.run", "-m", *files, "dataset.test=test.csv,train.csv", "pooling=cls,mean",
        f"hydra.sweep.dir={folder}", f"runtime.cache_dir={folder}-store", *words,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder.parent, timeout=570)


def same_as_basic(run_main: Command, files: list[str], folder: Path) -> None:
    """Check that the records of a sweep are those of the basic launcher, and that no pass was made twice."""
    poolings = ["dataset.test=test.csv,train.csv", "pooling=cls,mean"]
    assert run_main(run.main, "-m", *files, *poolings, f"hydra.sweep.dir={folder}-basic").status == 0
    for job in range(4):
        assert stable_files(folder / str(job)) == stable_files(folder.with_name(f"{folder.name}-basic") / str(job))
        assert record(folder / str(job))["timing"]["cache"] == "hit"  # passes are made before the jobs
    stored = Path(f"{folder}-store").glob("features/*/*/meta.json")
    passes = {json.dumps(json.loads(path.read_text())["meta"]["pass"]) for path in stored}
    assert len(passes) == 2  # two splits, each encoded once


@pytest.mark.parametrize(
    ("launcher", "package"), [("joblib", "hydra_joblib_launcher"), ("submitit_local", "hydra_submitit_launcher")]
)
def test_records_do_not_depend_on_the_launcher(
    launcher: str, package: str, run_main: Command, files: list[str], tmp_path: Path
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
    assert "4 done, 0 skipped, 0 failed" in ended.stdout
    at_once = 2 if launcher == "joblib" else 4
    assert {record(tmp_path / "sweep" / str(job))["provenance"]["threads"] for job in range(4)} == {
        max(1, cores() // at_once)
    }
    same_as_basic(run_main, quick, tmp_path / "sweep")


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Start a cluster of one node if PROBES_SLURM asks for it; give its SLURM_CONF."""
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


def test_records_of_a_real_slurm_are_the_same(slurm: str, run_main: Command, files: list[str], tmp_path: Path) -> None:
    words = [
        "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1", "runtime.shards=2",
        "hydra.launcher.array_parallelism=2", "hydra.launcher.timeout_min=10",
    ]  # fmt: skip
    ended = swept(files, tmp_path / "sweep", *words, SLURM_CONF=slurm)
    assert ended.returncode == 0, ended.stderr
    assert "4 done, 0 skipped, 0 failed" in ended.stdout
    same_as_basic(run_main, files, tmp_path / "sweep")


def test_an_interrupted_slurm_sweep_cancels_its_jobs(slurm: str, files: list[str], tmp_path: Path) -> None:
    words = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1", "seed=range(40)"]
    command = [
        sys.executable,
        "-m",
        "src.run",
        "-m",
        *files,
        "hydra.sweep.dir=sweep",
        "runtime.cache_dir=store",
        *words,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "SLURM_CONF": slurm}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as sweep:
        while not list(tmp_path.glob("sweep/*/status.json")):
            time.sleep(0.2)
        sweep.send_signal(signal.SIGINT)
        _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 130 and "cancelled" in err
    queue = subprocess.run(["squeue", "--noheader", "--states=PD,R"], env=environment, capture_output=True, text=True)
    assert not queue.stdout.strip()


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


def sweep_with_a_killed_job(
    files: list[str], folder: Path, deaths: int, *words: str
) -> subprocess.CompletedProcess[str]:
    """Sweep over two estimators, one of which is killed `deaths` times, as the system does when memory runs out."""
    (folder / "deadly.py").write_text(DEADLY)
    about = folder / "deadly-1.0.dist-info"  # an installed library of estimators
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\nRequires-Dist: scikit-learn\n")
    (about / "RECORD").write_text("deadly.py,,\n")
    marks = folder / f"marks-{deaths}"
    marks.mkdir()
    command = [
        sys.executable, "-m", "src.run", "-m", *files, "hydra.sweep.dir=sweep", "runtime.cache_dir=store",
        "probe.estimator._target_=src.solvers.LogisticRegression,deadly.Deadly", *words,
    ]  # fmt: skip
    more = {"PYTHONPATH": f"{ROOT}:{folder}", "HF_HUB_OFFLINE": "1", "MARKS": str(marks), "DEATHS": str(deaths)}
    more |= {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **more}, cwd=folder, timeout=300)


def test_joblib_goes_on_without_a_worker_that_was_killed(files: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "pooling=cls"]
    ended = sweep_with_a_killed_job(files, tmp_path, 1, *words, "seed=3,4", "tracker=wandb")
    # A job that was killed on its last line is skipped the second time.
    assert ended.returncode == 0 and re.search(
        "4 done, 0 skipped, 0 failed|3 done, 1 skipped, 0 failed", ended.stdout
    ), ended
    assert "retried, each alone" in ended.stderr and "W&B: 4 offline runs" in ended.stdout
    shutil.rmtree(tmp_path / "store" / "records")
    ended = sweep_with_a_killed_job(files, tmp_path, 99, *words, "seed=3")  # the folders hold earlier records
    assert ended.returncode == 1 and ", 1 failed" in ended.stdout, ended.stdout + ended.stderr
    assert "did not finish" in ended.stdout


def test_submitit_goes_on_without_a_job_that_was_killed(files: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    ended = sweep_with_a_killed_job(files, tmp_path, 1, "hydra/launcher=submitit_local", "pooling=cls", "seed=3")
    assert ended.returncode == 1 and "1 done, 0 skipped, 1 failed" in ended.stdout, ended.stdout + ended.stderr
    assert "submitting 2 jobs" in ended.stderr and "did not finish" in ended.stdout
    (number,) = (int(path.parent.name) for path in (tmp_path / "sweep").glob("*/failure.json"))
    ended = sweep_with_a_killed_job(files, tmp_path, 0, "hydra/launcher=submitit_local", "pooling=cls", "seed=3")
    assert ended.returncode == 0 and "1 done, 1 skipped, 0 failed" in ended.stdout, ended.stdout + ended.stderr
    assert not (tmp_path / "sweep" / str(number) / "failure.json").exists()

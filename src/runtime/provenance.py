"""Where numbers come from: commit, versions, hardware. No absolute path, no host, no user name."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
PACKAGES = (
    "datasets",
    "filelock",
    "huggingface-hub",
    "hydra-core",
    "numpy",
    "omegaconf",
    "pyarrow",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
    "tokenizers",
    "torch",
    "tqdm",
    "transformers",
    "wandb",
)


def collect(
    *, device: str | None = None, gpu: str | None = None, threads: int | None = None, **facts: Any
) -> dict[str, Any]:
    """What made a record.

    Parameters
    ----------
    device, gpu : str, optional
        The device's type (``cpu``, ``cuda``, ``mps``) and the accelerator's name, as the caller's library tells them.
    threads : int, optional
        Threads that compute.
    facts
        What the caller alone knows: digests of weights and texts, dtype, attention implementation.

    Returns
    -------
    dict
        Commit and dirty flag are None without a checkout of this project, or without git.
    """
    commit, dirty = _checkout(HERE)
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "packages": dict(_packages()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": cores(),
        "device": device,
        "gpu": gpu,
        "threads": threads,
        **facts,
    }


def folder_name(path: str | Path) -> str:
    """The last name of a folder or file, which is all that a record says of where it lies."""
    return Path(os.path.abspath(Path(path).expanduser())).name


def cores() -> int:
    """CPU cores that this process may use, which on shared machines are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _checkout(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout whose `src` is `folder`, and whether code or configuration differs from it.

    A package installed into an environment that lies inside somebody else's repository must not report that one's commit: the
    repository counts only where its root is the parent of `folder`.
    """
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None or Path(root.strip()).resolve() != folder.parent:
        return None, None
    status = _git(
        folder.parent, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "src", "conf"
    )
    lines = (status or "").splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    if commit is None or commit == "(initial)":
        return None, None
    return commit, any(not line.startswith("#") for line in lines)


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a reading git command in `folder`; None where git is absent, refuses or is slow."""
    # GIT_DIR and its kin would point at the repository that the user works in.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout)


@cache
def _packages() -> tuple[tuple[str, str | None], ...]:
    """Name and version of the direct dependencies, None where one is not installed."""
    return tuple((name, version(name)) for name in PACKAGES)


@cache
def version(package: str) -> str | None:
    """Version of an installed package, None where it is not installed. Looked up once: each look reads the package's files."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _cpu() -> str:
    """The processor's model, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


METHOD = ("data/splits.py", "evaluation", "pipeline", "probes")  # the code that turns features into scores, below src/


@cache
def method() -> str:
    """Digest of the code and the libraries that turn features into scores: who mends them does not get old scores back from the store."""
    digest = hashlib.sha256()
    for place in METHOD:
        for file in sorted((HERE / place).rglob("*.py")) or [HERE / place]:
            digest.update(file.read_bytes())
    for package in ("numpy", "scipy", "scikit-learn"):
        digest.update(f"{package} {version(package)}".encode())
    return digest.hexdigest()

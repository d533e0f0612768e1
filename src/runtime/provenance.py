"""Provenance of numbers: commit, versions, hardware. No absolute path, host name or user name."""

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
    """Return the provenance of a record.

    Parameters
    ----------
    device, gpu : str, optional
        The device's type (``cpu``, ``cuda``, ``mps``) and the accelerator's name.
    threads : int, optional
        Threads that compute.
    **facts
        Further entries: digests of weights and texts, dtype, attention implementation.

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
    """Return the last name of a folder or file; records contain no other part of a path."""
    return Path(os.path.abspath(Path(path).expanduser())).name


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _checkout(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the checkout whose `src` is `folder`, and whether its files differ.

    A repository counts only if its root is the parent of `folder`: an environment with an installed
    package may lie inside another repository.
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
    """Return the output of a git command, or None if git is missing, fails or is slow."""
    # GIT_DIR and similar variables would name the repository that the user works in.
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
    """Return name and version of the direct dependencies, None for one that is not installed."""
    return tuple((name, version(name)) for name in PACKAGES)


@cache
def version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _cpu() -> str:
    """Return the processor's model, or its architecture if the system does not know the model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


METHOD = ("data", "evaluation", "pipeline", "probes")  # packages that turn features into scores


@cache
def method_digest() -> str:
    """Return a digest of the code and the libraries that turn features into scores.

    Stored scores of other code are not used.
    """
    digest = hashlib.sha256()
    for package in METHOD:
        for file in sorted((HERE / package).rglob("*.py")):
            digest.update(file.read_bytes())
    for library in ("numpy", "scipy", "scikit-learn"):
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()

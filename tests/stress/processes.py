"""Commands that run in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from src.errors import UserError


@dataclass
class FinishedProcess:
    """Holds what a finished process printed and used."""

    status: int
    out: str
    error: str
    seconds: float  # wall clock
    peak: float  # memory in MB


@dataclass
class RunningCommand:
    """Controls a command that writes its output to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.perf_counter)

    def kill(self) -> None:
        """Send SIGKILL; `Popen.kill` would reap a process that has finished."""
        os.kill(self.process.pid, signal.SIGKILL)

    def wait(self) -> FinishedProcess:
        """Wait for the end and return what the process used."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - self.began
        out, error = (
            self.log.with_suffix(end).read_text(encoding="utf-8", errors="replace") for end in (".out", ".err")
        )
        peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
        return FinishedProcess(self.process.returncode, out, error, seconds, peak)

    def is_running(self) -> bool:
        """Return whether the process runs, without reaping it, because `wait` reads its usage."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def succeeded(finished: FinishedProcess) -> FinishedProcess:
    """Return a process whose exit status is 0.

    Raises
    ------
    UserError
        It is another one.
    """
    if finished.status:
        raise UserError(f"an undisturbed command ended with status {finished.status}: {finished.error.strip()[-300:]}")
    return finished


def is_clear_refusal(finished: FinishedProcess) -> bool:
    """Return whether a process ended with status 1 and a short error, without a traceback."""
    lines = finished.error.strip().splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("error: ")), None)
    return finished.status == 1 and first is not None and len(lines) - first <= 3 and "Traceback" not in finished.error


def error_text(finished: FinishedProcess) -> str:
    """Return the printed error in one line, or else the end of the output."""
    start = finished.error.find("error: ")
    return " ".join((finished.error[start:] if start >= 0 else finished.error[-300:]).split())[:300]

"""Whole commands as a user runs them: wall clock and peak memory of one child process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from _record import ROOT

from mien.core.errors import BackendFailed

_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes per unit of ``ru_maxrss``."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost."""

    seconds: float
    """Wall clock, start of the interpreter included."""
    processor: float
    """Seconds of all cores together; well above or below ``seconds`` tells of other work on the machine."""
    peak: float
    """Largest resident set in MB (1e6 bytes)."""


def mien_command() -> list[str]:
    """The installed ``mien`` of this environment, else the module run by this interpreter."""
    script = Path(sys.executable).with_name("mien")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "mien"]


def run_process(
    command: Sequence[str], *, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Cost:
    """Run a command to its end.

    On Linux a child's peak is never below what its parent held when it started; keep the parent small.

    Raises:
        BackendFailed: it ended with another status than 0.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command, cwd=folder, env=dict(os.environ if environment is None else environment), stdout=said,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            end = said.read().decode(errors="replace")[-800:]
            raise BackendFailed(
                got=f"status {child.returncode} from {' '.join(command)}: {end}",
                expected="status 0",
                fix="Run the command by hand",
            )
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _UNIT / 1e6)


def own_memory() -> float:
    """Largest resident set of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 1e6

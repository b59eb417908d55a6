"""Importing mien and asking it for help costs nothing: no engine is loaded, and it is quick."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "gradio",
    "fastapi",
    "av",
    "pyarrow",
    "sklearn",
    "scipy",
    "pandas",
)
HELP = """
import sys
from mien.app.cli import main
sys.argv = ["mien", "--help"]
try:
    main()
except SystemExit:
    pass
"""
HELP_SECONDS = 0.3
# The bound is meant for an idle machine; a loaded one also takes more CPU seconds for the same work, by measurement up
# to three times as many at six jobs per core.
LOAD_ALLOWANCE = max(2.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def run(code: str) -> str:
    """Standard error of ``code`` run in a fresh interpreter, which must end well."""
    source = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def heavy_modules(code: str) -> list[str]:
    """Those of `HEAVY` that a fresh interpreter has loaded after ``code``."""
    report = f"\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    return run(code + report).split()


@pytest.mark.parametrize("code", ["import mien", HELP], ids=["import", "help"])
def test_loads_nothing_heavy(code: str) -> None:
    assert heavy_modules(code) == []


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_the_check_sees_heavy_modules(name: str) -> None:
    pytest.importorskip(name)
    assert name in heavy_modules(f"import mien, {name}")


def test_lazy_names_are_promised() -> None:
    run("import mien\nfor name in mien.__all__: assert name in dir(mien), name")


def _least_seconds(code: str) -> float:
    """CPU time of a fresh process, best of five: waiting for other jobs of the machine does not count."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_help_is_quick() -> None:
    """Held against the same machine's import of the command line's library, in one run."""
    library = _least_seconds("import typer, rich.table, rich.panel, rich.markdown")
    spent = _least_seconds(HELP)
    limit = max(HELP_SECONDS * LOAD_ALLOWANCE, 4.0 * library)
    assert spent <= limit, f"mien --help took {spent:.2f} s of CPU time, its library alone {library:.2f} s"

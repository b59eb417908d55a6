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
LIBRARY = "import typer, rich.table, rich.panel, rich.markdown"
# Measured: 1.2 to 1.9 with ten jobs on two cores, where CPU seconds are several times those of a still machine.
HELP_RATIO = 2.2


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


def test_the_check_sees_heavy_modules() -> None:
    assert "onnxruntime" in heavy_modules("import mien, onnxruntime")


def test_lazy_names_are_promised() -> None:
    run("import mien\nfor name in mien.__all__: assert name in dir(mien), name")


def _seconds(code: str) -> float:
    """CPU time of a fresh process: waiting for other jobs of the machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick() -> None:
    """Held against the same machine's import of the command line's library, best of five in turns."""
    pairs = [(_seconds(LIBRARY), _seconds(HELP)) for _ in range(5)]
    library, spent = (min(column) for column in zip(*pairs, strict=True))
    message = f"mien --help took {spent:.2f} s of CPU time, its library alone {library:.2f} s"
    assert spent <= HELP_RATIO * library, message

"""Nothing leaves the machine: no library that mien loads writes an id to the user's home or calls its maker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mien.core.quiet import SWITCHES

SOURCE = Path(__file__).resolve().parents[2] / "src"
ANALYSE = """
import runpy, sys, time
began = time.monotonic()
for n in range({runs}):
    sys.argv = ["mien", "analyze", {photo!r}, "--out", f"out{{n}}", "-q"]
    try:
        runpy.run_module("mien", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
while time.monotonic() - began < {seconds}:
    time.sleep(0.2)
"""


def watched(code: str, folder: Path, *tracer: str, **variables: str) -> Path:
    """Run ``code`` in a fresh home with no switch set by the user; returns the home."""
    home = folder / "home"
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    clean = {name: value for name, value in clean.items() if not name.startswith(("XDG_", "MIEN_"))}
    environment = {**clean, "HOME": str(home), "PYTHONPATH": str(SOURCE), **variables}
    command = [*tracer, sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    return home


def test_a_run_leaves_nothing_in_the_home(photos: list[Path], tmp_path: Path) -> None:
    home = watched(ANALYSE.format(runs=1, photo=str(photos[0]), seconds=0), tmp_path)
    assert list(home.rglob("*")) == []


def test_the_watch_sees_what_a_library_leaves(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    home = watched("import onnxruntime, time; time.sleep(1)", tmp_path)
    if not list(home.rglob("*")):
        pytest.skip("this version of ONNX Runtime leaves nothing")


@pytest.mark.slow
def test_no_connection_within_half_a_minute(photos: list[Path], tmp_path: Path) -> None:
    tracer = shutil.which("strace")
    if tracer is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    log = tmp_path / "calls"
    code = ANALYSE.format(runs=2, photo=str(photos[0]), seconds=35)
    home = watched(code, tmp_path, tracer, "-f", "-e", "trace=connect,sendto", "-o", str(log))
    calls = log.read_text(errors="replace")
    assert not re.findall(r"AF_INET6?\b.*", calls)
    assert list(home.rglob("*")) == []

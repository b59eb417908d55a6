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
RUN = """
import runpy, sys, time
began, n = time.monotonic(), 0
while not n or time.monotonic() - began < {seconds}:
    sys.argv = ["mien", *{arguments!r}, "--out", f"out{{n}}"]
    n += 1
    try:
        runpy.run_module("mien", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
"""
"""The same command again and again in one process, as long as libraries take to call home."""
SERVE = """
import pathlib, subprocess, sys, time, urllib.error, urllib.request
began = time.monotonic()
command = [sys.executable, "-m", "mien", "serve", "--ui", "--port", "0"]
server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
try:
    line = next(line for line in server.stderr if line.startswith("mien serves on "))
    while time.monotonic() - began < {seconds}:
        for place in ("/ui/", "/healthz", "/v1/models"):
            try:
                urllib.request.urlopen(line.split()[-1] + place).read()
            except urllib.error.HTTPError:
                pass
        time.sleep(1)
finally:
    server.terminate()
    server.wait()
"""


def watched(code: str, folder: Path, *tracer: str, seconds: float = 170) -> Path:
    """Run ``code`` in a fresh home with no switch set by the user; returns the home."""
    home = folder / "home"
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    clean = {name: value for name, value in clean.items() if not name.startswith(("XDG_", "MIEN_"))}
    environment = {**clean, "HOME": str(home), "PYTHONPATH": str(SOURCE)}
    command = [*tracer, sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr
    return home


def test_a_run_leaves_nothing_in_the_home(photos: list[Path], tmp_path: Path) -> None:
    home = watched(RUN.format(arguments=["analyze", str(photos[0]), "-q"], seconds=0), tmp_path)
    assert list(home.rglob("*")) == []


def test_the_watch_sees_what_a_library_leaves(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    home = watched("import onnxruntime, time; time.sleep(1)", tmp_path)
    if not list(home.rglob("*")):
        pytest.skip("this version of ONNX Runtime leaves nothing")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["photo", "video", "annotate", "server"])
def test_no_connection_within_a_minute(photos: list[Path], clip: Path, tmp_path: Path, what: str) -> None:
    tracer = shutil.which("strace")
    if tracer is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    if what == "server":
        pytest.importorskip("uvicorn", reason="pip install 'mien[serve]'")
    labelled = tmp_path / "labelled" / "happiness"
    labelled.mkdir(parents=True)
    shutil.copy(photos[0], labelled)
    commands = {
        "photo": ["analyze", str(photos[0]), "--explain", "-q"],
        "video": ["analyze", str(clip), "--overlay", "--report", "-q"],
        "annotate": ["annotate", "faba", "folder", "--root", str(labelled.parent), "--teacher", "rules"],
    }
    code = SERVE.format(seconds=60) if what == "server" else RUN.format(arguments=commands[what], seconds=60)
    log = tmp_path / "calls"
    home = watched(code, tmp_path, tracer, "-f", "-e", "trace=connect,sendto", "-o", str(log), seconds=800)
    outside = [
        line
        for line in log.read_text(errors="replace").splitlines()
        if re.search(r"AF_INET6?\b", line) and 'inet_addr("127.0.0.1")' not in line
    ]
    assert outside == []
    if what != "server":
        assert "AF_INET" not in log.read_text(errors="replace")
    assert list(home.rglob("*")) == []

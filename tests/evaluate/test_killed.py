"""Evaluation and training, each killed at twenty random moments, end with the bytes of a run that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
]

# What is imported once is forked for every attempt: only the work itself is killed.
SCRIPT = """
import importlib, os, random, shutil, signal, sys, time, traceback
from pathlib import Path
names, whole, broken, *words = sys.argv[1:]
for name in names.split(","):
    importlib.import_module(name)
from mien.app.cli import main

def begin(out):
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["mien", *words, "--out", out]
        status = main() or 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    os._exit(int(status))

def left(out):
    kept = {"model", "heads", "predictions.jsonl", "result.json"}
    files = (one for one in Path(out).rglob("*") if one.is_file() and one.relative_to(out).parts[0] in kept)
    return {str(one.relative_to(out)): one.read_bytes() for one in files}

began = time.monotonic()
assert os.waitpid(begin(whole), 0)[1] == 0
took, wanted = time.monotonic() - began, left(whole)
assert "result.json" in wanted
moments, kills, ends = random.Random(3), 0, 0
while kills < 20 or not ends:
    child = begin(broken)
    if kills < 20:
        time.sleep(moments.uniform(0.0, took))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        kills += 1
        continue
    # It was done before the blow: what it left is compared, and the next begins anew.
    assert status == 0, status
    assert left(broken) == wanted
    shutil.rmtree(broken)
    ends += 1
print(f"{kills} kills, {ends} runs to the end, {took:.1f} s alone")
"""


def survive(imports: str, tmp_path: Path, *words: object) -> None:
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, imports, f"{tmp_path}/whole/run", f"{tmp_path}/broken/run", *map(str, words)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("20 kills")


def test_an_evaluation_survives_twenty_kills(data_root: Path, tmp_path: Path) -> None:
    survive(
        "mien.evaluate.run,mien.backends.onnx,mien.face.finder", tmp_path,
        "eval", "pocket", "--suite", "ferbench-ferplus-val", "--root", data_root, "--limit", 96, "--threads", 1, "-q",
    )  # fmt: skip


def test_a_training_survives_twenty_kills(tiny_data: Path, tmp_path: Path) -> None:
    survive(
        "mien.train.command,transformers.trainer", tmp_path,
        "train", "facephi-classified", "--scale", "tiny", f"data.0.root={tiny_data}",
        f"validation.0.root={tiny_data}",
    )  # fmt: skip

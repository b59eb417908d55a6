"""A million rows are listed in at most 1 GB, lazily, and in ten times what Python's own CSV reader takes."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mien.data import open_dataset


def test_listing_needs_no_memory_for_rows_to_come(tmp_path: Path) -> None:
    """The first sample is there before the end of the file is read: a fault at the end does not stop it."""
    rows = "".join(f"{row}.jpg,train,happy\n" for row in range(20_000))
    (tmp_path / "manifest.csv").write_bytes(
        b"media,split,emotion\n" + rows.encode() + b"\xff.jpg,train,sad\n"
    )
    stream = open_dataset("manifest").read("train", tmp_path)
    assert next(stream).id == "0.jpg"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["streamed", "held"])
def test_a_million_rows(how: str, tmp_path: Path, repository: Path) -> None:
    script = repository / "benchmarks" / "data_listing.py"
    spec = importlib.util.spec_from_file_location("data_listing", script)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.write_manifest(tmp_path, 1_000_000)
    command = [sys.executable, str(script), "manifest", str(tmp_path), how]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(repository / "src")}
    )
    got = json.loads(done.stdout)
    assert got["rows"] == 1_000_000
    # Seconds of the processor in both: what other jobs of the machine do does not count, nor how fast it is.
    before = time.process_time()
    with (tmp_path / "manifest.csv").open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 1_000_000
    assert got["cpu"] <= 10 * (time.process_time() - before)
    assert got["mib"] <= (50 if how == "streamed" else 1000)

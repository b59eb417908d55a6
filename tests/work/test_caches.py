"""Caches are listed by size and age, and cleared without touching anything else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.app.cli import app
from mien.core.errors import BadConfig
from mien.work.caches import clear, list_caches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size, days in (
        ("faces/ab/faces.json", 10, 9), ("faces/ab/faces-000000.safetensors", 5000, 9), ("faces/cd/faces.json", 20, 1),
        ("clips/x.safetensors", 300, 2), ("landmarks/y.npy", 40, 1), ("landmarks-renders-train/z.npy", 60, 40),
        ("crops-48-ff.npy", 7, 0), ("faces/other/notes.txt", 99, 0), ("mine.npy", 99, 0),
    ):  # fmt: skip
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (time.time() - 86_400 * days,) * 2)
    return tmp_path / "cache"


def test_sizes_and_ages(folder: Path) -> None:
    found = [(one.kind, one.bytes, round(one.days)) for one in list_caches(folder)]
    assert found == [
        ("faces", 5010, 9), ("clips", 300, 2), ("landmarks", 100, 1), ("faces", 20, 1), ("grey crops", 7, 0)
    ]  # fmt: skip
    with pytest.raises(BadConfig, match="no folder"):
        list_caches(folder / "none")


def test_only_caches_are_cleared(folder: Path) -> None:
    assert clear(list_caches(folder)) == 5437
    assert list_caches(folder) == []
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {"faces/other/notes.txt", "mine.npy"}


def test_the_command_lists_and_clears_what_is_old(folder: Path) -> None:
    runner = CliRunner()
    told = runner.invoke(app, ["data", "cache", str(folder)])
    assert told.exit_code == 0
    assert "clips" in told.output
    assert len(list_caches(folder)) == 5
    told = runner.invoke(app, ["data", "cache", str(folder), "--clear", "--older-than", "1.5"])
    assert told.exit_code == 0
    assert [one.kind for one in list_caches(folder)] == ["landmarks", "faces", "grey crops"]

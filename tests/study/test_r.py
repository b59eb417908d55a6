"""The reader for R, run by R where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mien.study import read_faces, write_bids

READER = Path(__file__).resolve().parents[2] / "examples" / "read_faces.R"


def in_r(path: Path, expression: str) -> str:
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    code = f'source("{READER}"); faces <- read_faces("{path}"); cat({expression})'
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_r_reads_what_mien_writes(faces: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    table = faces(seconds=0.4)
    table.loc[3, "AU12_i"] = float("nan")
    table.loc[4, ["success", "emotion"]] = [0, None]
    table["AU12_i"] += 0.25
    table.to_csv(tmp_path / "faces.csv", index=False)
    path = tmp_path / "faces.csv"
    asked = "nrow(faces), class(faces$time), class(faces$emotion), sum(is.na(faces$AU12_i)), faces$emotion[1]"
    told = in_r(path, f'{asked}, mean(faces$AU12_i, na.rm = TRUE), nrow(read_faces("{path}", TRUE))')
    assert told.split() == ["10", "numeric", "character", "1", "neutral", "0.25", "9"]
    made = write_bids(read_faces(table), tmp_path / "bids", "0.1")
    series = next(path for path in made if path.suffix == ".tsv")
    assert in_r(series, "nrow(faces), sum(is.na(faces$AU12_i))").split() == ["10", "2"]

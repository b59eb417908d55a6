"""The benchmarks' own record, and that every script starts, skips without data and measures on a miniature."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib import util
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("[a-z]*.py"))


def load(name: str) -> ModuleType:
    """A file of ``benchmarks/``, which is a folder of scripts and no package."""
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


record = load("_record")


def run_script(name: str, *arguments: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    if data is not None:
        environment["MIEN_DATA"] = str(data)
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
    )


def made(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "argv", ["example.py", *arguments])
    return record.Record("example", record.parser("An example.").parse_args())


@pytest.mark.parametrize(
    ("value", "bar", "at_most", "reached"),
    [
        (0.8, 0.78, False, True),
        (0.78, 0.78, False, True),
        (0.77, 0.78, False, False),
        (0.3, 0.3, True, True),
        (0.31, 0.3, True, False),
        (math.nan, 0.5, False, False),
        (math.nan, 0.5, True, False),
        (0.5, None, False, None),
    ],
)
def test_a_bar_is_reached_or_not(
    value: float, bar: float | None, at_most: bool, reached: bool | None
) -> None:
    assert record.Figure("x", value, bar=bar, at_most=at_most).reached is reached


def test_a_record_holds_run_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    private = tmp_path / "somebody" / "model"
    one = made(["--out", str(tmp_path / "kept"), "--model", str(private), "--limit", "3"], monkeypatch)
    one.add("accuracy", 0.8125, bar=0.78, n=16, low=0.7, high=0.9, note="always neutral: 0.5")
    one.add("seconds", 0.75, "s", bar=0.4, at_most=True)
    one.add("undefined", math.nan)
    assert one.finish(items=16) == 0
    shown = capsys.readouterr().out
    assert "1 of 2 bars reached" in shown
    assert "0.700 – 0.900" in shown
    text = (tmp_path / "kept" / "example.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text, "a record names no folder of this machine"
    written = json.loads(text)
    assert [figure["reached"] for figure in written["figures"]] == [True, False, None]
    assert written["figures"][2]["value"] is None
    assert written["run"]["config"]["model"] == "model"
    assert written["run"]["command"] == [
        "python", "benchmarks/example.py", "--out", "kept", "--model", "model", "--limit", "3"
    ]  # fmt: skip
    assert {"commit", "dirty", "versions", "hardware", "started", "finished"} <= set(written["run"])
    assert written["run"]["counts"] == {"items": 16}


def test_a_missed_bar_fails_only_when_strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, status in (([], 0), (["--strict"], 1)):
        one = made(["--out", str(tmp_path), *arguments], monkeypatch)
        one.add("accuracy", 0.5, bar=0.78)
        assert one.finish() == status


def test_a_quick_run_leaves_the_kept_results_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    made(["--limit", "5"], monkeypatch).finish()
    assert not list(tmp_path.iterdir())
    made([], monkeypatch).finish()
    assert [path.name for path in tmp_path.iterdir()] == ["example.json"]


def test_intervals_cover_the_mean_and_repeat() -> None:
    hits = np.random.default_rng(1).random(400) < 0.8

    def share(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        return float(hits[rows].mean())

    found = record.interval(share, len(hits), seed=0)
    assert found == record.interval(share, len(hits), seed=0)
    # The normal approximation says +- 0.039.
    assert found["low"] == pytest.approx(hits.mean() - 0.039, abs=0.01)
    assert found["high"] == pytest.approx(hits.mean() + 0.039, abs=0.01)
    assert record.interval(share, 0, seed=0) == {}
    assert record.interval(lambda rows: math.nan, 5, seed=0, rounds=10) == {}


def test_rows_are_spread_over_the_whole_set() -> None:
    assert record.spread(5, None) == [0, 1, 2, 3, 4]
    assert record.spread(5, 9) == [0, 1, 2, 3, 4]
    assert record.spread(101, 3) == [0, 50, 100]
    with pytest.raises(record.BadConfig, match="limit 0"):
        record.spread(5, 0)


def test_table_lines_are_aligned() -> None:
    figures = [
        record.Figure("short", 0.5, bar=0.25), record.Figure("a longer name", 3, "s", bar=2, at_most=True, n=7)
    ]  # fmt: skip
    head, first, second = record.table(figures)
    assert head.index("reached") == first.index("yes") == second.index("NO")
    assert "≤ 2 s" in second


def test_every_script_is_described() -> None:
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in SCRIPTS if f"`{name}.py`" not in page] == []


@pytest.mark.parametrize("name", ["accuracy", "explanations", "faces", "front_end"])
def test_scripts_skip_without_data(name: str, tmp_path: Path) -> None:
    done = run_script(name, "--model", "rules", "--out", str(tmp_path / "out"), data=tmp_path / "nothing")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name}: skipped: ")
    assert not (tmp_path / "out").exists()


def test_install_does_nothing_unasked(tmp_path: Path) -> None:
    done = run_script("install", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (
        0, "install: skipped: run with --yes; it clones this repository and downloads packages\n"
    )  # fmt: skip


def test_an_unknown_model_is_an_error(tmp_path: Path) -> None:
    done = run_script("accuracy", "--model", "no-such-model", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "no-such-model" in done.stderr
    assert "Traceback" not in done.stderr


def test_explanations_on_a_miniature(tiny_data: Path, tmp_path: Path) -> None:
    done = run_script(
        "explanations",
        "--model",
        "rules",
        "--limit",
        "4",
        "--threads",
        "1",
        "--out",
        str(tmp_path),
        data=tiny_data,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    found = {figure["name"]: figure["value"] for figure in content["figures"]}
    assert found["shown: contradicted claims"] == found["shown: texts with a hole"] == 0
    assert found["shown: conclusion is the table's emotion"] == 1.0
    assert found["shown: words of certainty below .8"] == 0


def test_accuracy_on_a_miniature(tiny_data: Path, tmp_path: Path) -> None:
    done = run_script(
        "accuracy",
        "--model",
        "rules",
        "--limit",
        "4",
        "--threads",
        "1",
        "--out",
        str(tmp_path),
        data=tiny_data,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))["figures"]
    named = {figure["name"]: figure for figure in figures}
    readout = named["FER+ sole top label: accuracy"]
    assert readout["n"] == 4
    assert 0 <= readout["low"] <= readout["value"] <= readout["high"] <= 1
    assert readout["note"].startswith("always ")
    assert named["GENKI smile AUC of AU12 intensity"]["bar"] == 0.93
    assert 0 <= named["London neutral: mean over AUs"]["value"] <= 1


def test_memory_of_a_child_is_its_own() -> None:
    # In an interpreter of its own: a child's peak is never below what its parent held, and pytest holds much.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _process as p\n"
        "run = lambda text: p.run_process([sys.executable, '-c', text])\n"
        "small, large = run('pass'), run('block = bytearray(400_000_000); print(len(block))')\n"
        "print(small.peak, large.peak, small.seconds)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(BENCHMARKS)], capture_output=True, text=True, check=True
    )
    small, large, seconds = map(float, done.stdout.split())
    assert large > 400 > small
    assert 0 < seconds < 60
    process = load("_process")
    with pytest.raises(record.MienError, match="status 3"):
        process.run_process([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_looped_clip_has_the_frames_times_over(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from mien.face.decode.video import read_frames

    clips = load("_clips")
    frames = clips.looped(clip, tmp_path / "twice.mp4", 2)
    played = list(read_frames(tmp_path / "twice.mp4"))
    original = list(read_frames(clip))
    assert frames == len(played) == 2 * len(original)
    assert all(a.time < b.time for a, b in pairwise(played))
    assert np.array_equal(played[len(original) + 3].image, original[3].image)

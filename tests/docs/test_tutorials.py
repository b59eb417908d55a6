"""The tutorials, word for word: their commands and their Python run in order, in a folder beside the examples."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.app.cli import app

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def steps(page: str) -> list[tuple[str, str]]:
    """(language, text) of each block in order."""
    return FENCE.findall((ROOT / "docs" / "tutorials" / page).read_text(encoding="utf-8"))


def run_commands(text: str, monkeypatch: pytest.MonkeyPatch, quick: tuple[str, ...] = ()) -> int:
    """Run the lines that are commands of mien or scripts of the examples; others (pip …) are left out."""
    ran = 0
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["python"]:
            monkeypatch.setattr(sys, "argv", words[1:])
            runpy.run_path(words[1], run_name="__main__")
        elif words[:1] == ["mien"]:
            done = CliRunner().invoke(app, [*words[1:], *(quick if words[1] == "analyze" else ())])
            assert done.exit_code == 0, (line, done.output, done.exception)
        else:
            continue
        ran += 1
    return ran


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(900)
def test_twenty_clips(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = steps("clips.md")
    commands = "\n".join(text for language, text in blocks if language == "")
    (python,) = (text for language, text in blocks if language == "python")
    # The promise: at most three commands, or ten lines of Python.
    assert commands.count("\nmien ") <= 3 and sum(map(bool, python.splitlines())) <= 10
    assert run_commands(commands, monkeypatch, ("--every", "5", "--quiet")) == 3
    summary = place / "out" / "summary"
    assert {"summary.csv", "events.csv", "contrasts.csv", "rest.csv", "summary.html"} <= {
        path.name for path in summary.iterdir()
    }
    contrasts = (summary / "contrasts.csv").read_text().splitlines()
    smiles = next(line for line in contrasts if line.startswith("AU12_i,mean,"))
    assert float(smiles.split(",")[9]) * (1 if ",rest,film," in smiles else -1) > 0.2
    for clip in (place / "clips").glob("p*.mp4"):
        if clip.name > "p04":
            clip.unlink()
    capsys.readouterr()
    exec(compile(python, "clips.md", "exec"), {})
    assert "AU12_i" in capsys.readouterr().out

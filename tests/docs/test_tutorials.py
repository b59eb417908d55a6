"""The tutorials, word for word: their commands and their Python run in order, in a folder beside the examples.

Each takes ten seconds of processor or more: `make test-slow` follows them.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

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
        elif words[:1] in (["mkdir"], ["cp"]):
            subprocess.run(words, check=True)
        else:
            continue
        ran += 1
    return ran


def follow(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a page says, block by block; its recipe is the file that it names."""
    for language, text in steps(page):
        if language == "python":
            exec(compile(text, page, "exec"), {})
        elif language == "yaml":
            Path("mine.yaml").write_text(text, encoding="utf-8")
        elif language == "":
            run_commands(text, monkeypatch, ("--every", "20", "--quiet"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", ["photos.md", "data_engine.md"])
def test_pages_on_the_portraits(
    page: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(page, monkeypatch)
    printed = capsys.readouterr().out
    if page == "photos.md":
        assert "Key Observations:" in printed and (place / "out" / "photos" / "report.html").is_file()
    else:
        assert "happiness" in printed and (place / "cot" / "rejected.jsonl").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_your_own_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    follow("own_model.md", monkeypatch)
    assert (place / "runs" / "mine" / "model" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_server(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    blocks = steps("server.md")
    command = next(line for _, text in blocks for line in text.splitlines() if line.startswith("mien serve"))
    (python,) = (text for language, text in blocks if language == "python")
    words = [sys.executable, "-m", *shlex.split(command)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                try:
                    urlopen("http://localhost:8123/readyz", timeout=2).close()
                    break
                except OSError:
                    assert server.poll() is None, "the server has ended"
                    time.sleep(0.2)
            exec(compile(python, "server.md", "exec"), {})
        finally:
            server.terminate()
    assert "Key Observations:" in capsys.readouterr().out

"""The three engines, and a question, with a real language model behind the wire: SmolLM2-135M-Instruct on this CPU.

It is too small to describe faces well. That is the point: its replies are what models really write, so engines must
reject most of them, say why, keep count, and end with the same bytes when they were killed in between.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

import lm_server
from mien.dialogue.read.claims import read_claims
from mien.dialogue.read.emotion import read_emotion

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SERVER = Path(lm_server.__file__)
ITEMS = int(os.environ.get("MIEN_TEST_LM_ITEMS", "3"))
KILLS = 2
FILES = ("items.jsonl", "rejected.jsonl", "statistics.json")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if "MIEN_LM_ADDRESS" in os.environ:
        yield os.environ["MIEN_LM_ADDRESS"]
        return
    if lm_server.weights() is None:
        pytest.skip(lm_server.MISSING)
    command = [sys.executable, str(SERVER), "--most", "96"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.kill()


@pytest.fixture(scope="module")
def faces(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled pictures, as the data set `folder` reads it."""
    root = tmp_path_factory.mktemp("faces")
    for number in range(ITEMS):
        folder = root / ("happiness", "neutral")[number % 2]
        folder.mkdir(exist_ok=True)
        with Image.open(photos[number % len(photos)]) as opened:
            opened.convert("RGB").resize((240 + number, 240)).save(folder / f"{number}.png")
    return root


def count(address: str) -> int:
    with urlopen(f"{address}/models", timeout=30) as reply:
        return int(json.load(reply)["count"])


def annotate(address: str, engine: str, faces: Path, out: Path, killed_after: int | None = None) -> int:
    """Run an engine to its end, or kill it (signal 9) once so many more requests have come."""
    command = [
        sys.executable, "-m", "mien", "annotate", engine, "folder", "--root", str(faces), "--out", str(out), "--resume",
        "--teacher", address, "--model", lm_server.NAME, "--workers", "1", "--timeout", "600", "--quiet",
        *(("--task", "emotion") if engine == "faba" else ()),
        *(("--rounds", "0", "--hints", "0") if engine == "exp-cot" else ()),
    ]  # fmt: skip
    before = count(address)
    with subprocess.Popen(command) as process:
        while killed_after is not None and process.poll() is None:
            if count(address) >= before + killed_after:
                process.kill()
            time.sleep(0.1)
    return process.returncode


@pytest.mark.parametrize("engine", ["faba", "conversations", "exp-cot"])
def test_every_item_is_kept_or_rejected_for_a_reason(
    engine: str, address: str, faces: Path, tmp_path: Path
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    before = count(address)
    for _ in range(KILLS):
        annotate(address, engine, faces, parted, killed_after=1)
    assert annotate(address, engine, faces, parted) in (0, 1)
    asked = count(address) - before
    assert annotate(address, engine, faces, whole) in (0, 1)
    requests = count(address) - before - asked
    assert requests <= asked <= requests + KILLS  # Only what was under way at a kill comes again.
    counts = json.loads((whole / "statistics.json").read_text("utf-8"))
    rejected = [json.loads(line) for line in (whole / "rejected.jsonl").read_text("utf-8").splitlines()]
    kept = (whole / "items.jsonl").read_text("utf-8").splitlines()
    assert len(kept) + len(rejected) == counts["items"] == ITEMS
    assert all(row["reason"] for row in rejected)
    for name in FILES:
        assert (parted / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_it_writes_is_read_without_guessing(address: str) -> None:
    from mien.backends.chat import ChatMessage, ChatRequest
    from mien.backends.openai import OpenAITeacher

    teacher = OpenAITeacher(address, lm_server.NAME, timeout=600.0)
    asked = "Describe the face of a surprised person in three sentences. Name the Action Units."
    said = teacher.reply(ChatRequest("test", "1", (ChatMessage("user", asked),), max_tokens=96)).text
    teacher.close()
    assert len(said.split()) > 8
    for claim in read_claims(said):
        assert said[claim.start : claim.end]
    assert read_emotion(said).emotion in {
        "surprise",
        None,
        *read_emotion(said).secondary,
        "fear",
        "happiness",
    }

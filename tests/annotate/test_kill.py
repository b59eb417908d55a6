"""kill -9 in the middle of a run: nothing that was stored is asked again, and the files end up the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mien.annotate.runner import RunOptions, run
from mien.backends.openai import OpenAITeacher
from mien.work.journal import JOURNAL, Journal
from mien.work.replies import Replies

SCRIPT = Path(__file__).with_name("toy_run.py")
FILES = ("items.jsonl", "rejected.jsonl", "statistics.json")
ITEMS, WORKERS, KILLS = 60, 4, 2


def start(wire: Any, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), wire.url, str(out), "--items", str(ITEMS), "--resume"]
    path = os.pathsep.join([str(SCRIPT.parents[2] / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen([*command, "--workers", str(WORKERS)], env={**os.environ, "PYTHONPATH": path})


def stored(out: Path) -> tuple[set[str], int]:
    """Texts of the requests whose reply is stored, and how many others were under way."""
    with Journal(out / JOURNAL) as journal:
        rows = journal.rows("SELECT body FROM requests JOIN replies USING (key)")
        return {json.loads(body)["facts"]["text"] for (body,) in rows}, len(Replies(journal).unanswered())


@pytest.mark.timeout(600)
def test_killed_runs_lose_and_repeat_nothing(wire: Any, toy: ModuleType, tmp_path: Path) -> None:
    rng, out = random.Random(4), tmp_path / "killed"
    safe: dict[str, int] = {}
    under_way = 0
    for _ in range(KILLS):
        wanted = wire.count() + rng.randint(10, 25)
        process = start(wire, out)
        while wire.count() < wanted:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (out / "items.jsonl").exists()
        known, unanswered = stored(out)
        asked = wire.asked()
        assert safe.keys() < known
        assert safe == {text: asked[text] for text in safe}
        assert unanswered <= WORKERS
        safe, under_way = {text: asked[text] for text in known}, under_way + unanswered
    process = start(wire, out)
    assert process.wait(timeout=120) == 0
    asked = wire.asked()
    assert safe == {text: asked[text] for text in safe}
    # Only what was under way at a kill is asked again: nobody knows whether it was answered.
    assert sum(asked.values()) - len(asked) <= under_way
    assert len(asked) == ITEMS + ITEMS // 2
    teacher = OpenAITeacher(wire.url, "toy-1", timeout=10.0)
    run(toy.ToyEngine(ITEMS), teacher, tmp_path / "calm", RunOptions(workers=WORKERS))
    teacher.close()
    for name in FILES:
        assert (out / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()

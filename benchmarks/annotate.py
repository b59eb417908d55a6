"""What the data engines' machinery costs, whether it keeps a server busy, and whether a kill loses anything.

    python benchmarks/annotate.py [--limit N]

* store: the time that memory and decisions add to a step, one worker, a teacher that answers at once.
* busy: 32 workers against a local server with 32 places of two seconds each; the server counts how busy it was.
* kills: a run is killed (signal 9) 20 times at random moments and goes on each time; the server counts requests.

With ``--limit N``: N steps, N requests, and at most N kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from _record import ROOT, Record, parser, run

from mien.annotate.drive import drive
from mien.annotate.engine import Item, Kept, Steps
from mien.annotate.runner import RunOptions
from mien.annotate.runner import run as annotate
from mien.backends.chat import ChatMessage, ChatRequest, Reply
from mien.backends.openai import OpenAITeacher
from mien.work.journal import JOURNAL, Journal
from mien.work.replies import Replies

SERVER = ROOT / "tests" / "annotate" / "wire_server.py"
CHILD = ROOT / "tests" / "annotate" / "toy_run.py"
FILES = ("items.jsonl", "rejected.jsonl", "statistics.json")
STORE_BAR, BUSY_BAR = 2.0, 90.0
STEPS, ITEMS = 3, 1000
SLOTS, SERVICE, REQUESTS = 32, 2.0, 960
KILLS, KILL_ITEMS, KILL_WORKERS, KILL_SERVICE, KILL_WITHIN = 20, 2000, 16, 0.02, 1.2


def measure(record: Record) -> None:
    with tempfile.TemporaryDirectory(prefix="mien-annotate-") as name:
        folder = Path(name)
        store(record, folder)
        busy(record, folder)
        kills(record, folder)


@dataclass
class Chain:
    """Each item asks `STEPS` requests of its own, one after the other."""

    count: int
    name: str = "chain"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def items(self) -> Iterable[Item]:
        return (Item(f"item{number:05d}", inputs={"number": number}) for number in range(self.count))

    def process(self, item: Item) -> Steps:
        said = f"Describe face {item.inputs['number']}, please. " + "The inner brows are raised. " * 20
        for step in range(STEPS):
            message = ChatMessage("user", said)
            reply = yield ChatRequest(f"chain/{step}", "1", (message,), {"step": step, "text": said})
            said = f"{step}: {reply.text}"
        return Kept({"text": said})


class Instant:
    """Answers at once, about as long as a description."""

    model = "instant"

    def reply(self, request: ChatRequest) -> Reply:
        return Reply("A smile lifts the cheeks. " * 15 + request.messages[-1].text[:40], "stop", 100, 80)


def store(record: Record, folder: Path) -> None:
    """The same items with and without the run's store, in turns."""
    engine, teacher = Chain(max(1, (record.options.limit or STEPS * ITEMS) // STEPS)), Instant()
    steps, wall, processor = engine.count * STEPS, [], []
    for turn in range(3):
        started, used = time.perf_counter(), time.process_time()
        for item in engine.items():
            drive(engine, item, teacher.reply)
        bare, bare_used = time.perf_counter() - started, time.process_time() - used
        started, used = time.perf_counter(), time.process_time()
        annotate(engine, teacher, folder / f"store{turn}", RunOptions(workers=1))
        wall.append((time.perf_counter() - started - bare) / steps * 1000)
        processor.append((time.process_time() - used - bare_used) / steps * 1000)
    note = f"request, reply, decision and files; {statistics.median(processor):.2f} ms of processor"
    record.add(
        "store: time added per step, median of three runs", statistics.median(wall), "ms", bar=STORE_BAR,
        at_most=True, n=steps, note=note,
    )  # fmt: skip


class Server:
    """The test server, in a process of its own."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"

    def stats(self) -> dict[str, Any]:
        with urlopen(f"{self.root}/stats", timeout=30) as reply:
            return json.load(reply)

    def count(self) -> int:
        with urlopen(f"{self.root}/count", timeout=30) as reply:
            return int(reply.read())

    def asked(self) -> dict[str, int]:
        """Text of a request -> how often it came."""
        stats = self.stats()
        return {stats["texts"][key]: number for key, number in stats["received"].items()}

    def reset(self) -> None:
        with urlopen(Request(f"{self.root}/reset", b"{}"), timeout=30) as reply:
            reply.read()


@contextmanager
def serving(service: float, slots: int) -> Iterator[Server]:
    command = [sys.executable, str(SERVER), "--service", str(service), "--slots", str(slots)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()


def busy(record: Record, folder: Path) -> None:
    engine = Chain(max(1, (record.options.limit or REQUESTS) // STEPS))
    with serving(SERVICE, SLOTS) as server:
        teacher = OpenAITeacher(f"{server.root}/v1", "toy-1", timeout=60.0)
        annotate(engine, teacher, folder / "busy", RunOptions(workers=SLOTS))
        teacher.close()
        stats = server.stats()
    record.add(
        f"server busy with {SLOTS} requests at once", 100 * stats["busy"], "%", bar=BUSY_BAR, n=engine.count * STEPS,
        note=f"{SERVICE:g} s per reply, {stats['window']:.1f} s from the first request to the last reply",
    )  # fmt: skip


@dataclass
class Kills:
    """What was seen over all kills."""

    done: int = 0
    lost: int = 0
    """Replies that an earlier kill had left in the store and a later one had not."""
    repeated: int = 0
    """Requests whose reply was stored, and that came again."""
    under_way: int = 0
    """Requests that were sent and not answered at a kill."""


def kills(record: Record, folder: Path) -> None:
    wanted = min(record.options.limit or KILLS, KILLS)
    items = KILL_ITEMS * wanted // KILLS
    rng, seen, safe = random.Random(record.options.seed), Kills(), dict[str, int]()
    out = folder / "killed"
    with serving(KILL_SERVICE, SLOTS) as server:
        while seen.done < wanted:
            process = child(server, out, items)
            before = server.count()
            while server.count() == before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, KILL_WITHIN))
            process.send_signal(signal.SIGKILL)
            process.wait()
            seen.done += 1
            known, unanswered = stored(out)
            asked = server.asked()
            seen.lost += len(safe.keys() - known)
            seen.repeated += sum(asked[text] > count for text, count in safe.items())
            seen.under_way += unanswered
            safe = {text: asked[text] for text in known}
        child(server, out, items).wait()
        asked = server.asked()
        seen.repeated += sum(asked[text] > count for text, count in safe.items())
        server.reset()
        child(server, folder / "calm", items).wait()
        complete = asked.keys() == server.asked().keys()
    same = all((out / name).read_bytes() == (folder / "calm" / name).read_bytes() for name in FILES)
    n = seen.done
    again = sum(asked.values()) - len(asked)
    record.add("kills: stored replies lost", seen.lost, bar=0, at_most=True, n=n)
    record.add("kills: stored replies paid for again", seen.repeated, bar=0, at_most=True, n=n)
    record.add(
        "kills: requests asked again that were under way at a kill", again, n=n,
        note=f"of {seen.under_way} under way and {len(asked)} in all; nobody can know whether they were answered",
    )  # fmt: skip
    record.add("kills: final files equal to those of a calm run", int(same and complete), bar=1, n=n)


def child(server: Server, out: Path, items: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(CHILD), f"{server.root}/v1", str(out), "--items", str(items)]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([*command, "--workers", str(KILL_WORKERS), "--resume"], env=environment)


def stored(out: Path) -> tuple[set[str], int]:
    with Journal(out / JOURNAL) as journal:
        rows = journal.rows("SELECT body FROM requests JOIN replies USING (key)")
        return {json.loads(body)["facts"]["text"] for (body,) in rows}, len(Replies(journal).unanswered())


if __name__ == "__main__":
    run("annotate", parser(__doc__.splitlines()[0]), measure)

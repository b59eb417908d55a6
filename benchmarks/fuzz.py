"""Ten thousand mutants of everything that mien reads, under a watch of time and memory.

Kinds and mutants are those of ``tools/mutants.py``. Each kind is read in processes of its own, some hundred mutants
each; one that takes more than the budget of an item (20 s of processor) ends its process and is counted. Memory is the
largest of these processes, with what libraries and nets take. ``--limit N`` reads N mutants of all kinds together.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _record import Record

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import mutants

MUTANTS, CHUNK = 10_000, 260
SECONDS, MEGABYTES = 20, 1500
_STUCK = 1200
"""Seconds by the clock of one process: what waits for ever uses no processor."""
SHARES = {
    "pictures": 3,
    "videos": 3,
    "landmarks": 2,
    "faces": 1.5,
    "manifests": 2,
    "models": 0.5,
    "journals": 0.8,
}
"""Of kinds that strangers' files reach most, and of dear ones; 1 for the others."""


def tell(**about: object) -> None:
    """A line to the process that watches."""
    print(json.dumps(about), flush=True)


def read_chunk(kind: str, count: int, seed: int) -> None:
    """In a process of its own: read mutants, and tell what was no result and no sentence."""
    from mien.core.errors import MienError

    warnings.simplefilter("ignore")
    (make,) = (one for one in mutants.KINDS if one.__name__ == kind)
    done = good = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in make(Path(folder), count, seed):
            tell(now=case.what)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
            for place, read in enumerate(case.reads):
                try:
                    read()
                    good += place == 0
                except MienError as error:
                    if "\n" in str(error) or "\x1b" in str(error):
                        tell(uncaught=f"{case.what}: no sentence: {str(error)!r}")
                except mutants.SecondFace as error:
                    tell(second=f"{case.what}: {error}")
                except Exception:  # noqa: BLE001 - what this is about
                    tell(uncaught=f"{case.what}: {traceback.format_exc(limit=-3)}")
            done += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    tell(done=done, good=good, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def lines_of(kind: str, count: int, seed: int) -> list[dict[str, Any]]:
    """What the process told; its end, when it was ended, as ``hung``."""
    command = [sys.executable, __file__, "--chunk", kind, str(count), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            said, complaint = child.communicate(timeout=_STUCK)
        except subprocess.TimeoutExpired:
            child.kill()
            said, complaint = child.communicate()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    if child.returncode:
        last = [line["now"] for line in lines if "now" in line]
        why = "hung" if child.returncode in (-signal.SIGPROF, -signal.SIGKILL) else "uncaught"
        lines.append({why: f"{last[-1:]}: status {child.returncode} {complaint[-300:]}"})
        lines.append({"done": len(last), "good": 0, "peak": 0.0})
    return lines


def measure_all(record: Record) -> None:
    """All kinds, chunk by chunk."""
    names = [kind.__name__ for kind in mutants.KINDS]
    whole = sum(SHARES.get(name, 1) for name in names)
    faults: dict[str, list[str]] = {"uncaught": [], "hung": [], "second": []}
    read: Counter[str] = Counter()
    sound: Counter[str] = Counter()
    peak = {name: 0.0 for name in names}
    chunks = []
    for name in names:
        wanted = int(-(-(record.options.limit or MUTANTS) * SHARES.get(name, 1) // whole))
        for start in range(0, wanted, CHUNK):
            seed = 1000 * (record.options.seed + 1) + start // CHUNK
            chunks.append((name, min(CHUNK, wanted - start), seed))
    with ThreadPoolExecutor(record.options.jobs) as pool:
        for (name, *_), lines in zip(chunks, pool.map(lambda chunk: lines_of(*chunk), chunks), strict=True):
            for line in lines:
                for fault in faults.keys() & line.keys():
                    faults[fault].append(line[fault])
                    print(f"{fault}: {line[fault]}", flush=True)
                if "done" in line:
                    read[name] += line["done"]
                    sound[name] += line["good"]
                    peak[name] = max(peak[name], line["peak"])
            print(f"{name}: {read[name]} read, {sound[name]} sound, {peak[name]:.0f} MB", flush=True)
    total = sum(read.values())
    for fault, about in (
        ("uncaught", "uncaught"),
        ("hung", "past the budget of an item"),
        ("second", "second faces"),
    ):
        record.add(f"mutants: {about}", len(faults[fault]), bar=0, at_most=True, n=total)
    for name in names:
        note = f"{sound[name]} still sound"
        record.add(f"{name}: memory", peak[name], "MB", bar=MEGABYTES, at_most=True, n=read[name], note=note)


def main() -> None:
    if sys.argv[1:2] == ["--chunk"]:
        read_chunk(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return
    from _record import parser, run

    options = parser("Mutants of everything that mien reads.")
    options.add_argument("--jobs", type=int, default=2, help="processes side by side (default: 2)")
    run("fuzz", options, measure_all)


if __name__ == "__main__":
    main()

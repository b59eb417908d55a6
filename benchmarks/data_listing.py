"""Listing a large dataset: seconds and peak memory for one million rows, read lazily and held in a list.

Writes label files in the published formats (no pictures: datasets open none) and lists them. The folder of pictures is
listed by ``mien analyze``: until the first would be read, with the model opened. AffectNet's rows are 1 kB
long, so it is listed at its own size, 420,299 rows. Memory is the growth of the process's peak, measured in a fresh
process per case. The bar is on processor time, which other work on the machine does not change; the note beside it is
the time by the clock. ``--limit N`` lists N rows.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _record import Record

ROWS = 1_000_000
AFFECTNET = 420_299
SECONDS, MEGABYTES = 10, 1000


def write_manifest(root: Path, rows: int) -> None:
    words = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
    with (root / "manifest.csv").open("w") as file:
        file.write("media,split,subject,emotion\n")
        for row in range(rows):
            file.write(f"faces/{row % 997:03d}/{row:09x}.jpg,train,p{row // 50:06d},{words[row % 8]}\n")


def write_affectnet(root: Path, rows: int) -> None:
    points = ";".join(f"{100 + k}.25" for k in range(136))
    with (root / "training.csv").open("w") as file:
        for row in range(rows):
            affect = f"{(row % 200 - 100) / 100},{(row % 170 - 85) / 100}"
            file.write(f"{row % 997}/{row:056x}.jpg,134,134,899,899,{points},{row % 8},{affect}\n")


def write_rafdb(root: Path, rows: int) -> None:
    (root / "EmoLabel").mkdir()
    with (root / "EmoLabel/list_patition_label.txt").open("w") as file:
        for row in range(rows):
            file.write(f"train_{row:07d}.jpg {row % 7 + 1}\n")


def write_folder(root: Path, rows: int) -> None:
    """Pictures under as many names as there are to be: links, a few ten thousand to each file."""
    picture = (Path(__file__).parents[1] / "examples" / "eileen_collins.jpg").read_bytes()
    for row in range(rows):
        if row % _LINKS == 0:
            file = root / f"{row:09x}.jpg"
            file.write_bytes(picture)
        else:
            os.link(file, root / f"{row:09x}.jpg")


_LINKS = 50_000
CASES = {
    "manifest": write_manifest,
    "affectnet": write_affectnet,
    "rafdb": write_rafdb,
    "folder": write_folder,
}


class _Begun(Exception):
    """All is listed."""


class _Watch:
    def begin(self, items: int, done: int, frames: int) -> None:
        raise _Begun(items)

    def advance(self, frames: object, items: int) -> None: ...


def begin_folder(root: Path) -> int:
    """Start ``mien analyze`` on a folder; how many pictures wait when the first would be read."""
    from mien.analyze.jobs import JobOptions, run_job

    with tempfile.TemporaryDirectory() as out:
        try:
            run_job(JobOptions(inputs=(str(root),), out=Path(out) / "run"), _Watch())
        except _Begun as begun:
            return int(begun.args[0])
    return 0


def measure(name: str, root: Path, hold: bool) -> dict[str, float]:
    """Listing in this process: rows, seconds (wall and CPU), and MiB by which the peak grew."""
    from mien.data import open_dataset

    dataset = None if name == "folder" else open_dataset(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    if dataset is None:
        count = begin_folder(root)
    else:
        stream = dataset.read("train", root)
        count = len(list(stream)) if hold else sum(1 for _ in stream)
    used = time.perf_counter() - wall, time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"rows": count, "seconds": used[0], "cpu": used[1], "mib": grown}


def in_fresh_process(name: str, root: Path, how: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, name, str(root), how]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    got: dict[str, float] = json.loads(output)
    return got


def measure_all(record: Record) -> None:
    """Every case, streamed and held."""
    rows = record.options.limit or ROWS
    with tempfile.TemporaryDirectory() as folder:
        for name, write in CASES.items():
            root = Path(folder) / name
            root.mkdir()
            write(root, min(rows, AFFECTNET) if name == "affectnet" else rows)
            for how in ("held",) if name == "folder" else ("streamed", "held"):
                got = in_fresh_process(name, root, how)
                about, count = f"{name}, {how}", int(got["rows"])
                wall = f"{got['seconds']:.1f} s by the clock"
                record.add(
                    f"{about}: processor time", got["cpu"], "s", bar=SECONDS, at_most=True, n=count, note=wall
                )
                record.add(
                    f"{about}: memory", got["mib"] * 1.048576, "MB", bar=MEGABYTES, at_most=True, n=count
                )


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[3] in ("streamed", "held"):
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "held")))
        return
    # Not at the top: what the child process imports would count as its memory.
    from _record import parser, run

    run("data_listing", parser("Listing a dataset of a million rows: seconds and memory."), measure_all)


if __name__ == "__main__":
    main()

"""A long list of pictures is begun soon: what it costs beside asking the system for names and heads alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mien.analyze.jobs import JobOptions, run_job

NAMES, TIMES = 20_000, 10.0


class Begun(Exception):
    pass


class Watch:
    def begin(self, items: int, done: int, frames: int) -> None:
        raise Begun(items)

    def advance(self, frames: object, items: int) -> None: ...


def floor(folder: Path) -> float:
    began = time.process_time()
    for name in sorted(entry.path for entry in os.scandir(folder)):
        file = os.open(name, os.O_RDONLY)
        os.read(file, 32)
        os.close(file)
    return time.process_time() - began


def spent(folder: Path, out: Path, expected: int) -> float:
    began = time.process_time()
    try:
        run_job(JobOptions(inputs=(str(folder),), out=out), Watch())
    except Begun as begun:
        assert begun.args == (expected,)
    return time.process_time() - began


def test_twenty_thousand_names_are_listed_about_as_fast_as_the_system_names_them(
    tmp_path: Path, repository: Path
) -> None:
    folder, one = tmp_path / "in", tmp_path / "one"
    folder.mkdir()
    one.mkdir()
    picture = one / "0.jpg"
    picture.write_bytes((repository / "examples/eileen_collins.jpg").read_bytes())
    for number in range(NAMES):
        os.link(picture, folder / f"{number:06d}.jpg")
    spent(one, tmp_path / "warm", 1)
    opening = spent(one, tmp_path / "first", 1)
    taken = min(spent(folder, tmp_path / f"run{turn}", NAMES) for turn in range(2)) - opening
    assert taken <= TIMES * floor(folder), taken

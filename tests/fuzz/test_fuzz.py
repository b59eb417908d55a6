"""Mutants of all that mien reads: a result or one sentence each, in bounded time, and nothing else.

What once broke something else stands below as a recipe of bytes.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import mutants
from mien.core.errors import BadData, BadInput, MienError, OutputFailed
from mien.dialogue.files.exchange_files import read_items
from mien.face.decode.images import load_image
from mien.face.decode.video import read_frames
from mien.face.landmark_files import read_landmarks
from mien.study.tables import read_faces
from mien.work.journal import JOURNAL

_EACH = 10.0
"""Seconds on a busy machine; files of this size take milliseconds."""
Kind = Callable[[Path, int, int], Iterator[mutants.Case]]
MEDIA = mutants.KINDS[:3]
COSTLY = {mutants.faces, mutants.models, mutants.journals}


def survives(case: mutants.Case) -> bool:
    """Whether the main way read it; anything but a result or a sentence fails the test."""
    started, good = time.process_time(), []
    for read in case.reads:
        try:
            read()
            good.append(True)
        except MienError as error:
            message = str(error)
            assert message.startswith("Got ") and "\n" not in message and "\x1b" not in message, case.what
            good.append(False)
    assert time.process_time() - started < _EACH, f"{case.what} took {time.process_time() - started:.1f} s"
    return good[0]


@pytest.mark.parametrize("kind", mutants.KINDS)
@pytest.mark.filterwarnings("ignore")
def test_mutants(tmp_path: Path, kind: Kind) -> None:
    # The slow tests try more of all kinds.
    count = 320 if kind in MEDIA else 40 if kind in COSTLY else 80
    read = sum(map(survives, kind(tmp_path, count, 1)))
    # Some must still be readable, and some not: else nothing was tried.
    # Problems of manifests are told, and any text can be read.
    assert 0 < read and (read < count or kind in (mutants.manifests, mutants.words))


# -- what mutants have found -----------------------------------------------------------------------------
def test_second_page_without_a_width(tmp_path: Path) -> None:
    """Pillow raises a TypeError when it turns to such a page."""
    data = bytearray(dict(mutants.picture_seeds())["b.tif"])
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    second = int.from_bytes(data[first + 2 + 12 * count :][:4], "little")
    assert int.from_bytes(data[second + 2 :][:2], "little") == 256
    data[second + 2 : second + 4] = (65_000).to_bytes(2, "little")
    (tmp_path / "a.tif").write_bytes(data)
    frames = []
    with pytest.raises(BadInput, match=r"a\.tif"):
        for frame in read_frames(tmp_path / "a.tif"):
            frames.append(frame)
    assert len(frames) == 1 and load_image(tmp_path / "a.tif").shape == (48, 64, 3)


def test_array_header_that_breaks_off(tmp_path: Path) -> None:
    """NumPy raises a tokenizer's error on it."""
    data = bytearray(dict(mutants.landmark_seeds())["a.npy"])
    place = data.index(b"}")
    data[place] = ord("{")
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(BadInput, match=r"a\.npy"):
        read_landmarks(tmp_path / "a.npy")


def test_a_role_that_is_a_list(tmp_path: Path) -> None:
    said = [{"role": [], "content": "x"}]
    (tmp_path / "a.json").write_text(json.dumps([{"messages": said, "images": []}]))
    with pytest.raises(BadData, match=r"a\.json"):
        list(read_items(tmp_path / "a.json", "messages"))


@pytest.mark.parametrize(
    "text",
    [
        "frame,face_id,timestamp,confidence,success,pose_Rx\n1,0,0,.9,1,x1.2\n",
        "frame,face_id,timestamp,confidence,success\n",
        "input,frame,time,success,emotion\na.mp4,0,0,1,5\na.mp4,1,x,1,5\n",
        "input,time,success\na.mp4,0,1\n",
    ],
    ids=["no number", "no row", "no time", "no frame"],
)
def test_tables_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "faces.csv").write_text(text)
    with pytest.raises(BadData, match=r"faces\.csv"):
        read_faces(tmp_path / "faces.csv")


def test_an_emotion_that_is_a_number(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("input,frame,time,success,emotion\n7,0,0,1,5\n")
    assert read_faces(tmp_path / "faces.csv")["emotion"].tolist() == ["5"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE files SET name = '../outside.txt'",
        "UPDATE files SET name = '/tmp/mien-outside.txt'",
        "UPDATE meta SET value = '5' WHERE key = 'settings'",
        "UPDATE meta SET value = '{' WHERE key = 'settings'",
        "UPDATE rows SET body = 'x'",
        "UPDATE rows SET body = 5",
    ],
)
def test_a_journal_that_says_odd_things(tmp_path: Path, statement: str) -> None:
    """Files outside the folder are not removed in its name, what cannot be read is one sentence."""
    run, (case,) = tmp_path / "run", mutants.journals(tmp_path, 1, 1)
    shutil.rmtree(run)
    list(mutants.journals(tmp_path, 0, 1))  # the run alone
    (tmp_path / "outside.txt").write_text("mine")
    with closing(sqlite3.connect(run / JOURNAL)) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(OutputFailed, match="journal"):
        case.reads[1]()
    assert (tmp_path / "outside.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("kind", mutants.KINDS)
@pytest.mark.parametrize("seed", range(2, 5))
@pytest.mark.filterwarnings("ignore")
def test_many_mutants(tmp_path: Path, kind: Kind, seed: int) -> None:
    for case in kind(tmp_path, 300, seed):
        survives(case)

"""`ask` about videos with readers of one picture: which frame is read, and that it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

import mien as package
from mien import Analyzer
from mien.core.errors import BadConfig, BadInput
from mien.face.decode.video import read_frames
from mien.face.finder import FaceFinder

QUESTION = "What is the emotion of this face?"
Encoder = Callable[..., Path]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer("rules", threads=1)


def test_the_middle_frame_is_read_as_a_photo_would_be(analyzer: Analyzer, clip: Path) -> None:
    frames = list(read_frames(clip))
    central = frames[(len(frames) - 1) // 2]
    answer = analyzer.ask(clip, QUESTION)
    assert answer.times == (central.time,)
    assert answer.scores == analyzer.ask(central.image, QUESTION).scores
    blind = analyzer.ask(clip, QUESTION, landmarks_only=True)
    assert blind.times == answer.times and blind.scores is not None
    assert package.ask(clip, QUESTION, analyzer.reader, frames=3).times == answer.times


def test_a_frame_without_a_face_is_passed_over(
    analyzer: Analyzer, photos: list[Path], encoder: Encoder, tmp_path: Path
) -> None:
    with Image.open(photos[0]) as opened:
        face = np.asarray(opened.convert("RGB").resize((200, 240)))
    nobody = np.full_like(face, 90)
    ticks = [0, 100, 200, 300, 400]
    late = encoder(tmp_path / "late.mp4", [nobody, nobody, nobody, face, face], ticks)
    assert analyzer.ask(late, QUESTION).times == pytest.approx((3.0,))
    empty = encoder(tmp_path / "empty.mp4", [nobody] * 5, ticks)
    with pytest.raises(BadInput, match="no face was found"):
        analyzer.ask(empty, QUESTION)
    with pytest.raises(BadConfig, match="frames 0"):
        analyzer.ask(late, QUESTION, frames=0)


def test_of_landmarks_over_time_the_middle_is_read(
    analyzer: Analyzer, photos: list[Path], tmp_path: Path
) -> None:
    finder = FaceFinder(threads=1)
    found = []
    for path in photos[:2]:
        with Image.open(path) as opened:
            landmarks = finder.find(np.asarray(opened.convert("RGB")))[0].landmarks
        assert landmarks is not None
        found.append(landmarks)
    np.save(tmp_path / "many.npy", np.stack([found[0], found[1], found[0]]))
    np.save(tmp_path / "one.npy", found[1])
    answer = analyzer.ask(tmp_path / "many.npy", QUESTION)
    assert answer.scores == analyzer.ask(tmp_path / "one.npy", QUESTION).scores and answer.times == ()
    assert answer.scores != analyzer.ask(photos[0], QUESTION).scores


def test_the_command_says_which_frame(mien: Callable[..., CompletedProcess[str]], clip: Path) -> None:
    done = mien("ask", clip, QUESTION, "--model", "rules")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    assert "about one frame of the video, at 2.0 s" in done.stderr

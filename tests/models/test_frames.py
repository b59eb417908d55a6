"""The frames of real clips: which are read, whose face is meant, and what a model of one picture gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.core.errors import BadInput
from mien.face.crop import canonical_crop
from mien.face.decode.clips import clip_length, middle, read_clip
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.models.composite.frames import central_evidence, clip_evidence

Pixels = np.ndarray
EVERY_SECOND = range(0, 10_000, 100)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(threads=1)


@pytest.fixture(scope="module")
def heads(photos: list[Path], finder: FaceFinder) -> list[Pixels]:
    """The faces of the two example portraits, 100 px with room around."""
    found = []
    for path in photos:
        image = load_image(path)
        left, top, right, bottom = finder.find(image)[0].box
        x, y, reach = (left + right) / 2, (top + bottom) / 2, 0.8 * max(right - left, bottom - top)
        corners = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
        found.append(np.asarray(Image.fromarray(image).crop(corners).resize((100, 100))))
    return found


def scene(*placed: tuple[Pixels, int, int]) -> Pixels:
    """Heads on a grey wall of 280 x 140 px."""
    wall = np.full((140, 280, 3), 128, np.uint8)
    for head, x, y in placed:
        wall[y : y + head.shape[0], x : x + head.shape[1]] = head
    return wall


def smaller(head: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(head).resize((side, side)))


def by_second(encoder: Callable[..., Path], path: Path, images: Sequence[Pixels]) -> Path:
    """A clip that shows each picture for a second."""
    return encoder(path, images, EVERY_SECOND[: len(images)])


def test_the_main_face_is_followed_second_by_second(
    heads: list[Pixels], finder: FaceFinder, encoder: Callable[..., Path], tmp_path: Path
) -> None:
    other = smaller(heads[1], 60)
    images = [scene((heads[0], 10 + step // 4, 20), (other, 200, 40)) for step in range(52)]
    clip = encoder(tmp_path / "a.mp4", images)
    shown = clip_evidence(clip, finder, 48)
    assert [one.face.time for one in shown] == pytest.approx([0.0, 1.0, 2.0])
    assert [one.face.frame for one in shown] == [0, 25, 50]
    assert len({one.face.track for one in shown}) == 1
    lefts = [float(one.face.box[0]) for one in shown]
    assert np.diff(lefts) == pytest.approx([6.0, 6.0], abs=2.0) and lefts[0] < 60
    for one in shown:
        assert one.crop is not None and one.crop.shape == (48, 48, 3) and one.face.landmarks is not None
    assert [one.face.frame for one in clip_evidence(clip, finder, None, limit=2)] == [0, 25]
    assert clip_evidence(clip, finder, None)[0].crop is None


def test_the_main_face_is_there_for_long(
    heads: list[Pixels], finder: FaceFinder, encoder: Callable[..., Path], tmp_path: Path
) -> None:
    visitor, stays = (heads[1], 10, 20), (smaller(heads[0], 80), 180, 40)
    clip = by_second(encoder, tmp_path / "a.mp4", [scene(visitor, stays), *[scene(stays)] * 3])
    assert [one.face.frame for one in clip_evidence(clip, finder, None)] == [0, 1, 2, 3]
    assert all(one.face.box[0] > 150 for one in clip_evidence(clip, finder, None))


def test_a_clip_of_one_frame_is_the_photo(heads: list[Pixels], finder: FaceFinder, tmp_path: Path) -> None:
    picture = scene((heads[0], 90, 20))
    Image.fromarray(picture).save(tmp_path / "1.png")
    (shown,) = clip_evidence(tmp_path, finder, 48)
    face = finder.find(picture)[0]
    crop, transform = canonical_crop(picture, face, 48)
    assert shown.crop is not None and np.array_equal(shown.crop, crop)
    assert shown.face.crop is not None and np.allclose(shown.face.crop.matrix, transform.matrix)
    assert np.array_equal(shown.face.landmarks, face.landmarks)
    central = central_evidence(tmp_path, finder, 48)
    assert central is not None and central.crop is not None and np.array_equal(central.crop, crop)


def test_crops_are_not_searched(heads: list[Pixels], finder: FaceFinder, tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(heads[number % 2]).save(tmp_path / f"{number}.png")
    shown = clip_evidence(tmp_path, finder, 48, cropped=True, rate=5.0)
    assert [one.face.frame for one in shown] == [0, 5, 10]
    assert [one.face.time for one in shown] == [0.0, 1.0, 2.0]
    assert shown[0].face.box.tolist() == [0.0, 0.0, 100.0, 100.0]
    central = central_evidence(tmp_path, finder, 48, cropped=True)
    assert central is not None and central.face.frame == 5
    blank = tmp_path / "blank"
    blank.mkdir()
    Image.new("RGB", (64, 64), "grey").save(blank / "1.png")
    assert [one.face.landmarks for one in clip_evidence(blank, finder, 48, cropped=True)] == [None]


@pytest.mark.parametrize(("faces", "frame"), [("11111", 2), ("01010", 3), ("11000", 1), ("00000", None)])
def test_one_picture_of_a_clip_is_the_middle_or_the_next_with_a_face(
    heads: list[Pixels],
    finder: FaceFinder,
    encoder: Callable[..., Path],
    tmp_path: Path,
    faces: str,
    frame: int | None,
) -> None:
    images = [scene((heads[0], 90, 20)) if seen == "1" else scene() for seen in faces]
    clip = by_second(encoder, tmp_path / "a.mp4", images)
    found = central_evidence(clip, finder, 48)
    assert (found.face.frame if found else None) == frame
    assert len(clip_evidence(clip, finder, 48)) <= faces.count("1")


def test_the_middle_is_one_idea(tmp_path: Path) -> None:
    assert [middle(count) for count in (1, 2, 3, 4, 5, 16)] == [0, 0, 1, 1, 2, 7]
    for number in (10, 9, 2):
        Image.new("L", (32, 32), number).save(tmp_path / f"img{number}.png")
    assert clip_length(tmp_path, 10.0).rate == 10.0 and clip_length(tmp_path).frames == 3
    frames = list(read_clip(tmp_path, 10.0, {0, 2}))
    assert [int(frame.image.mean()) for frame in frames] == [2, 10] and frames[1].time == 0.2
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="without pictures"):
        clip_length(empty)

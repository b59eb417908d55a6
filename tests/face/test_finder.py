"""Finding faces: all of them, no others, whichever way up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Image
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder, box_overlap
from mien.face.pose import head_pose


def face_width(landmarks: np.ndarray) -> float:
    return float(np.ptp(landmarks[:468, 0]))


@pytest.mark.parametrize("name", ["eileen_collins.jpg", "grace_hopper.jpg"])
def test_example_portraits(finder: FaceFinder, examples: Path, name: str) -> None:
    image = load_image(examples / name)
    (face,) = finder.find(image, frame=3, time=0.25)
    assert face.score > 0.5 and face.presence > 0.9 and (face.frame, face.time) == (3, 0.25)
    assert (
        face.landmarks is not None and face.landmarks.shape == (478, 3) and face.landmarks.dtype == np.float32
    )
    left, top, right, bottom = face.box
    assert 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]
    assert left <= face.landmarks[4, 0] <= right and top <= face.landmarks[4, 1] <= bottom
    assert face.pose == head_pose(face.landmarks) and face.track is None


def test_upside_down_and_sideways(finder: FaceFinder, portrait: Image) -> None:
    height, width = portrait.shape[:2]
    (upright,) = finder.find(portrait)
    assert upright.landmarks is not None and upright.pose is not None
    x, y = upright.landmarks[:, 0], upright.landmarks[:, 1]
    back = {1: (y, width - x), 2: (width - x, height - y), 3: (height - y, x)}
    for quarters, expected in back.items():
        (face,) = finder.find(np.ascontiguousarray(np.rot90(portrait, quarters)))
        assert face.landmarks is not None and face.pose is not None
        away = np.hypot(face.landmarks[:, 0] - expected[0], face.landmarks[:, 1] - expected[1])
        assert away.mean() < 0.02 * face_width(upright.landmarks)
        turn = (face.pose.roll - upright.pose.roll + 90 * quarters + 180) % 360 - 180
        assert abs(turn) < 3


def test_a_hundred_faces(finder: FaceFinder, head: Image, second_head: Image) -> None:
    tiles = [np.asarray(pillow.fromarray(picture).resize((96, 96))) for picture in (head, second_head)]
    rows = [np.hstack([tiles[(row + column) % 2] for column in range(10)]) for row in range(10)]
    faces = finder.find(np.vstack(rows))
    assert 95 <= len(faces) <= 100
    cells = {(int(face.box[[0, 2]].mean() // 96), int(face.box[[1, 3]].mean() // 96)) for face in faces}
    assert len(cells) == len(faces)
    areas = [float(np.prod(face.box[2:] - face.box[:2])) for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_max_faces_keeps_the_largest(head: Image) -> None:
    canvas = np.full((260, 420, 3), 128, dtype=np.uint8)
    canvas[20:220, 10:210] = np.asarray(pillow.fromarray(head).resize((200, 200)))
    canvas[60:160, 280:380] = np.asarray(pillow.fromarray(head).resize((100, 100)))
    assert len(FaceFinder(threads=1).find(canvas)) == 2
    (face,) = FaceFinder(threads=1, max_faces=1).find(canvas)
    assert face.box[2] < 220


def test_pictures_without_a_face(finder: FaceFinder) -> None:
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 255, 320).astype(np.uint8)[None, :, None], (240, 1, 3))
    for image in (
        np.zeros((240, 320, 3), dtype=np.uint8),
        rng.integers(0, 255, (240, 320, 3), dtype=np.uint8),
        np.ascontiguousarray(ramp),
        np.zeros((8, 8, 3), dtype=np.uint8),
        np.zeros((8, 2000, 3), dtype=np.uint8),
    ):
        assert finder.find(image) == []


def test_a_face_cut_by_the_border(finder: FaceFinder, portrait: Image) -> None:
    (whole,) = finder.find(portrait)
    middle = int(whole.box[1] * 0.7 + whole.box[3] * 0.3)
    lower = np.ascontiguousarray(portrait[middle:])
    for face in finder.find(lower):
        assert face.box[1] >= 0 and face.presence >= 0.5


def test_small_grey_crops(finder: FaceFinder, head: Image, second_head: Image) -> None:
    crops = [
        np.asarray(pillow.fromarray(image).convert("L").resize((48, 48))) for image in (head, second_head)
    ]
    crops.append(np.random.default_rng(0).integers(0, 255, (48, 48), dtype=np.uint8))
    faces = finder.find_cropped_batch([load_image(crop) for crop in crops])
    for face in faces[:2]:
        assert face.landmarks is not None and face.presence > 0.8 and face.score == 1.0
        assert face.box.tolist() == [0, 0, 48, 48] and face.crop is not None and face.pose is not None
    assert faces[2].landmarks is None and faces[2].pose is None and faces[2].presence < 0.5
    alone = finder.find_cropped(load_image(crops[0]))
    assert alone.landmarks is not None and faces[0].landmarks is not None
    assert np.abs(alone.landmarks - faces[0].landmarks).max() < 0.05


def test_crop_landmarks_agree_with_those_of_the_large_picture(finder: FaceFinder, head: Image) -> None:
    (found,) = finder.find(head)
    small = finder.find_cropped(
        np.asarray(pillow.fromarray(head).resize((48, 48), pillow.Resampling.LANCZOS))
    )
    assert found.landmarks is not None and small.landmarks is not None
    away = np.linalg.norm(small.landmarks[:, :2] * (head.shape[0] / 48) - found.landmarks[:, :2], axis=1)
    assert away.mean() < 0.05 * face_width(found.landmarks)


def test_given_landmarks(finder: FaceFinder, portrait: Image) -> None:
    (found,) = finder.find(portrait)
    assert found.landmarks is not None
    face = finder.from_landmarks(found.landmarks.tolist(), (portrait.shape[1], portrait.shape[0]))
    assert face.pose == found.pose and np.allclose(face.box, found.box) and np.isnan(face.presence)
    broken = found.landmarks.copy()
    broken[0, 0] = np.nan
    for bad, size in ((broken, (10, 10)), (found.landmarks[:68], (10, 10)), (found.landmarks, (0, 10))):
        with pytest.raises(BadInput):
            finder.from_landmarks(bad, size)


def test_follow(finder: FaceFinder, portrait: Image) -> None:
    (face,) = finder.find(portrait)
    shifted = np.roll(portrait, (6, -9), axis=(0, 1))
    (again,) = finder.follow(shifted, [face])
    assert again is not None and again.landmarks is not None and face.landmarks is not None
    assert np.abs((again.landmarks - face.landmarks)[:, :2] - [-9, 6]).mean() < 0.01 * face_width(
        face.landmarks
    )
    assert finder.follow(np.zeros_like(portrait), [face]) == [None]
    assert finder.follow(np.zeros((20, 20, 3), dtype=np.uint8), [face]) == [None]
    with pytest.raises(BadInput, match="without landmarks"):
        finder.follow(portrait, [finder.find_cropped(np.zeros((48, 48, 3), dtype=np.uint8))])


def test_box_overlap() -> None:
    box = np.array([0, 0, 10, 10], dtype=np.float32)
    assert box_overlap(box, box) == 1.0
    assert box_overlap(box, box + 5) == pytest.approx(25 / 175)
    assert box_overlap(box, box + 20) == 0.0 and box_overlap(box * 0, box * 0) == 0.0


def test_options_are_checked() -> None:
    for options in ({"max_faces": 0}, {"min_presence": 0.0}, {"min_presence": 1.5}):
        with pytest.raises(BadConfig):
            FaceFinder(**options)


def test_sample_photos(finder: FaceFinder, data_root: Path) -> None:
    samples = data_root / "samples"
    assert len(finder.find(load_image(samples / "multi_face.jpg"))) == 5
    assert len(finder.find(load_image(samples / "single_face.jpg"))) == 1
    women = [len(finder.find(load_image(samples / f"faceapi_sample{n}.jpg"))) for n in (1, 2, 3)]
    assert sum(women) >= 8 and max(women) <= 3

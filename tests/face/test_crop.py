"""The canonical crop: level, framed like FER+, smooth, and safe at the picture's border."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import CropTransform, Face, Image
from mien.face.crop import canonical_crop, warp
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder


def placed(transform: CropTransform, points: np.ndarray) -> np.ndarray:
    """Image px -> crop px."""
    return np.asarray(points[:, :2] @ transform.matrix[:, :2].T + transform.matrix[:, 2])


def test_eyes_are_level_and_the_face_fills_the_crop(finder: FaceFinder, portrait: Image) -> None:
    for turn in (0, 20, -35):
        image = np.asarray(
            pillow.fromarray(portrait).rotate(turn, pillow.Resampling.BILINEAR, fillcolor="grey")
        )
        face = finder.find(image)[0]
        crop, transform = canonical_crop(image, face, 96)
        assert crop.shape == (96, 96, 3) and crop.dtype == np.uint8 and transform.size == 96
        assert face.landmarks is not None
        points = placed(transform, face.landmarks)
        assert abs(points[33, 1] - points[263, 1]) < 3
        assert points[33, 0] < points[263, 0]
        assert 40 < np.ptp(points[:468, 0]) < 96 and 40 < (points[:468].mean(axis=0)[0]) < 56


def test_crops_of_a_turned_picture_agree(finder: FaceFinder, portrait: Image) -> None:
    crops = []
    for quarters in (0, 2):
        image = np.ascontiguousarray(np.rot90(portrait, quarters))
        crops.append(canonical_crop(image, finder.find(image)[0], 64)[0].astype(float))
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.97


def test_transform_says_where_pixels_went() -> None:
    image = np.zeros((100, 140, 3), dtype=np.uint8)
    image[60:64, 90:94] = 255
    angle = np.radians(30)
    matrix = np.array([[np.cos(angle), np.sin(angle), -60.0], [-np.sin(angle), np.cos(angle), 30.0]])
    crop = warp(image, CropTransform(matrix, 90))
    rows, columns = np.nonzero(crop[:, :, 0] > 120)
    expected = matrix @ np.array([92.0, 62.0, 1.0])
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(tuple(expected), abs=0.6)


def test_shrinking_is_smooth() -> None:
    stripes = np.zeros((800, 800, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    box = np.array([100, 100, 700, 700], dtype=np.float32)
    crop, _ = canonical_crop(stripes, Face(box, 1.0), 48)
    assert crop.min() > 110 and crop.max() < 145


def test_beyond_the_picture_its_border_is_repeated() -> None:
    image = np.full((60, 60, 3), 90, dtype=np.uint8)
    image[:, -1] = (200, 10, 10)
    for box in ((30, 0, 90, 60), (-20, -30, 50, 40), (70, 70, 100, 100), (-90, 10, -40, 60)):
        crop, _ = canonical_crop(image, Face(np.array(box, dtype=np.float32), 1.0), 32)
        assert (crop.reshape(-1, 3) > 5).all(), "no black filling"
    right, _ = canonical_crop(image, Face(np.array([70, 10, 100, 40], dtype=np.float32), 1.0), 32)
    assert (right == (200, 10, 10)).all()


def test_landmarks_partly_outside(finder: FaceFinder, portrait: Image) -> None:
    face = finder.find(portrait)[0]
    middle = int((face.box[0] + face.box[2]) / 2)
    half = np.ascontiguousarray(portrait[:, :middle])
    crop, transform = canonical_crop(half, face, 80)
    whole, _ = canonical_crop(portrait, face, 80)
    edge = int(transform.matrix[0, 0] * middle + transform.matrix[0, 2]) - 6
    assert np.abs(crop[30:50, :edge].astype(int) - whole[30:50, :edge]).mean() < 4


def test_a_given_crop_is_kept_whole(finder: FaceFinder, head: Image) -> None:
    small = np.asarray(pillow.fromarray(head).resize((48, 48)))
    crop, transform = canonical_crop(small, finder.find_cropped(small), 96)
    assert np.allclose(transform.matrix, [[2, 0, 0], [0, 2, 0]])
    assert np.abs(crop[::2, ::2].astype(int) - small).mean() < 12
    wide = np.zeros((40, 80, 3), dtype=np.uint8)
    _, transform = canonical_crop(wide, finder.find_cropped(wide), 40)
    assert np.allclose(transform.matrix, [[0.5, 0, 0], [0, 0.5, 10]])


def test_a_kept_transform_scales(finder: FaceFinder, portrait: Image) -> None:
    face = finder.find(portrait)[0]
    crop, transform = canonical_crop(portrait, face, 64)
    again, doubled = canonical_crop(portrait, replace(face, crop=transform), 128)
    assert np.allclose(doubled.matrix, 2 * transform.matrix) and again.shape == (128, 128, 3)
    assert np.array_equal(canonical_crop(portrait, replace(face, crop=transform), 64)[0], crop)


def test_framing_equals_that_of_ferplus(data_root: Path, finder: FaceFinder) -> None:
    """The eyes of photos lie where the eyes of FER+ pictures lie, on average."""
    with np.load(data_root / "ferplus" / "val.npz", allow_pickle=False) as pack:
        given = [np.repeat(image[:, :, None], 3, axis=2) for image in pack["images"][:100]]
    fer = [
        face.landmarks[:, :2] / 48 for face in finder.find_cropped_batch(given) if face.landmarks is not None
    ]
    photos = []
    for name in ("single_face", "multi_face", "faceapi_sample3"):
        image = load_image(data_root / "samples" / f"{name}.jpg")
        for face in finder.find(image):
            _, transform = canonical_crop(image, face, 48)
            assert face.landmarks is not None
            photos.append(placed(transform, face.landmarks) / 48)
    eyes = [np.mean([(face[33] + face[263]) / 2 for face in group], axis=0) for group in (fer, photos)]
    spans = [np.mean([np.hypot(*(face[263] - face[33])) for face in group]) for group in (fer, photos)]
    assert np.abs(eyes[0] - eyes[1]).max() < 0.04
    assert spans[0] == pytest.approx(spans[1], rel=0.1)


def test_bad_arguments(finder: FaceFinder, portrait: Image) -> None:
    face = finder.find(portrait)[0]
    with pytest.raises(BadConfig, match="8 px"):
        canonical_crop(portrait, face, 4)
    assert face.landmarks is not None
    foreign = finder.from_landmarks(face.landmarks * 40, (20_000, 20_000))
    with pytest.raises(BadInput, match="this picture"):
        canonical_crop(portrait, foreign, 96)
    with pytest.raises(BadInput, match="side"):
        canonical_crop(portrait, Face(np.array([5, 5, 5, 5], dtype=np.float32), 1.0), 96)

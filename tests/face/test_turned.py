"""Faces turned in the plane by any angle: Pillow turns the picture, so the right roll is arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.nouns import Face, Image
from mien.face.decode.video import VideoFrame
from mien.face.finder import FaceFinder
from mien.face.tracks import FaceTracker

CutHead = Callable[[Image, int], Image]


def turned(image: Image, degrees: float) -> Image:
    picture = pillow.fromarray(image)
    return np.asarray(picture.rotate(degrees, pillow.Resampling.BICUBIC, fillcolor=(128, 128, 128)))


def off(face: Face, upright: Face, degrees: float) -> float:
    assert face.pose is not None and upright.pose is not None
    return (face.pose.roll - (upright.pose.roll - degrees) + 180) % 360 - 180


def shape(face: Face) -> np.ndarray:
    """Landmarks without place, size and turn: what a reading sees of them."""
    points = face.landmarks[:, :2] - face.landmarks[:, :2].mean(axis=0)
    across = points[263] - points[33]
    turn = complex(*across) / np.hypot(*across) ** 2
    return (points[:, 0] + 1j * points[:, 1]) / (turn * np.hypot(*across) ** 2)


@pytest.mark.parametrize("degrees", [30, 75, 105, 135, 150, 180, 195, 250, 285, 330])
def test_any_angle(
    finder: FaceFinder, cut_head: CutHead, portrait: Image, second_portrait: Image, degrees: int
) -> None:
    for image in (portrait, second_portrait):
        for side in (160, 240):
            head = cut_head(image, side)
            upright = finder.find(head)[0]
            found = finder.find(turned(head, degrees))
            assert len(found) == 1 and abs(off(found[0], upright, degrees)) < 15
            # The same face, not one that was drawn upright into a turned one.
            assert np.abs(shape(found[0]) - shape(upright)).mean() < 0.06


@pytest.mark.parametrize("degrees", [90, 135, 180, 250])
def test_turned_films_are_followed(
    finder: FaceFinder, cut_head: CutHead, portrait: Image, degrees: int
) -> None:
    head = cut_head(portrait, 200)
    upright, tracker = finder.find(head)[0], FaceTracker(finder)
    for index in range(12):
        faces = tracker.update(VideoFrame(index, 0.04 * index, turned(head, degrees + index)))
        assert len(faces) == 1 and abs(off(faces[0], upright, degrees + index)) < 15 and faces[0].track == 0


def test_sure_faces_are_not_looked_at_again(
    finder: FaceFinder, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder.detector, "score", None)
    assert len(finder.find(portrait)) == 1

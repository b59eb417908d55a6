"""What limits a reading: measured in the field's units, flagged with its reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageFilter

from mien.core.nouns import Face, Pose
from mien.face.quality import judge


def a_face(eyes: float = 80.0, pose: Pose | None = None) -> Face:
    points = np.zeros((478, 3), np.float32)
    points[473, 0] = eyes
    return Face(np.zeros(4, np.float32), 1.0, points, pose=pose or Pose(0.0, 0.0, 0.0))


def a_crop(sigma: float, level: int = 120) -> np.ndarray:
    row, column = np.indices((128, 128)) // 16
    squares = np.where((row + column) % 2, 60, -60)
    picture = pillow.fromarray(np.clip(squares + level, 0, 255).astype(np.uint8))
    return np.repeat(np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)))[..., None], 3, axis=2)


def test_a_good_face_has_no_flag() -> None:
    quality = judge(a_face(), a_crop(0))
    assert quality.eyes == 80.0 and quality.turned == 0.0 and quality.in_plane == 0.0
    assert quality.light == pytest.approx(120 / 255, abs=0.02)
    assert quality.flags == {} and quality.hidden == ()


def test_blur_rises_with_the_filter_and_is_flagged() -> None:
    seen = [judge(a_face(), a_crop(sigma)) for sigma in (0, 1, 2, 3, 6)]
    values = [one.blur for one in seen]
    assert values == sorted(values) and 0.0 < values[0] < 0.3 and 0.72 < values[-1] <= 1.0
    assert "blurred" in seen[-1].flags and "blurred" not in seen[0].flags


@pytest.mark.parametrize(
    ("face", "level", "flag"),
    [
        (a_face(9.0), 120, "small"),
        (a_face(pose=Pose(0.0, -50.0, 0.0)), 120, "turned"),
        (a_face(pose=Pose(25.0, 25.0, 0.0)), 120, "turned"),
        (a_face(pose=Pose(0.0, 0.0, 250.0)), 120, "turned_in_plane"),
        (a_face(), -20, "dark"),
        (a_face(), 300, "bright"),
    ],
)
def test_each_limit_is_flagged_with_its_reason(face: Face, level: int, flag: str) -> None:
    quality = judge(face, a_crop(0, level))
    assert list(quality.flags) == [flag] and quality.flags[flag]
    assert -180.0 <= quality.in_plane < 180.0


def test_what_is_covered_is_hidden() -> None:
    quality = judge(a_face(), a_crop(0), {"mouth": 0.9, "eyes": 0.2})
    assert quality.hidden == ("mouth",) and list(quality.flags) == ["hidden_mouth"]


def test_what_is_not_there_is_not_judged() -> None:
    quality = judge(Face(np.zeros(4, np.float32), 1.0))
    assert all(
        math.isnan(one)
        for one in (quality.eyes, quality.blur, quality.light, quality.turned, quality.in_plane)
    )
    assert quality.flags == {}
    flat = judge(a_face(pose=Pose(math.nan, math.nan, math.nan)), np.full((64, 64, 3), 90, np.uint8))
    assert math.isnan(flat.blur) and math.isnan(flat.turned) and flat.flags == {}

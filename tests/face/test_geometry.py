"""Landmark geometry: free of pose, even-handed, and moving the right way."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import BadInput
from mien.face.decode.video import read_frames
from mien.face.finder import FaceFinder
from mien.face.geometry import GEOMETRY_NAMES, aligned_landmarks, geometry_features
from mien.face.pose import mean_face
from mien.face.topology import DLIB68, FACE_OVAL, LEFT_EYE, LIPS_INNER, RIGHT_EYE


def face(seed: int = 0) -> np.ndarray:
    """A slightly uneven face in px."""
    points = mean_face().points + np.random.default_rng(seed).normal(0, 0.01, (478, 3))
    return np.asarray(100.0 * points + np.array([300.0, 200.0, 10.0]))


def named(landmarks: np.ndarray) -> dict[str, float]:
    return dict(zip(GEOMETRY_NAMES, geometry_features(landmarks).tolist(), strict=True))


def test_names_and_shapes() -> None:
    values = geometry_features(face())
    assert values.dtype == np.float32 and values.shape == (len(GEOMETRY_NAMES),) and np.isfinite(values).all()
    assert len(set(GEOMETRY_NAMES)) == len(GEOMETRY_NAMES) >= 40


@given(
    angle=st.floats(-180, 180),
    tilt=st.floats(-60, 60),
    scale=st.floats(0.1, 10),
    shift=st.floats(-1000, 1000),
)
def test_features_do_not_depend_on_pose_size_and_place(
    angle: float, tilt: float, scale: float, shift: float
) -> None:
    a, b = math.radians(angle), math.radians(tilt)
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    moved = scale * face() @ (about_z @ about_y).T + shift
    assert np.allclose(aligned_landmarks(moved), aligned_landmarks(face()), atol=2e-3)
    assert np.allclose(geometry_features(moved), geometry_features(face()), atol=1e-2)


def test_a_mirrored_face_swaps_left_and_right() -> None:
    original = face(3)
    mirrored = (original * np.array([-1, 1, 1]))[mean_face().mirror] + np.array([640.0, 0, 0])
    before, after = named(original), named(mirrored)
    for name, value in before.items():
        if name.endswith("_left_minus_right") or name == "gaze_across":
            assert after[name] == pytest.approx(-value, abs=1e-4)
            continue
        twin = name.replace("_left", "_RIGHT").replace("_right", "_left").replace("_RIGHT", "_right")
        assert after[twin] == pytest.approx(value, abs=1e-4), name


@pytest.mark.parametrize(
    "points, move, grows, shrinks",
    [
        ((107, 55), (0, -0.08, 0), "brow_inner_height_right", None),
        ((300, 293, 276, 283), (0, -0.08, 0), "brow_outer_height_left", "brow_slope_left"),
        ((386, 385, 387), (0, -0.03, 0), "eye_opening_left", None),
        ((144, 145, 153), (0, -0.03, 0), "lower_lid_height_right", "eye_aspect_right"),
        ((61, 291), (0, -0.08, 0), "corner_lift_left", None),
        ((61, 291), (0.0, 0.08, 0), "corner_to_nose_wing_left", "corner_lift_right"),
        ((152, 199, 175), (0, 0.1, 0), "jaw_drop", "chin_boss_height"),
        ((14, 17), (0, 0.1, 0), "lip_gap", "lower_lip_to_chin"),
        ((468, 473), (0.03, 0, 0), "gaze_across", None),
        ((0, 17), (0, 0, -0.1), "lower_lip_ahead", None),
    ],
)
def test_features_move_with_the_face(
    points: tuple[int, ...], move: tuple[float, float, float], grows: str, shrinks: str | None
) -> None:
    rest = 100.0 * mean_face().points
    moved = rest.copy()
    moved[list(points)] += 100.0 * np.array(move)
    before, after = named(rest), named(moved)
    assert after[grows] > before[grows] + 0.01
    if shrinks is not None:
        assert after[shrinks] < before[shrinks] - 0.01


def test_a_real_smile(data_root: Path, finder: FaceFinder) -> None:
    pytest.importorskip("av")
    measured = {}
    for frame in read_frames(data_root / "samples" / "single_face.mp4"):
        if frame.index in (8, 45):
            landmarks = finder.find(frame.image)[0].landmarks
            assert landmarks is not None
            measured[frame.index] = named(landmarks)
    neutral, smile = measured[8], measured[45]
    for name in ("corner_lift_left", "corner_lift_right", "mouth_width", "lip_gap"):
        assert smile[name] > neutral[name] + 0.04, name
    assert smile["cheek_to_lid_left"] < neutral["cheek_to_lid_left"]


def test_nan_landmarks() -> None:
    points = face()
    points[100, 1] = np.nan
    for function in (geometry_features, aligned_landmarks):
        with pytest.raises(BadInput, match="NaN or infinite values in 1 of 478"):
            function(points)


def test_contours_and_dlib_points() -> None:
    mirror, points = mean_face().mirror, mean_face().points
    assert len(DLIB68) == 68 and max(DLIB68) < 478
    jaw = np.array(DLIB68[:17])
    assert np.array_equal(mirror[jaw], jaw[::-1])
    steps = np.linalg.norm(np.diff(points[jaw][:, :2], axis=0), axis=1)
    assert steps.max() / steps.min() < 1.9
    assert (points[list(DLIB68[36:42]), 0] < 0).all(), "point 37 starts the eye on the image's left"
    assert set(mirror[list(RIGHT_EYE)]) == set(LEFT_EYE) and set(mirror[list(FACE_OVAL)]) == set(FACE_OVAL)
    assert set(mirror[list(LIPS_INNER)]) == set(LIPS_INNER)
    assert all(
        max(Counter(contour).values()) == 1 for contour in (FACE_OVAL, LEFT_EYE, RIGHT_EYE, LIPS_INNER)
    )

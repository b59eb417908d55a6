"""Box, points and pose of a training face: measured from the mesh, and moved into the crop that a model sees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mien.core.nouns import FaceFacts, Labels, Sample, Turn
from mien.face.pose import mean_face
from mien.train.data.face_facts import measured_facts, placed_sample, seen_facts, tells_places, with_facts
from mien.train.data.faces import Faces


def mesh(yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The mean face, 100 px between its eyes, turned to the image's right and clockwise, about (300, 200)."""
    y, r = math.radians(yaw), math.radians(roll)
    turn = np.array([[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]])
    tilt = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    points = mean_face().points @ turn.T @ tilt.T * 100.0 + [300.0, 200.0, 0.0]
    return np.asarray(points, np.float32)


def similarity(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    a = math.radians(angle)
    return np.array(
        [
            [scale * math.cos(a), -scale * math.sin(a), shift[0]],
            [scale * math.sin(a), scale * math.cos(a), shift[1]],
        ]
    )


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return np.concatenate([flat, points[:, 2:] * scale], axis=1).astype(np.float32)


def test_measured_as_the_data_sets_label() -> None:
    facts = measured_facts(mesh(yaw=20.0, roll=8.0))
    assert (
        facts.unit == "px" and facts.points is not None and facts.box is not None and facts.pose is not None
    )
    left_eye, right_eye, nose, left_mouth, right_mouth = facts.points
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    left, top, width, height = facts.box
    assert all(left < x < left + width and top < y < top + height for x, y in facts.points)
    yaw, pitch, roll = facts.pose
    # Turned to the image's right is the subject's left: negative for 300W-LP. Clockwise as seen is positive.
    assert yaw == pytest.approx(-20.0, abs=1.0) and roll == pytest.approx(8.0, abs=1.0) and abs(pitch) < 3.0
    assert facts.demographics is None and facts.attributes is None


@pytest.mark.parametrize("angle", [0.0, 15.0])
def test_what_is_seen_is_what_is_measured_in_the_crop(angle: float) -> None:
    points, matrix = mesh(yaw=-10.0, roll=5.0), similarity(0.4, angle, (20.0, -30.0))
    seen = seen_facts(measured_facts(points), matrix, 224)
    there = measured_facts(moved(points, matrix))
    assert seen.unit == "share" and seen.points is not None and there.points is not None
    np.testing.assert_allclose(np.asarray(seen.points) * 224, there.points, atol=1e-2)
    assert seen.pose is not None and there.pose is not None
    np.testing.assert_allclose(seen.pose, there.pose, atol=0.05)
    if angle == 0.0:
        assert seen.box is not None and there.box is not None
        np.testing.assert_allclose(np.asarray(seen.box) * 224, there.box, atol=1e-2)
    assert seen_facts(seen, matrix, 224) is seen


def test_samples_keep_their_own_facts_and_get_those_of_the_mesh_where_asked() -> None:
    own = FaceFacts(box=(50.0, 0.0, 100.0, 100.0), demographics=(3, 0, 2))
    labels = (Labels("fear", facts=own), Labels("fear"), Labels("fear"))
    lost = np.full((478, 3), np.nan, np.float32)
    faces = Faces(
        tuple(Sample(f"{n}", "made", "train", "x", one) for n, one in enumerate(labels)),
        np.zeros((3, 112, 112, 3), np.uint8),
        np.stack([mesh(), mesh(), lost]),
        np.stack([similarity(0.56, 0.0, (0.0, 0.0))] * 3),
    )
    assert placed_sample(faces, 1) is faces.samples[1]
    taught = with_facts(faces)
    first, second, third = (placed_sample(taught, row).labels.facts for row in range(3))
    assert first is not None and first.box == pytest.approx((0.25, 0.0, 0.5, 0.5))
    assert first.demographics == (3, 0, 2) and first.points is None
    assert second is not None and second.points is not None and second.unit == "share" and third is None


@pytest.mark.parametrize(
    ("said", "places"),
    [
        ("[0.1000, 0.2000, 0.5000, 0.5000]", True),
        ("[-3.5000, 2.0000, 0.2500]", True),
        ("[[0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2]]", True),
        (f"[{', '.join('01' * 20)}]", False),
        ("[0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0]", False),
        ("[3, 1, 0]", False),
        ("Happiness", False),
    ],
)
def test_answers_that_a_warp_makes_wrong(said: str, places: bool) -> None:
    assert tells_places([Turn("user", "[0, 0, 1, 1]"), Turn("assistant", said)]) is places

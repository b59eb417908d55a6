"""Head pose: the signs, the angles, and what they do not depend on."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import BadInput
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.face.pose import align, head_pose, mean_face


def turned(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """The mean face turned by angles of `mien.core.nouns.Pose`, at 80 px per unit."""
    p, y, r = (math.radians(angle) for angle in (-pitch, -yaw, roll))
    about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return 80.0 * mean_face().points @ (about_z @ about_y @ about_x).T + np.array([200.0, 150.0, 0.0])


def test_mean_face_is_symmetric_and_frontal() -> None:
    face = mean_face()
    assert face.points.shape == (478, 3) and face.weights.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(face.mirror[face.mirror], np.arange(478))
    assert np.allclose(face.points[face.mirror], face.points * [-1, 1, 1], atol=1e-5)
    assert np.linalg.norm(face.points[263] - face.points[33]) == pytest.approx(1.0, abs=1e-5)
    assert face.points[4, 2] < face.points[127, 2], "the nose is nearer to the camera than the ear"
    assert face.points[152, 1] > face.points[10, 1], "the chin is below the forehead"
    assert face.edges.min() >= 0 and face.edges.max() < 478 and len(face.edges) > 1000


def test_signs_from_what_is_seen() -> None:
    frontal = turned(0, 0, 0)
    left = turned(0, 25, 0)
    assert left[4, 0] > frontal[4, 0], "turned to the subject's left, the nose moves to the image's right"
    up = turned(25, 0, 0)
    assert up[4, 1] < frontal[4, 1], "with the head raised the nose moves up"
    tilted = turned(0, 0, 25)
    assert tilted[10, 0] > frontal[10, 0], "tilted clockwise as seen, the forehead moves to the image's right"
    assert head_pose(left).yaw > 20 and head_pose(up).pitch > 20 and head_pose(tilted).roll > 20


@given(pitch=st.floats(-60, 60), yaw=st.floats(-75, 75), roll=st.floats(-179, 179))
def test_angles_are_recovered(pitch: float, yaw: float, roll: float) -> None:
    pose = head_pose(turned(pitch, yaw, roll))
    assert (pose.pitch, pose.yaw, pose.roll) == pytest.approx((pitch, yaw, roll), abs=0.05)


@given(scale=st.floats(0.2, 20), x=st.floats(-2000, 2000), y=st.floats(-2000, 2000))
def test_pose_does_not_depend_on_size_and_place(scale: float, x: float, y: float) -> None:
    pose = head_pose(turned(10, -20, 5) * scale + np.array([x, y, 0.0]))
    assert (pose.pitch, pose.yaw, pose.roll) == pytest.approx((10, -20, 5), abs=0.1)


def test_noise_moves_the_pose_little() -> None:
    rng = np.random.default_rng(0)
    noisy = turned(5, 15, -8) + rng.normal(0, 2.0, (478, 3))
    assert (head_pose(noisy).pitch, head_pose(noisy).yaw) == pytest.approx((5, 15), abs=2)


def test_alignment_maps_the_mean_face_onto_the_landmarks() -> None:
    points = turned(10, 20, 30)
    fit = align(points)
    assert fit.scale == pytest.approx(80, rel=1e-4)
    assert np.allclose(fit.scale * mean_face().points @ fit.rotation.T + fit.origin, points, atol=0.01)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((468, 3)),
        np.full((478, 3), np.nan),
        np.where(np.arange(478)[:, None] == 7, np.inf, turned(0, 0, 0)),
        np.ones((478, 3)),
        np.zeros((478, 2)),
        "landmarks",
        [[1, 2], [3]],
    ],
    ids=["468", "nan", "one inf", "one place", "2-D", "text", "ragged"],
)
def test_bad_landmarks(bad: object) -> None:
    with pytest.raises(BadInput, match=r"^Got .*\. Expected .*478.*\. .*\.$"):
        head_pose(bad)  # type: ignore[arg-type]


def test_agreement_with_people_on_genki(data_root: Path, finder: FaceFinder) -> None:
    measured, judged = [], []
    with zipfile.ZipFile(data_root / "genki4k" / "genki4k.zip") as pack:
        manifest = next(name for name in pack.namelist() if name.endswith("manifest.csv"))
        names = {Path(name).name: name for name in pack.namelist()}
        rows = [
            row
            for row in csv.DictReader(io.TextIOWrapper(pack.open(manifest), "utf-8"))
            if row["split"] == "val"
        ]
        images = [load_image(pack.read(names[Path(row["file"]).name])) for row in rows[:120]]
    for row, face in zip(rows, finder.find_cropped_batch(images), strict=False):
        if face.pose is not None:
            measured.append((face.pose.yaw, face.pose.pitch, face.pose.roll))
            judged.append([math.degrees(float(row[angle])) for angle in ("yaw", "pitch", "roll")])
    agreement = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(np.transpose(measured), np.transpose(judged), strict=True)
    ]
    assert len(measured) > 100
    assert agreement[0] > 0.85 and agreement[1] > 0.6 and agreement[2] > 0.93

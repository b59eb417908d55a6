"""Head pose from landmarks: the rotation that fits the mean face to them.

The mean face is mien's own (``weights/mean_face.npz``, written by ``tools/build_mean_face.py``): the average of
frontal neutral faces as the mesh draws them, made symmetric, with a weight per point that is high where faces
move little with expression. The fit is weighted least squares (Umeyama 1991) in weak perspective, so the
angles are those against the line of sight to the face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput, MissingWeights
from mien.core.nouns import LANDMARKS, FloatArray, Pose
from mien.core.paths import face_weights

__all__ = [
    "MEAN_FACE_FILE",
    "Alignment",
    "MeanFace",
    "align",
    "checked_landmarks",
    "fit_similarity",
    "head_pose",
    "mean_face",
]

MEAN_FACE_FILE = "mean_face.npz"
_Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MeanFace:
    """The average frontal neutral face."""

    points: _Matrix
    """(478, 3): x to the image's right, y down, z away from the camera; the outer eye corners are 1 apart."""
    weights: _Matrix
    """(478,) share of each point in the fit, sum 1: the inverse of its variance over people and expressions."""
    mirror: npt.NDArray[np.int64]
    """(478,) index of the point on the other side of the face; its own index on the midline."""
    edges: npt.NDArray[np.int64]
    """(E, 2) edges of the surface mesh, for drawing."""


@cache
def mean_face() -> MeanFace:
    """The mean face of the package.

    Raises:
        MissingWeights: the file is absent or damaged.
    """
    path = face_weights() / MEAN_FACE_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return MeanFace(
                arrays["points"].astype(np.float64),
                arrays["weights"].astype(np.float64),
                arrays["mirror"].astype(np.int64),
                arrays["edges"].astype(np.int64),
            )
    except (OSError, ValueError, KeyError) as error:
        raise MissingWeights(
            got=f"no readable {path} ({error})",
            expected="the mean face that comes with mien",
            fix="Reinstall mien, or run tools/build_mean_face.py",
        ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The similarity that takes the mean face to a set of landmarks: ``x = scale * rotation @ mean + origin``."""

    scale: float
    """Px per unit of the mean face (the distance of its outer eye corners)."""
    rotation: _Matrix
    """(3, 3) proper rotation."""
    origin: _Matrix
    """(3,) px: where the mean face's origin falls."""

    @property
    def pose(self) -> Pose:
        """The angles: roll in the image plane first, then yaw, then pitch (intrinsic z, y, x)."""
        r = self.rotation
        flat = math.hypot(r[0, 0], r[1, 0])
        return Pose(
            pitch=-math.degrees(math.atan2(r[2, 1], r[2, 2])),
            yaw=-math.degrees(math.atan2(-r[2, 0], flat)),
            roll=math.degrees(math.atan2(r[1, 0], r[0, 0])),
        )

    def misfit(self, landmarks: FloatArray) -> float:
        """Weighted root mean square distance of landmarks (478, 3) from the fit, in units of the mean face."""
        face = mean_face()
        rest = landmarks - (self.scale * face.points @ self.rotation.T + self.origin)
        square = float(face.weights @ (rest**2).sum(axis=1)) / float(face.weights.sum())
        return math.sqrt(square) / self.scale if self.scale > 0 else math.inf


def checked_landmarks(landmarks: npt.ArrayLike) -> FloatArray:
    """Landmarks as (478, 3) float32.

    Raises:
        BadInput: another shape, text, NaN or infinite values, or all points at one place.
    """
    expected = f"({LANDMARKS}, 3) finite numbers: x, y, z in px"
    try:
        points = np.asarray(landmarks, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BadInput(
            got=f"landmarks that are no numbers ({error})",
            expected=expected,
            fix="Pass MediaPipe's 478 points",
        ) from error
    if points.shape != (LANDMARKS, 3):
        raise BadInput(
            got=f"landmarks of shape {points.shape}",
            expected=expected,
            fix="Pass MediaPipe's 478 refined landmarks",
        )
    bad = int((~np.isfinite(points)).any(axis=1).sum())
    if bad:
        raise BadInput(
            got=f"landmarks with NaN or infinite values in {bad} of {LANDMARKS} points",
            expected=expected,
            fix="Leave out faces whose landmarks were not found",
        )
    if float(np.ptp(points[:, :2], axis=0).min()) <= 0.0:
        raise BadInput(
            got="landmarks without extent",
            expected=f"{expected}, spread over a face",
            fix="Multiply normalised landmarks by the image's width and height first",
        )
    return points


def align(landmarks: npt.ArrayLike) -> Alignment:
    """Fit the mean face to ``landmarks`` (478, 3) px."""
    face, points = mean_face(), checked_landmarks(landmarks).astype(np.float64)
    return fit_similarity(face.points, points, face.weights)


def fit_similarity(source: _Matrix, target: _Matrix, weights: _Matrix) -> Alignment:
    """Weighted least-squares similarity from ``source`` to ``target``, both (N, 3) (Umeyama 1991, eq. 39-42)."""
    share = weights / weights.sum()
    source_centre, target_centre = share @ source, share @ target
    a, b = source - source_centre, target - target_centre
    u, singular, vt = np.linalg.svd((b * share[:, None]).T @ a)
    signs = np.array([1.0, 1.0, math.copysign(1.0, np.linalg.det(u) * np.linalg.det(vt))])
    rotation: _Matrix = (u * signs) @ vt
    scale = float((singular * signs).sum() / (share @ (a * a).sum(axis=1)))
    return Alignment(scale, rotation, target_centre - scale * rotation @ source_centre)


def head_pose(landmarks: npt.ArrayLike) -> Pose:
    """Pitch, yaw and roll in degrees from (478, 3) landmarks in px.

    The signs are `mien.core.nouns.Pose`'s: chin up, turned to the subject's left (image right), tilted clockwise
    as seen are positive. Zero pitch is the average pose of people asked to look straight into a camera.
    """
    return align(landmarks).pose

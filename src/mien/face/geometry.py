"""Landmark geometry: landmarks freed of head pose, and named measures of brows, eyes, nose, mouth and chin.

The measures follow the places that FACS describes (Ekman, Friesen, Hager 2002): how far the brows stand above
the eyes, how wide the lids are open, how high the lip corners lie, … Lengths are in the mean face's unit, the
distance of the outer eye corners after the fit, so that neither size nor expression of a face changes the unit.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mien.core.nouns import LANDMARKS, FloatArray
from mien.face.pose import align, checked_landmarks, mean_face

__all__ = ["GEOMETRY_NAMES", "aligned_landmarks", "geometry_features"]


class _Measure(NamedTuple):
    """The way from the mean of points ``a`` to the mean of points ``b``."""

    name: str
    kind: Literal["above", "apart", "aside", "ahead"]
    """How far a lies above b; their distance in the face plane; sideways; how far a is nearer to the camera."""
    a: tuple[int, ...]
    b: tuple[int, ...]


_EYE_CORNERS = (33, 133)
_UPPER_LID, _LOWER_LID = (158, 159, 160), (144, 145, 153)
_LIP_CENTRE = (13, 14)
_CORNER = 61

# Points of the subject's right; the left ones are their mirror.
_SIDED = (
    _Measure("brow_inner_height", "above", (107, 55), _EYE_CORNERS),
    _Measure("brow_middle_height", "above", (105, 66, 52, 65), _EYE_CORNERS),
    _Measure("brow_outer_height", "above", (70, 63, 46, 53), _EYE_CORNERS),
    _Measure("brow_slope", "above", (107, 55), (70, 63, 46, 53)),
    _Measure("eye_opening", "apart", _UPPER_LID, _LOWER_LID),
    _Measure("eye_width", "apart", (33,), (133,)),
    _Measure("upper_lid_height", "above", _UPPER_LID, _EYE_CORNERS),
    _Measure("lower_lid_height", "above", _LOWER_LID, _EYE_CORNERS),
    _Measure("lid_above_iris", "above", (159,), (470,)),
    _Measure("cheek_to_lid", "above", _LOWER_LID, (117, 118, 50)),
    _Measure("nose_wing_height", "above", (129, 102), _EYE_CORNERS),
    _Measure("upper_lip_height", "above", (37, 39, 40), (2,)),
    _Measure("corner_lift", "above", (_CORNER,), _LIP_CENTRE),
    _Measure("corner_out", "aside", (_CORNER,), (2,)),
    _Measure("corner_height", "above", (_CORNER,), _EYE_CORNERS),
    _Measure("corner_to_nose_wing", "apart", (_CORNER,), (129,)),
    _Measure("corner_ahead", "ahead", (_CORNER,), (2,)),
    _Measure("side_lip_gap", "apart", (81, 80), (178, 88)),
)
_CENTRAL = (
    _Measure("brow_distance", "apart", (107, 55), (336, 285)),
    _Measure("nose_length", "above", (168,), (2,)),
    _Measure("nose_width", "apart", (129,), (358,)),
    _Measure("nose_to_lip", "above", (2,), (0,)),
    _Measure("upper_lip_thickness", "above", (0,), (13,)),
    _Measure("lower_lip_thickness", "above", (14,), (17,)),
    _Measure("lip_gap", "apart", (13,), (14,)),
    _Measure("mouth_width", "apart", (_CORNER,), (291,)),
    _Measure("inner_mouth_width", "apart", (78,), (308,)),
    _Measure("mouth_height", "above", (0,), (17,)),
    _Measure("lower_lip_to_chin", "above", (17,), (152,)),
    _Measure("chin_boss_height", "above", (199,), (2,)),
    _Measure("jaw_drop", "above", (2,), (152,)),
    _Measure("upper_lip_ahead", "ahead", (0,), (2,)),
    _Measure("lower_lip_ahead", "ahead", (17,), (2,)),
    _Measure("chin_ahead", "ahead", (199,), (2,)),
    _Measure("face_width", "apart", (234,), (454,)),
    _Measure("jaw_width", "apart", (172,), (397,)),
)
_COMPARED = ("brow_middle_height", "eye_opening", "corner_lift", "corner_out", "nose_wing_height")
_RATIOS = (
    ("eye_aspect_right", "eye_opening_right", "eye_width_right"),
    ("eye_aspect_left", "eye_opening_left", "eye_width_left"),
    ("mouth_aspect", "lip_gap", "inner_mouth_width"),
)

_MEASURE_NAMES = (
    *(f"{measure.name}_right" for measure in _SIDED),
    *(f"{measure.name}_left" for measure in _SIDED),
    *(measure.name for measure in _CENTRAL),
)
GEOMETRY_NAMES: tuple[str, ...] = (
    *_MEASURE_NAMES,
    *(f"{name}_left_minus_right" for name in _COMPARED),
    *(ratio[0] for ratio in _RATIOS),
    "gaze_across",
    "gaze_up",
)
"""Names of the features in order. Right and left are the subject's; heights grow upward; ``_ahead`` is toward the
camera; ``gaze_across`` is positive toward the subject's left, in eye widths, and the mean of both eyes."""


@cache
def _plan() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[str, ...]]:
    """Averaging matrices (M, 478) of the points a and b of each measure, and the measures' kinds."""
    mirror = mean_face().mirror

    def mirrored(points: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(mirror[point]) for point in points)

    left = [measure._replace(a=mirrored(measure.a), b=mirrored(measure.b)) for measure in _SIDED]
    measures = (*_SIDED, *left, *_CENTRAL)
    starts, ends = np.zeros((2, len(measures), LANDMARKS))
    for row, measure in enumerate(measures):
        starts[row, list(measure.a)] = 1.0 / len(measure.a)
        ends[row, list(measure.b)] = 1.0 / len(measure.b)
    return starts, ends, tuple(measure.kind for measure in measures)


def aligned_landmarks(landmarks: npt.ArrayLike) -> FloatArray:
    """Landmarks without place, size and head rotation.

    Args:
        landmarks: (478, 3) px.

    Returns:
        (478, 3) float32 in the frame of `mien.face.pose.mean_face`: x to the image's right, y down, z away from
        the camera, origin midway between the outer eye corners, whose usual distance is 1.
    """
    points = checked_landmarks(landmarks).astype(np.float64)
    fitted = align(points)
    return np.asarray((points - fitted.origin) @ fitted.rotation / fitted.scale, dtype=np.float32)


def geometry_features(landmarks: npt.ArrayLike) -> FloatArray:
    """The named measures of one face.

    Args:
        landmarks: (478, 3) px.

    Returns:
        (F,) float32 in the order of `GEOMETRY_NAMES`, all finite.
    """
    points = aligned_landmarks(landmarks).astype(np.float64)
    starts, ends, kinds = _plan()
    way = ends @ points - starts @ points
    flat = np.hypot(way[:, 0], way[:, 1])
    choices = {"above": way[:, 1], "apart": flat, "aside": np.abs(way[:, 0]), "ahead": way[:, 2]}
    measured = dict(
        zip(_MEASURE_NAMES, (float(choices[kind][row]) for row, kind in enumerate(kinds)), strict=True)
    )
    compared = [measured[f"{name}_left"] - measured[f"{name}_right"] for name in _COMPARED]
    ratios = [measured[part] / max(measured[whole], 1e-6) for _, part, whole in _RATIOS]
    values = [*measured.values(), *compared, *ratios, *_gaze(points)]
    return np.array(values, dtype=np.float32)


def _gaze(points: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean place of the iris centres between the eye corners: across and up, in eye widths."""
    across, up = [], []
    for iris, outer, inner in ((468, 33, 133), (473, 263, 362)):
        middle = (points[outer] + points[inner]) / 2.0
        width = max(float(np.linalg.norm(points[outer, :2] - points[inner, :2])), 1e-6)
        across.append((points[iris, 0] - middle[0]) / width)
        up.append((middle[1] - points[iris, 1]) / width)
    return float(np.mean(across)), float(np.mean(up))
